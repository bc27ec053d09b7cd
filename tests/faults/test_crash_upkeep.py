"""SIGKILL at every step of what takes care of the file: pruning, and a backup by hand."""

import sqlite3
from contextlib import closing
from pathlib import Path

from jobd.store.connection import Database
from jobd.store.opening import open_database
from tests.faults.walk import Run, Walker, names, walk, walkers

JOBS = 60
"""More than two slices' worth."""


def make(path: Path) -> None:
    """Completed jobs of long ago, each with a failed attempt and a word of an operator."""
    with closing(open_database(path, create=True, now=1)) as database:
        db = database.connection
        db.executemany("INSERT INTO job_queue (job_type, created_at) VALUES ('sum', ?)",
                       [(number,) for number in range(JOBS)])
        db.execute("UPDATE job_queue SET status = 'running'")
        db.execute("UPDATE job_queue SET status = 'completed', completed_at = 2")
        db.execute("INSERT INTO job_attempts (job_id, attempt, outcome) "
                   "SELECT id, 1, 'retrying' FROM job_queue")
        db.execute("INSERT INTO operator_actions (acted_at, actor, verb, job_id) "
                   "SELECT 1, 'ann', 'retry', id FROM job_queue")


def ids(path: Path, query: str) -> set[int]:
    with closing(sqlite3.connect(path)) as db:
        return {job_id for (job_id,) in db.execute(query)}


def whole(path: Path) -> bool:
    with closing(Database(path)) as database:
        db = database.connection
        return (db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                and not db.execute("PRAGMA foreign_key_check").fetchall())


def test_a_prune_that_is_killed_leaves_no_half_of_a_job(tmp_path: Path) -> None:
    """A job is there with all that belongs to it or gone with it; again finishes the work."""
    begin = tmp_path / "begin"
    begin.mkdir()
    make(begin / "jobd.db")
    with walkers(tmp_path) as made:

        def one(walker: Walker, point: str) -> Run:
            walker.begin_with(begin)
            run = walker.run("prune", fatal=point)
            path = walker.house.db
            assert whole(path)
            left = ids(path, "SELECT id FROM job_queue")
            assert ids(path, "SELECT job_id FROM job_attempts") == left, point
            assert ids(path, "SELECT job_id FROM operator_actions WHERE job_id > 0") == left
            assert walker.run("prune").status == 0, walker.said()
            assert ids(path, "SELECT id FROM job_queue") == set()
            return run

        died = walk(made, one)
    assert names(died) >= {"before BEGIN IMMEDIATE", "before DELETE FROM", "before COMMIT",
                           "after COMMIT"}


def test_a_backup_that_is_killed_is_whole_or_not_there(tmp_path: Path) -> None:
    """And what it left behind is in nobody's way."""
    begin = tmp_path / "begin"
    begin.mkdir()
    make(begin / "jobd.db")
    with walkers(tmp_path) as made:

        def one(walker: Walker, point: str) -> Run:
            walker.begin_with(begin)
            target = walker.house.root / "copy.db"
            run = walker.run("backup", str(target), fatal=point)
            if target.exists():
                assert whole(target)
                assert len(ids(target, "SELECT id FROM job_queue")) == JOBS, point
            assert walker.run("backup", str(target), "--force").status == 0, walker.said()
            assert len(ids(target, "SELECT id FROM job_queue")) == JOBS
            assert not list(walker.house.root.glob(".copy.db*"))
            assert whole(walker.house.db)
            return run

        died = walk(made, one)
    assert len(died) >= 5
