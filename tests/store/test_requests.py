"""What a person asks: every request in every status, against a real row."""

import sqlite3
from typing import Any

import pytest

from jobd.core.lifecycle import EXECUTING, JobStatus, Request
from jobd.store import outcomes, requests
from jobd.store.connection import Database
from jobd.store.news import news
from tests.store.conftest import NOW, OWNER, Row, Rows
from tests.store.test_verbs import fence

CANCELLED = {"status": "cancelled", "completed_at": NOW, "cancel_requested_at": NOW, "ready": 0}
REVIVED = {
    "status": "pending", "ready": 1, "retry_count": 0, "rescue_count": 0, "snooze_count": 0,
    "worker_id": None, "claimed_at": None, "started_at": None, "timed_out_at": None,
    "scheduled_at": None, "next_retry_at": None, "retry_delay_ms": None, "completed_at": None,
    "dead_letter_reason": None, "moved_to_dead_letter_at": None, "stop_requested_at": None,
}
USED = {
    "retry_count": 2, "rescue_count": 1, "snooze_count": 3, "claimed_at": 10, "started_at": 20,
    "timed_out_at": 30, "scheduled_at": 5, "next_retry_at": 6, "retry_delay_ms": 7,
    "dead_letter_reason": "why", "moved_to_dead_letter_at": 8, "completed_at": 9,
    "stop_requested_at": 11,
}
NO_CHANGE: Row = {}
ENDED = "already ended"
USE_RETRY = "already ended; use retry"
NOT_NOW = "still executing; cancel or release it"

TABLE: list[tuple[str, str, Row | str]] = [
    ("cancel", "pending", CANCELLED),
    ("cancel", "retrying", CANCELLED),
    ("cancel", "running", {"cancel_requested_at": NOW}),
    ("cancel", "timeout", {"cancel_requested_at": NOW}),
    ("cancel", "zombie", {"cancel_requested_at": NOW}),
    ("cancel", "dead_letter", {k: v for k, v in CANCELLED.items() if k != "ready"}),
    ("cancel", "failed", ENDED),
    ("cancel", "cancelled", ENDED),
    ("cancel", "completed", ENDED),
    ("release", "pending", NO_CHANGE),
    ("release", "retrying", NO_CHANGE),
    ("release", "running", {"release_requested_at": NOW}),
    ("release", "timeout", {"release_requested_at": NOW}),
    ("release", "zombie", {"release_requested_at": NOW}),
    ("release", "dead_letter", USE_RETRY),
    ("release", "failed", USE_RETRY),
    ("release", "cancelled", USE_RETRY),
    ("release", "completed", ENDED),
    ("retry", "pending", NO_CHANGE),
    ("retry", "retrying", {"next_retry_at": NOW}),
    ("retry", "running", NOT_NOW),
    ("retry", "timeout", NOT_NOW),
    ("retry", "zombie", NOT_NOW),
    ("retry", "dead_letter", REVIVED),
    ("retry", "failed", REVIVED),
    ("retry", "cancelled", REVIVED),
    ("retry", "completed", "already completed"),
]


def actions(rows: Rows) -> list[Row]:
    return rows.all("SELECT acted_at, actor, verb, job_id, detail FROM operator_actions")


def ask(database: Database, what: str, job_id: int, now: int = NOW) -> requests.Replied:
    with database.transaction() as db:
        return requests.request(db, Request(what), job_id, now, "ann")


@pytest.mark.parametrize(("what", "status", "expected"), TABLE)
def test_a_request_in_a_status(
    database: Database, rows: Rows, what: str, status: str, expected: Row | str
) -> None:
    """It changes what the table of requests says; whatever it changes is on record."""
    job_id, other = rows.put(status, **USED), rows.put(status, **USED)
    untouched = rows.get(other)
    replies: list[requests.Replied] = []
    changes = rows.change(job_id, lambda: replies.append(ask(database, what, job_id)))
    refusal = expected if isinstance(expected, str) else None
    assert changes == ({} if refusal else expected)
    assert replies == [requests.Replied(job_id, JobStatus(status), refusal, bool(changes))]
    record = {
        "acted_at": NOW, "actor": "ann", "verb": what, "job_id": job_id, "detail": f"was {status}"
    }
    assert actions(rows) == ([record] if changes else [])
    assert rows.get(other) == untouched


