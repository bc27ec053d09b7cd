"""What goes on now: all of it, and by indexes alone."""

import json
import re
import sqlite3

import pytest

from jobd.store import live as page
from jobd.store.live import live
from jobd.store.requests import pause_queue
from tests.store.conftest import NOW, Rows

STATEMENTS = {name: text for name, text in vars(page).items()
              if re.fullmatch(r"_[A-Z]+", name) and isinstance(text, str)}
VALUES = {"_QUEUES": {"names": json.dumps(["a", "b"]), "most": 10}}
A_WHOLE_TABLE = re.compile(r"SCAN (job_queue|job_attempts|j)\b(?!.*USING (COVERING )?INDEX)")


def test_an_empty_database_shows_nothing(db: sqlite3.Connection) -> None:
    """And is no error."""
    found = live(db)
    assert (found.daemon, found.queues, found.running, found.due, found.failures) == (
        None, [], [], [], [])
    assert set(found.counts.values()) == {0}


def test_queues_with_their_depth_and_oldest_age(db: sqlite3.Connection, rows: Rows) -> None:
    """The oldest of all priorities counts, from when it might have run; paused queues are there."""
    rows.put(queue="a", created_at=100, priority=5)
    rows.put(queue="a", created_at=50)
    rows.put(queue="a", created_at=10, scheduled_at=70, priority=-3)
    rows.put("running", queue="b", created_at=1)
    pause_queue(db, "c", NOW, "ann")
    found = {each["name"]: each for each in live(db).queues}
    assert (found["a"]["ready"], found["a"]["running"], found["a"]["oldest_ready_at"]) == (3, 0, 50)
    assert (found["b"]["ready"], found["b"]["running"], found["b"]["oldest_ready_at"]) == (
        0, 1, None)
    assert (found["c"]["paused_at"], found["c"]["paused_by"]) == (NOW, "ann")


def test_running_jobs_with_their_progress(db: sqlite3.Connection, rows: Rows) -> None:
    """The longest first; progress of an earlier attempt is not shown."""
    late = rows.put("running", started_at=200, attempt=1)
    early = rows.put("running", started_at=100, attempt=2)
    for job_id, attempt in ((late, 1), (early, 1)):
        db.execute("INSERT INTO job_progress (job_id, attempt, done, total, message, reported_at) "
                   "VALUES (?, ?, 1, 4, 'x', 1)", (job_id, attempt))
    found = live(db).running
    assert [(each["id"], each["done"]) for each in found] == [(early, None), (late, 1.0)]


def test_what_is_due_next_and_what_failed_last(db: sqlite3.Connection, rows: Rows) -> None:
    """Each in its order; a release is no failure."""
    second = rows.put(due_at=200)
    first = rows.put("retrying", due_at=100, failure_type="network", retry_count=1)
    for attempt, outcome in ((1, "retrying"), (2, "released"), (3, "dead_letter")):
        db.execute("INSERT INTO job_attempts (job_id, attempt, outcome, error_message, ended_at) "
                   "VALUES (?, ?, ?, ?, 1)", (first, attempt, outcome, "x" * 5_000))
    found = live(db)
    assert [each["id"] for each in found.due] == [first, second]
    assert [each["outcome"] for each in found.failures] == ["dead_letter", "retrying"]
    assert len(found.failures[0]["error_message"]) == 300


def test_counts_stop_where_counting_gets_dear(
    db: sqlite3.Connection, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All queues share what may be counted."""
    monkeypatch.setattr(page, "COUNTED", 6)
    for number in range(10):
        rows.put(queue="ab"[number % 2])
    found = live(db)
    assert found.counted_to == 3
    assert [each["ready"] for each in found.queues] == [3, 3]


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_walks_the_whole_queue(db: sqlite3.Connection, name: str) -> None:
    """Every look at jobs goes through an index; of attempts the last few are read by rowid."""
    plan = [row[3] for row in db.execute(
        f"EXPLAIN QUERY PLAN {STATEMENTS[name]}", VALUES.get(name, {})
    ).fetchall()]
    walks = [line for line in plan if A_WHOLE_TABLE.search(line)]
    assert walks in ([], ["SCAN j"], ["SCAN job_attempts"])


def test_there_are_statements_to_ask() -> None:
    """The test above looks at all of them."""
    assert {"_NAMES", "_QUEUES", "_RUNNING", "_DUE", "_FAILURES", "_COUNTS"} == set(STATEMENTS)


def test_a_queue_from_another_hand_makes_no_error(db: sqlite3.Connection, rows: Rows) -> None:
    """Names that jobd would refuse are names all the same."""
    for name in ("", "a\x1b[2J", "x" * 10_000):
        rows.put(queue=name)
    assert len(live(db).queues) == 3
