"""What is deleted, with everything that belongs to it, and what never is."""

import sqlite3
from itertools import count

import pytest

from jobd.core.lifecycle import JobStatus
from jobd.core.retention import PRUNABLE, Expiry, expiry
from jobd.store import retention, sizes
from jobd.store.connection import Database
from tests.store.conftest import Rows

NOW = 1_700_000_000_000
OLD = NOW - 10 * 86_400_000
WEEK = 7 * 86_400.0

ENDINGS = {
    "completed": "completed_at", "failed": "completed_at", "cancelled": "completed_at",
    "dead_letter": "moved_to_dead_letter_at",
}


def never() -> bool:
    return False


def prune(database: Database, each: Expiry) -> list[int]:
    """Look and delete until the end, as all who prune do."""
    deleted: list[int] = []
    after: int | None = 0
    while after is not None:
        found = retention.look(database.connection, each, after, NOW)
        after = found.walked_to
        with database.transaction() as db:
            gone, left = retention.delete(db, each, found.ids, never)
        assert left == []
        deleted += gone
    return deleted


def ended(rows: Rows, status: str, at: int = OLD, **columns: object) -> int:
    return rows.put(status, **{ENDINGS[status]: at, "created_at": OLD - 1} | columns)


@pytest.mark.parametrize("status", PRUNABLE)
def test_what_ended_long_ago_goes_and_what_ended_lately_stays(
    database: Database, rows: Rows, status: JobStatus
) -> None:
    """By the time at which it ended, not at which it was made."""
    old = ended(rows, status)
    ended(rows, status, NOW - 1)
    assert prune(database, expiry(status, WEEK, NOW)) == [old]


@pytest.mark.parametrize("status", [each for each in JobStatus if each not in PRUNABLE])
def test_a_job_that_has_not_ended_is_never_deleted(
    database: Database, rows: Rows, status: JobStatus
) -> None:
    """Not even when someone asks for its status."""
    rows.put(status, created_at=1, completed_at=1)
    for each in JobStatus:
        assert prune(database, Expiry(each, NOW, NOW)) == []


def test_a_parked_job_that_still_executes_is_not_deleted(database: Database, rows: Rows) -> None:
    """Without the proof that its execution is over a row stays, however old it is."""
    job_id = ended(rows, "dead_letter", execution_over=0)
    assert prune(database, expiry(JobStatus.DEAD_LETTER, WEEK, NOW)) == []
    rows.set(job_id, execution_over=1)
    assert prune(database, expiry(JobStatus.DEAD_LETTER, WEEK, NOW)) == [job_id]


def test_a_job_with_a_request_id_stays_a_day_longer_than_asked(
    database: Database, rows: Rows
) -> None:
    """So that a repeated call finds it."""
    kept = ended(rows, "completed", NOW - 3_600_000, request_id="r1")
    gone = ended(rows, "completed", NOW - 3_600_000)
    older = ended(rows, "completed", NOW - 86_400_001, request_id="r2")
    assert prune(database, expiry(JobStatus.COMPLETED, 0.0, NOW)) == [gone, older]
    assert rows.get(kept)["request_id"] == "r1"


def test_an_item_of_a_batch_does_not_go_alone(database: Database, rows: Rows) -> None:
    """Its batch counts it."""
    ended(rows, "completed", batch_id=1)
    assert prune(database, expiry(JobStatus.COMPLETED, WEEK, NOW)) == []


def test_everything_that_belongs_to_a_job_goes_with_it(
    database: Database, db: sqlite3.Connection, rows: Rows
) -> None:
    """Its attempts, progress, checkpoint, and what people did to it; and nothing of others."""
    gone, stays = ended(rows, "failed"), ended(rows, "failed", NOW)
    for job_id in (gone, stays):
        for statement in (
            "INSERT INTO job_attempts (job_id, attempt, outcome) VALUES (?, 1, 'retrying')",
            "INSERT INTO job_attempts (job_id, attempt, outcome) VALUES (?, 2, 'failed')",
            "INSERT INTO job_progress (job_id, attempt, done, reported_at) VALUES (?, 1, 1, 1)",
            "INSERT INTO job_checkpoints (job_id, attempt, state, saved_at) VALUES (?, 1, '1', 1)",
            "INSERT INTO operator_actions (acted_at, actor, verb, job_id) "
            "VALUES (1, 'a', 'retry', ?)",
        ):
            db.execute(statement, (job_id,))
    assert prune(database, expiry(JobStatus.FAILED, WEEK, NOW)) == [gone]
    for table in ("job_attempts", "job_progress", "job_checkpoints", "operator_actions"):
        assert {row["job_id"] for row in rows.all(f"SELECT job_id FROM {table}")} == {stays}


