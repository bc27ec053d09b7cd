"""What each verb sets: exactly these columns, to exactly these values."""

import sqlite3
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from jobd.core.job import AttemptOutcome, Row, Settlement
from jobd.core.lifecycle import (
    ENDED,
    EXECUTING,
    MOVES,
    PENDING,
    RETRYING,
    RUNNING,
    TIMEOUT,
    ZOMBIE,
    FailureType,
    JobStatus,
)
from jobd.store import outcomes
from jobd.store.connection import Database
from tests.store.conftest import NOW, OWNER, Rows
from tests.store.test_verbs import VERBS, fence

BUSY = {
    # What an attempt may have gathered by the time it ends.
    "claimed_at": 10, "started_at": 20, "timed_out_at": 30, "scheduled_at": 5,
    "cancel_requested_at": 40, "release_requested_at": 41, "stop_requested_at": 42,
    "next_retry_at": 6, "retry_delay_ms": 7, "retry_count": 1, "snooze_count": 4,
}
BACK_IN_LINE = {
    "worker_id": None, "claimed_at": None, "started_at": None, "timed_out_at": None,
    "cancel_requested_at": None, "release_requested_at": None, "stop_requested_at": None,
    "execution_over": 1,
}
FAILURE = {
    "failure_type": "network", "error_message": "no route",
    "last_error_traceback": "Traceback ...",
}
NO_RETRY = {"next_retry_at": None, "retry_delay_ms": None}

SETS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("complete", {},
     {"status": "completed", "result": '"done"', "completed_at": NOW, "started_at": 50,
      "execution_over": 1, **NO_RETRY}),
    ("complete", {"result": None, "started_at": None},
     {"status": "completed", "completed_at": NOW, "execution_over": 1, **NO_RETRY}),
    ("retry", {},
     {"status": "retrying", **FAILURE, **BACK_IN_LINE, "retry_count": 2, "rescue_count": 1,
      "next_retry_at": NOW + 1_000, "retry_delay_ms": 1_000, "due_at": NOW + 1_000}),
    ("retry", {"next_retry_at": NOW, "retry_delay_ms": 0},
     {"status": "retrying", **FAILURE, **BACK_IN_LINE, "retry_count": 2, "rescue_count": 1,
      "next_retry_at": NOW, "retry_delay_ms": 0, "ready": 1}),
    ("park", {},
     {"status": "dead_letter", **FAILURE, "dead_letter_reason": "why",
      "moved_to_dead_letter_at": NOW, "started_at": 50, "execution_over": 1, **NO_RETRY}),
    ("park", {"execution_over": 0, "started_at": None},
     {"status": "dead_letter", **FAILURE, "dead_letter_reason": "why",
      "moved_to_dead_letter_at": NOW, **NO_RETRY}),
    ("give_up", {},
     {"status": "failed", **FAILURE, "completed_at": NOW, "started_at": 50, "execution_over": 1,
      **NO_RETRY}),
    ("release", {},
     {"status": "pending", **BACK_IN_LINE, "ready": 1, "scheduled_at": None, **NO_RETRY}),
    ("snooze", {},
     {"status": "pending", **BACK_IN_LINE, "snooze_count": 5, "scheduled_at": NOW + 1_000,
      "due_at": NOW + 1_000, **NO_RETRY}),
    ("snooze", {"scheduled_at": NOW},
     {"status": "pending", **BACK_IN_LINE, "snooze_count": 5, "scheduled_at": NOW, "ready": 1,
      **NO_RETRY}),
    ("stop", {},
     {"status": "cancelled", "completed_at": NOW, "started_at": 50, "execution_over": 1}),
    ("time_out", {}, {"status": "timeout", "timed_out_at": NOW, "started_at": 50}),
    ("time_out", {"started_at": None}, {"status": "timeout", "timed_out_at": NOW}),
    ("lose", {}, {"status": "zombie"}),
    ("record_start", {}, {"started_at": 50}),
    ("request_stop", {}, {"stop_requested_at": NOW}),
]


