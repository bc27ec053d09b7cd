"""SIGKILL at every step of what is done to a whole database: made, moved, mended, copied."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobd.store import schema
from jobd.store.connection import Database
from jobd.store.migrations import MIGRATIONS
from jobd.store.migrator import MigrationManager
from jobd.store.opening import open_database
from tests.faults.walk import Run, Walker, names, walk, walkers

LATEST = len(MIGRATIONS)


def make(path: Path, version: int, *changes: str) -> None:
    """A database at this version with forty jobs, some of which have failed attempts, changed."""
    with closing(open_database(path, create=True, now=1)) as database:
        db = database.connection
        db.executemany(
            "INSERT INTO job_queue (job_type, created_at, unique_key, payload, attempt) "
            "VALUES ('sum', 1, ?, ?, 1)",
            [(str(number), f'{{"x": "{"y" * 1000}"}}') for number in range(40)],
        )
        db.execute(
            "INSERT INTO job_attempts (job_id, attempt, outcome) "
            "SELECT id, 1, 'retrying' FROM job_queue WHERE id % 2"
        )
        if version < LATEST:
            MigrationManager(database).down(2, version, discard=["job_attempts"])
            for backup in path.parent.glob("*.backup-*"):
                backup.unlink()
        for change in changes:
            db.execute(change)


def jobs(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT id, job_type, payload FROM job_queue ORDER BY id").fetchall()


def sound(path: Path) -> int | None:
    """The version at which the database stands; None when it is not what that must be."""
    with closing(Database(path)) as database:
        assert database.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = schema.examine(database.connection)
        wrong = [*found.faults, *(note for note in found.notes if note.mend != "jobd migrate up")]
        return None if wrong else found.version


@dataclass(frozen=True)
class Case:
    """One verb: the version it begins at (None: not sound), that it leads to, and its steps."""

    verb: tuple[str, ...]
    begins: int
    leads: int
    changes: tuple[str, ...] = ()
    steps: frozenset[str] = frozenset()


BACKUP = frozenset({"before the backup", "after the file of the backup", "amid the backup",
                    "after the backup", "before BEGIN IMMEDIATE", "before COMMIT", "after COMMIT"})
CASES = {
    "up": Case(("migrate", "up"), 2, LATEST, steps=BACKUP | {"before ALTER TABLE"}),
    "down": Case(("migrate", "down", "--to", "3", "--discard", "job_attempts"), LATEST, 3,
                 steps=BACKUP | {"before DROP TABLE"}),
    "repair": Case(
        ("migrate", "repair", "--discard", "job_queue.note"), LATEST, LATEST,
        ("ALTER TABLE job_queue ADD COLUMN note TEXT DEFAULT 'x'", "DROP INDEX job_queue_ready"),
        steps=BACKUP | {"before DROP TABLE", "before CREATE INDEX", "before SAVEPOINT replacing"},
    ),
    "mark-applied": Case(
        ("migrate", "mark-applied", str(LATEST)), LATEST, LATEST,
        (f"DELETE FROM schema_migrations WHERE version = {LATEST}",),
        steps=frozenset({"before BEGIN IMMEDIATE", "before COMMIT", "after COMMIT"}),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_change_of_the_schema_is_done_or_was_never_begun(name: str, tmp_path: Path) -> None:
    """Old or new, never between; every job is there; a backup is whole or absent; again works."""
    case, begin = CASES[name], tmp_path / "begin"
    begin.mkdir()
    make(begin / "jobd.db", case.begins, *case.changes)
    before = jobs(begin / "jobd.db")
    was = sound(begin / "jobd.db")
    with walkers(tmp_path) as made:

        def one(walker: Walker, point: str) -> Run:
            walker.begin_with(begin)
            run = walker.run(*case.verb, fatal=point)
            path = walker.house.db
            assert sound(path) in (was, case.leads)
            assert jobs(path) == before
            for backup in path.parent.glob("*.backup-v*"):
                if ".part" not in backup.suffix:
                    assert jobs(backup) == before, f"{backup.name} after dying at {point}"
            if sound(path) != case.leads:
                assert walker.run(*case.verb).status == 0, walker.said()
                assert (sound(path), jobs(path)) == (case.leads, before)
                assert not case.steps >= BACKUP or not list(path.parent.glob("*.part*"))
            return run

        died = walk(made, one)
    assert names(died) >= case.steps
    print(f"\n{len(died)} crash points")


ENQUEUE = ("enqueue", "quick", "--request-id", "r1", "--json")


@pytest.mark.parametrize("new", [True, False], ids=["new", "old"])
def test_a_producer_killed_at_any_step_enqueued_all_or_nothing(new: bool, tmp_path: Path) -> None:
    """Into a database that it makes or one that there is; the same request again is one job."""
    begin = tmp_path / "begin"
    begin.mkdir()
    if not new:
        make(begin / "jobd.db", LATEST)
    there = 0 if new else 40
    with walkers(tmp_path) as made:

        def one(walker: Walker, point: str) -> Run:
            walker.begin_with(begin)
            run = walker.run(*ENQUEUE, fatal=point)
            told = walker.output("out")
            if told:
                assert len(jobs(walker.house.db)) == there + 1, "acknowledged and not there"
            assert walker.run(*ENQUEUE).status == 0, walker.said()
            assert len(jobs(walker.house.db)) == there + 1
            assert sound(walker.house.db) == LATEST
            return run

        died = walk(made, one)
    assert names(died) >= {"before BEGIN IMMEDIATE", "before INSERT INTO", "before COMMIT",
                           "after COMMIT"}
    print(f"\n{len(died)} crash points")
