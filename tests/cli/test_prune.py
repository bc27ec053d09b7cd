"""`jobd prune`: what it deletes by hand, what it says, and that it needs no daemon."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from jobd.queue import Queue
from jobd.store.connection import WAL_LIMIT
from jobd.store.daemon_lock import DaemonLock
from jobd.store.opening import open_database
from jobd.store.retention import WALKED
from tests.cli.conftest import NOW, Store

Verb = Callable[..., tuple[int, str, str]]

FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
INSERT INTO job_queue (job_type, payload, created_at, ready)
SELECT 't', hex(zeroblob(:size)), 1, 1 FROM n
"""


def fill(path: Path, rows: int, size: int = 10) -> None:
    """So many completed jobs of long ago, as a daemon leaves them."""
    with closing(open_database(path, create=True, now=1)) as database:
        with database.transaction() as db:
            db.execute(FILL, {"rows": rows, "size": size})
            db.execute("UPDATE job_queue SET status = 'running', ready = 0")
            db.execute("UPDATE job_queue SET status = 'completed', completed_at = 2")
        with closing(open_database(path, now=1)) as second:
            database.checkpoint_with(second)


def count(path: Path) -> int:
    with closing(open_database(path, now=1)) as database:
        found: int = database.connection.execute("SELECT count(*) FROM job_queue").fetchone()[0]
    return found


@pytest.fixture
def two(store: Store) -> Store:
    """One job in dead_letter and one completed, both of long before today."""
    store.dead(2)
    with store.opened() as database, database.transaction() as db:
        db.execute("UPDATE job_queue SET moved_to_dead_letter_at = 1, created_at = 1")
        db.execute("UPDATE job_queue SET status = 'pending', ready = 1 WHERE id = 2")
        db.execute("UPDATE job_queue SET status = 'running', ready = 0 WHERE id = 2")
        db.execute("UPDATE job_queue SET status = 'completed', completed_at = 1 WHERE id = 2")
    return store


def test_it_deletes_what_the_configuration_lets_go(jobd: Verb, two: Store) -> None:
    """Without flags it does by hand what the daemon does by itself."""
    assert jobd("prune") == (0, "deleted 2 jobs (1 completed, 1 dead_letter)\n", "")
    assert two.count() == 0


def test_a_dry_run_counts_and_deletes_nothing(jobd: Verb, two: Store) -> None:
    """It says what would go."""
    assert jobd("prune", "--dry-run")[1] == "would delete 2 jobs (1 completed, 1 dead_letter)\n"
    assert two.count() == 2


def test_statuses_may_be_named(jobd: Verb, two: Store) -> None:
    """Only what is named goes."""
    status, out, _ = jobd("prune", "--status", "failed", "--status", "completed", "--json")
    assert status == 0
    assert json.loads(out) == {
        "dry_run": False, "jobs": {"failed": 0, "completed": 1}, "total": 1, "batches": 0,
    }
    assert two.count() == 1