@pytest.mark.parametrize(
    ("verb", "given", "expected"), SETS, ids=[f"{i}-{row[0]}" for i, row in enumerate(SETS)]
)
def test_what_a_verb_sets(
    database: Database, rows: Rows, verb: str, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    """From `running` it sets what the table says, and touches no other column."""
    job_id = rows.put("running", **BUSY)

    def write() -> None:
        with database.transaction() as db:
            assert VERBS[verb][0](db, [fence(job_id, **given)], NOW) == [job_id]

    assert rows.change(job_id, write) == expected


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("status", EXECUTING)
def test_what_is_ready_may_be_claimed(
    database: Database, rows: Rows, verb: str, status: JobStatus
) -> None:
    """After any verb: ready means waiting, due and over; a waiting row is ready or has a time."""
    job_id = rows.put(status, **BUSY)
    for due in (NOW - 1, NOW, NOW + 1):
        with database.transaction() as db:
            VERBS[verb][0](db, [fence(job_id, next_retry_at=due, scheduled_at=due)], NOW)
        row = rows.get(job_id)
        if row["status"] in (PENDING, RETRYING):
            assert row["execution_over"] == 1
            later = due > NOW and verb in ("retry", "snooze")
            assert (row["ready"], row["due_at"]) == ((0, due) if later else (1, None))
        else:
            assert (row["ready"], row["due_at"]) == (0, None)
        job_id = rows.put(status, **BUSY)


def test_each_move_that_settle_chooses_has_its_verb() -> None:
    """The verbs by move end where the move ends, and cover every end of an attempt."""
    ends = {move for move in MOVES if set(move.sources) & set(EXECUTING)}
    others = {"job.completed", "job.timed_out", "job.zombified"}
    assert {move.event for move in ends} - others == {move.event for move in outcomes.ENDINGS}


@pytest.mark.parametrize(
    ("status", "over"),
    [*product(EXECUTING, [0]), *product((PENDING, RETRYING, *ENDED), [1]),
     ("dead_letter", 0), ("cancelled", 0)],
)
def test_mark_over_proves_what_a_status_leaves_open(
    database: Database, rows: Rows, status: str, over: int
) -> None:
    """It ends the execution of a parked or cancelled row, and touches nothing else."""
    job_id, other = rows.put(status, execution_over=over), rows.put(status, execution_over=over)
    open_end = status in ("dead_letter", "cancelled") and over == 0
    untouched = rows.get(other)

    def mark() -> None:
        with database.transaction() as db:
            assert outcomes.mark_over(db, [(job_id, 3)]) == ([job_id] if open_end else [])

    assert rows.change(job_id, mark) == ({"execution_over": 1} if open_end else {})
    assert rows.get(other) == untouched


@pytest.mark.parametrize("stale", [2, 4])
def test_mark_over_is_fenced_by_the_attempt(database: Database, rows: Rows, stale: int) -> None:
    """Another attempt's end proves nothing about this one."""
    job_id = rows.put("dead_letter", execution_over=0)
    with database.transaction() as db:
        assert outcomes.mark_over(db, [(job_id, stale)]) == []
        assert outcomes.mark_over(db, []) == []
    assert rows.get(job_id)["execution_over"] == 0


def test_rows_to_settle_are_read_as_they_are_now(database: Database, rows: Rows) -> None:
    """Every value that `settle` decides by, for the ids that still exist."""
    columns = {name: value for name, value in BUSY.items() if name in Row.__slots__}
    job_id = rows.put("timeout", rescue_count=2, max_retries=9, queue="q", **columns)
    found = outcomes.rows_to_settle(database.connection, [job_id, job_id + 1])
    assert found == {
        job_id: Row(
            id=job_id, job_type="t", queue="q", status=TIMEOUT, attempt=3, worker_id=OWNER,
            rescue_count=2, max_retries=9, **columns,
        )
    }


def test_executing_rows_are_those_not_known_to_be_over(
    db: sqlite3.Connection, rows: Rows
) -> None:
    """The sweep sees the executing statuses, and what was parked while it still executes."""
    expected = [rows.put(status) for status in (RUNNING, TIMEOUT, ZOMBIE)]
    expected += [rows.put(status, execution_over=0) for status in ("dead_letter", "cancelled")]
    for status in (PENDING, RETRYING, *ENDED):
        rows.put(status)
    assert [row.id for row in outcomes.executing_rows(db)] == expected


SETTLEMENT = Settlement(
    job_id=1, attempt=3, worker_id=OWNER, outcome=AttemptOutcome.TIMEOUT, worker="JobWorker-2",
    claimed_at=10, started_at=20,
)
TIMED_OUT = replace(
    SETTLEMENT, failure_type=FailureType.TIMEOUT, error_message="the deadline passed",
    stack="File x.py", timed_out_at=30,
)


def kept(db: sqlite3.Connection, *settlements: Settlement, ended: bool = True) -> None:
    outcomes.keep_attempts(db, settlements, NOW, ended=ended)


def test_an_attempt_is_kept(db: sqlite3.Connection, rows: Rows) -> None:
    """Its outcome, cause, owner, worker and times stand in `job_attempts`."""
    rows.put("running")
    kept(db, replace(TIMED_OUT, traceback="Traceback ...", late_result='"late"', exit_status=-9))
    assert rows.all("SELECT * FROM job_attempts") == [{
        "job_id": 1, "attempt": 3, "outcome": "timeout", "failure_type": "timeout",
        "error_message": "the deadline passed", "traceback": "Traceback ...",
        "stack": "File x.py", "worker_id": OWNER, "worker": "JobWorker-2", "claimed_at": 10,
        "started_at": 20, "timed_out_at": 30, "ended_at": NOW, "late_result": '"late"',
        "exit_status": -9,
    }]


def test_the_end_adds_to_an_earlier_verdict(db: sqlite3.Connection, rows: Rows) -> None:
    """The verdict's stack and cause stay; the outcome is the last word; the end gives the time."""
    rows.put("running")
    kept(db, TIMED_OUT, ended=False)
    assert rows.all("SELECT outcome, ended_at FROM job_attempts") == [
        {"outcome": "timeout", "ended_at": None}
    ]
    end = replace(
        SETTLEMENT, outcome=AttemptOutcome.RETRYING, failure_type=FailureType.NETWORK,
        traceback="Traceback ...",
    )
    kept(db, end)
    assert rows.all(
        "SELECT outcome, failure_type, stack, traceback, timed_out_at, ended_at FROM job_attempts"
    ) == [{
        "outcome": "retrying", "failure_type": "timeout", "stack": "File x.py",
        "traceback": "Traceback ...", "timed_out_at": 30, "ended_at": NOW,
    }]


def test_a_late_word_changes_no_outcome(db: sqlite3.Connection, rows: Rows) -> None:
    """It only adds what the handler returned after all; the first end gave the time."""
    rows.put("running")
    kept(db, replace(TIMED_OUT, outcome=AttemptOutcome.DEAD_LETTER))
    late = replace(SETTLEMENT, outcome=AttemptOutcome.LATE, late_result='"late"')
    outcomes.keep_attempts(db, [late], NOW + 5)
    assert rows.all("SELECT outcome, late_result, ended_at FROM job_attempts") == [
        {"outcome": "dead_letter", "late_result": '"late"', "ended_at": NOW}
    ]


@pytest.mark.parametrize("outcome", list(AttemptOutcome))
def test_every_outcome_can_be_kept(
    db: sqlite3.Connection, rows: Rows, outcome: AttemptOutcome
) -> None:
    """The CHECK of the table knows each of them."""
    rows.put("running")
    kept(db, replace(SETTLEMENT, outcome=outcome))
    assert rows.all("SELECT outcome FROM job_attempts") == [{"outcome": str(outcome)}]
    kept(db)