def test_a_job_that_came_back_since_it_was_looked_at_stays(
    database: Database, rows: Rows
) -> None:
    """The conditions are asked again where the deletion is written."""
    job_id = ended(rows, "dead_letter")
    each = expiry(JobStatus.DEAD_LETTER, WEEK, NOW)
    ids = retention.look(database.connection, each, 0, NOW).ids
    rows.set(job_id, status="pending", ready=1)
    with database.transaction() as db:
        assert retention.delete(db, each, ids, never) == ([], [])
    assert rows.get(job_id)["status"] == "pending"


def test_a_slice_ends_when_it_is_enough_and_tells_what_is_left(
    database: Database, rows: Rows
) -> None:
    """However many may go, the writer is held for a moment only."""
    ids = [ended(rows, "completed") for _ in range(3 * retention.AT_ONCE)]
    each, asked = expiry(JobStatus.COMPLETED, WEEK, NOW), count()
    with database.transaction() as db:
        gone, left = retention.delete(db, each, ids, lambda: next(asked) > 0)
    assert (gone, left) == (ids[: 2 * retention.AT_ONCE], ids[2 * retention.AT_ONCE :])


def test_a_walk_tells_when_all_that_follows_is_younger(database: Database, rows: Rows) -> None:
    """`made_after` is the making of the oldest row that was walked over."""
    for made in (NOW - 5, NOW - 9, NOW - 1):
        ended(rows, "completed", created_at=made)
    found = retention.look(database.connection, Expiry(JobStatus.COMPLETED, NOW, NOW), 0, NOW)
    assert found == retention.Found([1, 2, 3], 3, NOW - 9)


def test_jobs_made_while_the_clock_was_ahead_do_not_end_the_walk(
    database: Database, rows: Rows
) -> None:
    """Rows behind them may be old all the same."""
    for _ in range(3):
        ended(rows, "completed", NOW + 99, created_at=NOW + 99)
    each = expiry(JobStatus.COMPLETED, WEEK, NOW)
    assert retention.look(database.connection, each, 0, NOW) == retention.Found([], 3, None)


def test_old_daemons_are_forgotten_but_for_the_last(
    database: Database, db: sqlite3.Connection
) -> None:
    """A daemon that restarts every second must not fill the file."""
    db.executemany(
        "INSERT INTO daemons (id, pid, version, started_at, seen_at, stopped_at) "
        "VALUES (?, 1, '1', ?, ?, ?)",
        [(str(n), n, n, n) for n in range(200)],
    )
    with database.transaction() as writer:
        retention.forget(writer, 10_000)
    left = db.execute("SELECT count(*), min(started_at) FROM daemons").fetchone()
    assert left == (retention.DAEMONS_KEPT, 200 - retention.DAEMONS_KEPT)


def test_what_people_did_to_queues_is_forgotten_and_migrations_are_not(
    database: Database, db: sqlite3.Connection
) -> None:
    """The history of the schema stays."""
    db.execute("INSERT INTO operator_actions (acted_at, actor, verb, detail) VALUES "
               "(1, 'a', 'queue pause', 'q'), (20000, 'a', 'queue resume', 'q')")
    db.execute("INSERT INTO operator_actions (acted_at, actor, verb, migration) "
               "VALUES (1, 'a', 'migrate down', 3)")
    with database.transaction() as writer:
        retention.forget(writer, 10_000)
    found = db.execute("SELECT verb FROM operator_actions ORDER BY id").fetchall()
    assert found == [("queue resume",), ("migrate down",)]


def test_free_pages_beyond_a_reserve_are_cut_off_the_file(
    database: Database, db: sqlite3.Connection, rows: Rows
) -> None:
    """The file shrinks after many deletions, in steps that end when it is enough."""
    ids = [ended(rows, "completed", payload="x" * 100_000) for _ in range(100)]
    full = sizes.pages(db)
    with database.transaction() as writer:
        retention.delete(writer, expiry(JobStatus.COMPLETED, WEEK, NOW), ids, never)
    assert sizes.pages(db).free > 2_000
    steps = 0
    while most := sizes.pages(db).to_give_back():
        with database.transaction() as writer:
            sizes.give_back(writer, most, lambda: True)
        steps += 1
    left = sizes.pages(db)
    assert steps > 1
    assert left.free <= sizes.FREE_PAGES
    assert left.total < full.total / 2


def test_a_file_made_without_auto_vacuum_can_be_written_anew() -> None:
    """And gives back pages from then on."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("CREATE TABLE t (x)")
    assert sizes.pages(db).incremental is False
    sizes.rewrite(db)
    assert sizes.pages(db).incremental is True
    db.close()