def test_the_table_asks_every_person_s_request_in_every_status() -> None:
    """Three requests in nine statuses; stop and a dead owner are not a person's to ask."""
    pairs = {(what, status) for what, status, _ in TABLE}
    assert len(pairs) == len(TABLE) == 3 * len(JobStatus)


@pytest.mark.parametrize("status", JobStatus)
def test_a_stopping_daemon_marks_what_still_executes(
    database: Database, rows: Rows, status: JobStatus
) -> None:
    """Its stop is stored in executing rows, and means nothing to any other."""
    job_id = rows.put(status)

    def stop() -> None:
        with database.transaction() as db:
            outcomes.request_stop(db, [fence(job_id)], NOW)

    expected = {"stop_requested_at": NOW} if status in EXECUTING else {}
    assert rows.change(job_id, stop) == expected


@pytest.mark.parametrize("status", JobStatus)
def test_the_owner_of_an_attempt_is_dead(
    database: Database, rows: Rows, status: JobStatus
) -> None:
    """Running and timeout become zombie; a zombie stays one; nothing else had an owner."""
    job_id = rows.put(status)

    def lose() -> None:
        with database.transaction() as db:
            outcomes.lose(db, [fence(job_id)], NOW)

    expected = {"status": "zombie"} if status in ("running", "timeout") else {}
    assert rows.change(job_id, lose) == expected


@pytest.mark.parametrize("what", ["cancel", "release", "retry"])
def test_a_job_that_does_not_exist(database: Database, rows: Rows, what: str) -> None:
    """It has no status, and the refusal says why."""
    assert ask(database, what, 99) == requests.Replied(99, None, "no such job")
    assert actions(rows) == []


@pytest.mark.parametrize("status", ["dead_letter", "cancelled"])
def test_no_retry_while_an_execution_may_go_on(
    database: Database, rows: Rows, status: str
) -> None:
    """The refusal names the way out; nothing is changed or recorded."""
    job_id = rows.put(status, execution_over=0)
    replied = ask(database, "retry", job_id)
    assert replied.refusal == "its last attempt may still be executing; restart the daemon first"
    assert (rows.get(job_id)["status"], actions(rows)) == (status, [])


def test_a_parked_job_that_still_executes_can_be_cancelled(
    database: Database, rows: Rows
) -> None:
    """It becomes cancelled; the proof that its execution is over stays open."""
    job_id = rows.put("dead_letter", execution_over=0)
    assert ask(database, "cancel", job_id).changed
    row = rows.get(job_id)
    assert (row["status"], row["execution_over"]) == ("cancelled", 0)


@pytest.mark.parametrize(("what", "status"), [("cancel", "pending"), ("retry", "retrying")])
def test_a_waiting_job_loses_its_time(
    database: Database, rows: Rows, what: str, status: str
) -> None:
    """A cancel takes it out of the line, a retry puts it to where it may be claimed at once."""
    job_id = rows.put(status, due_at=NOW + 9_000, next_retry_at=NOW + 9_000)
    assert ask(database, what, job_id).changed
    row = rows.get(job_id)
    assert (row["ready"], row["due_at"]) == (int(what == "retry"), None)


@pytest.mark.parametrize("status", ["pending", "dead_letter"])
def test_a_cancelled_job_comes_back_without_its_request(
    database: Database, rows: Rows, status: str
) -> None:
    """The stored cancel of the last life does not end the next one."""
    job_id = rows.put(status)
    assert ask(database, "cancel", job_id).changed
    assert ask(database, "retry", job_id).changed
    row = rows.get(job_id)
    assert (row["status"], row["cancel_requested_at"], row["attempt"]) == ("pending", None, 3)


@pytest.mark.parametrize("what", ["cancel", "release"])
def test_the_first_request_keeps_its_time(database: Database, rows: Rows, what: str) -> None:
    """Asked again, the stored request stays what it was."""
    job_id = rows.put("running")
    ask(database, what, job_id, NOW)
    ask(database, what, job_id, NOW + 500)
    assert rows.get(job_id)[f"{what}_requested_at"] == NOW


