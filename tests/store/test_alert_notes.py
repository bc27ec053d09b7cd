"""The next jobs of the queues with their age, and which alerts were raised before."""

import sqlite3

from jobd.store import claims
from jobd.store.alert_notes import alerted, note_alerts
from jobd.store.requests import pause_queue
from tests.store.conftest import NOW, Rows


def test_the_next_in_line_is_told_with_its_age(db: sqlite3.Connection, rows: Rows) -> None:
    """By priority, then by id; of open queues only."""
    rows.put(queue="a", created_at=10)
    first = rows.put(queue="a", created_at=50, priority=3)
    rows.put(queue="b", created_at=20)
    rows.put("running", queue="c", created_at=1)
    pause_queue(db, "b", NOW, "ann")
    assert claims.next_in_line(db) == [
        {"queue": "a", "id": first, "job_type": "t", "ready_since": 50}
    ]


def test_a_job_ages_from_when_it_might_have_run(db: sqlite3.Connection, rows: Rows) -> None:
    """Not from when it was enqueued for later, or failed the last time."""
    rows.put(queue="a", created_at=10, scheduled_at=70)
    rows.put("retrying", queue="b", created_at=10, next_retry_at=90)
    assert [each["ready_since"] for each in claims.next_in_line(db)] == [70, 90]
    assert claims.depth(db) == (2, 70)


def test_an_alert_is_known_by_job_and_cause(db: sqlite3.Connection, rows: Rows) -> None:
    """The same job for another cause, or another job, was not told."""
    one, other = rows.put(), rows.put()
    note_alerts(db, [(one, "zombie"), (other, "dead_letter")], NOW)
    asked = [(one, "zombie"), (one, "dead_letter"), (other, "zombie"), (99, "zombie")]
    assert alerted(db, asked) == {(one, "zombie")}
    assert alerted(db, []) == set()
    kept = db.execute("SELECT acted_at, actor, verb FROM operator_actions").fetchall()
    assert kept == [(NOW, "jobd", "alerted")] * 2