def test_an_age_may_be_named(jobd: Verb, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It beats the configuration, for jobs that ended just now too."""
    store.dead()
    monkeypatch.setattr("jobd.clock.now_ms", lambda: NOW + 2_000)
    assert jobd("prune", "--older-than", "30d")[1] == "deleted 0 jobs\n"
    assert jobd("prune", "--older-than", "1s")[1] == "deleted 1 jobs (1 dead_letter)\n"


def test_what_is_kept_for_ever_goes_only_when_an_age_is_named(
    jobd: Verb, two: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way out is said."""
    monkeypatch.setenv("JOBD_RETENTION_COMPLETED", "none")
    monkeypatch.setenv("JOBD_RETENTION_ENDED", "none")
    status, _, err = jobd("prune")
    assert (status, "--older-than" in err) == (2, True)
    assert jobd("prune", "--older-than", "0")[1] == "deleted 2 jobs (1 completed, 1 dead_letter)\n"


@pytest.mark.parametrize("status", ["pending", "running", "zombie"])
def test_jobs_that_live_cannot_be_asked_for(jobd: Verb, two: Store, status: str) -> None:
    """Their statuses are no choice."""
    assert jobd("prune", "--status", status)[0] == 2
    assert two.count() == 2


def test_output_goes_with_its_job(jobd: Verb, two: Store, path: Path) -> None:
    """And the output of others stays."""
    for number in (1, 2, 3):
        (path.parent / f"{path.name}.attempts" / str(number) / "1").mkdir(parents=True)
        (path.parent / f"{path.name}.attempts" / f"{number}.stdout").touch()
    jobd("prune", "--status", "completed")
    left = {each.name for each in (path.parent / f"{path.name}.attempts").iterdir()}
    assert left == {"1", "1.stdout", "3", "3.stdout"}


def test_it_is_recorded_who_deleted_what(jobd: Verb, two: Store) -> None:
    """A row of its own, since those of the jobs go with them."""
    jobd("prune", "--older-than", "30d", "--status", "completed")
    with two.opened() as database:
        found = database.connection.execute(
            "SELECT actor, verb, job_id, detail FROM operator_actions"
        ).fetchall()
    assert [row[1:] for row in found] == [("prune", None, "1 completed older than 30 days")]
    assert found[0][0].startswith("ann")


def test_many_jobs_go_slice_by_slice(jobd: Verb, path: Path) -> None:
    """More than one look walks over."""
    rows = 2 * WALKED + 7
    fill(path, rows)
    assert jobd("prune", "--dry-run")[1] == f"would delete {rows} jobs ({rows} completed)\n"
    assert jobd("prune")[1] == f"deleted {rows} jobs ({rows} completed)\n"
    assert count(path) == 0


def test_without_a_daemon_the_log_stays_short_and_the_file_shrinks(
    jobd: Verb, path: Path
) -> None:
    """Nobody else would move what it writes into the file; the last to close it is another."""
    fill(path, 400, size=50_000)
    before = path.stat().st_size
    with closing(open_database(path, now=1)) as another:
        jobd("prune")
        assert path.stat().st_size < before / 4
        with another.transaction() as db:
            db.execute("DELETE FROM operator_actions")
        assert Path(f"{path}-wal").stat().st_size <= WAL_LIMIT


def test_rewriting_needs_the_daemon_to_be_stopped(jobd: Verb, two: Store, path: Path) -> None:
    """That is said before anything is deleted."""
    lock = DaemonLock(path)
    assert lock.acquire(blocking=False)
    try:
        status, _, err = jobd("prune", "--rewrite")
    finally:
        lock.release()
    assert (status, "is active; stop it first" in err) == (75, True)
    assert two.count() == 2


def test_rewriting_makes_the_file_as_small_as_it_can_be(jobd: Verb, path: Path) -> None:
    """No free page is left."""
    fill(path, 50, size=20_000)
    assert jobd("prune", "--rewrite")[0] == 0
    with closing(open_database(path, now=1)) as database:
        assert database.connection.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert database.connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_without_a_database_it_says_so(jobd: Verb) -> None:
    """It makes none."""
    status, _, err = jobd("prune")
    assert (status, "no database at" in err) == (1, True)


def test_batches_go_whole(jobd: Verb, two: Store) -> None:
    """An ended batch goes with all its items, an open one keeps those that ended."""
    with Queue(two.path) as queue:
        queue.batch("ended", "t", [{"n": 1}, {"n": 2}]).cancel()
        queue.batch("open", "t", [{"n": 3}])
    with two.opened() as database, database.transaction() as db:
        db.execute("UPDATE batch_jobs SET completed_at = 1 WHERE name = 'ended'")
    assert jobd("prune", "--dry-run")[1].endswith(" and 1 batch with all items\n")
    assert jobd("prune", "--status", "completed")[1] == "deleted 1 jobs (1 completed)\n"
    assert jobd("prune")[1] == "deleted 1 jobs (1 dead_letter) and 1 batch with all items\n"
    assert two.count() == 1