def test_both_requests_may_be_stored(database: Database, rows: Rows) -> None:
    """A release first and a cancel later stand side by side; the end decides."""
    job_id = rows.put("zombie")
    ask(database, "release", job_id, NOW)
    ask(database, "cancel", job_id, NOW + 1)
    row = rows.get(job_id)
    assert (row["release_requested_at"], row["cancel_requested_at"]) == (NOW, NOW + 1)


@pytest.mark.parametrize("status", ["dead_letter", "failed", "cancelled"])
@pytest.mark.parametrize("holder", ["pending", "running", "timeout", "zombie", "retrying"])
def test_no_retry_while_another_job_has_the_key(
    database: Database, rows: Rows, status: str, holder: str
) -> None:
    """A live job took the unique key meanwhile; the refusal names it."""
    job_id = rows.put(status, unique_key="k")
    other = rows.put(holder, unique_key="k")
    before = rows.get(job_id)
    assert ask(database, "retry", job_id).refusal == f"its unique key is held by job {other}"
    assert (rows.get(job_id), actions(rows)) == (before, [])


@pytest.mark.parametrize("other", ["completed", "failed", "dead_letter", "cancelled"])
def test_an_ended_job_holds_no_key(database: Database, rows: Rows, other: str) -> None:
    """Ending frees the key, dead_letter included."""
    rows.put(other, unique_key="k")
    job_id = rows.put("failed", unique_key="k")
    assert ask(database, "retry", job_id).changed


def test_what_the_dispatcher_must_tell_its_workers(db: sqlite3.Connection, rows: Rows) -> None:
    """Executing jobs of this owner with a stored cancel or release; a cancel goes first."""
    cancel = rows.put("running", cancel_requested_at=1)
    release = rows.put("timeout", release_requested_at=1)
    both = rows.put("zombie", cancel_requested_at=2, release_requested_at=1)
    rows.put("running")
    rows.put("running", stop_requested_at=1)
    rows.put("running", cancel_requested_at=1, worker_id="daemon-2")
    rows.put("cancelled", cancel_requested_at=1)
    found = sorted(news(db, OWNER).asked_to_stop)
    assert found == [(cancel, 3, True), (release, 3, False), (both, 3, True)]


def test_a_bulk_retry_walks_in_slices(db: sqlite3.Connection, rows: Rows) -> None:
    """Ids of the asked statuses in order, from above the last one of the slice before."""
    dead = [rows.put(status) for status in ["dead_letter", "failed"] * 3]
    for status in ("pending", "running", "completed", "retrying", "cancelled"):
        rows.put(status)
    asked = [JobStatus.DEAD_LETTER, JobStatus.FAILED]
    assert requests.ids_to_retry(db, asked, 0, 4) == dead[:4]
    assert requests.ids_to_retry(db, asked, dead[3], 4) == dead[4:]
    assert requests.ids_to_retry(db, asked[:1], 0, 99) == dead[::2]
    assert requests.ids_to_retry(db, [], 0, 99) == []


def queue(rows: Rows) -> list[Row]:
    return rows.all("SELECT paused_at, paused_by, concurrency FROM queues WHERE name = 'media'")


def test_a_queue_is_paused_once(database: Database, rows: Rows) -> None:
    """The second pause changes nothing and is not recorded."""
    with database.transaction() as db:
        assert requests.pause_queue(db, "media", NOW, "ann")
        assert not requests.pause_queue(db, "media", NOW + 5, "bob")
    assert queue(rows) == [{"paused_at": NOW, "paused_by": "ann", "concurrency": None}]
    assert [(each["verb"], each["detail"]) for each in actions(rows)] == [("queue pause", "media")]


def test_a_queue_is_resumed_once(database: Database, rows: Rows) -> None:
    """Its limit stays; a queue that is open, or unknown, is not resumed."""
    values: dict[str, Any] = {"now": NOW, "actor": "ann"}
    with database.transaction() as db:
        db.execute("INSERT INTO queues (name, concurrency) VALUES ('media', 2)")
        assert not requests.resume_queue(db, "media", **values)
        assert not requests.resume_queue(db, "unknown", **values)
        assert requests.pause_queue(db, "media", **values)
        assert requests.resume_queue(db, "media", **values)
    assert queue(rows) == [{"paused_at": None, "paused_by": None, "concurrency": 2}]
    assert [each["verb"] for each in actions(rows)] == ["queue pause", "queue resume"]
