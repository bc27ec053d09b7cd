"""How attempts end that do not succeed: one verb per move, each a guarded write over many rows.

Every verb takes `(db, rows, now)`, must run inside `transaction()`, and returns the ids that it
changed; a row that is missing from them had been moved by another hand.
"""

import json
import sqlite3
from collections.abc import Sequence

from jobd.core.job import Row, Settlement
from jobd.core.lifecycle import (
    EXECUTING,
    GIVE_UP,
    LOSE,
    PARK,
    RELEASE,
    RETRY,
    SNOOZE,
    STOP,
    TIME_OUT,
    JobStatus,
    Move,
)
from jobd.errors import SchemaError
from jobd.store.verbs import Write, fenced_write, move_write

_BACK_IN_LINE = """
    worker_id = NULL, claimed_at = NULL, started_at = NULL, timed_out_at = NULL,
    cancel_requested_at = NULL, release_requested_at = NULL, stop_requested_at = NULL,
    execution_over = 1
"""
_FAILURE = """
    failure_type = new.failure_type, error_message = new.error_message,
    last_error_traceback = new.traceback
"""
# A buffered job may end before anybody has written that it began.
_STARTED = "started_at = coalesce(new.started_at, job_queue.started_at)"

retry = move_write(
    RETRY,
    ("failure_type", "error_message", "traceback", "retry_count", "rescue_count",
     "next_retry_at", "retry_delay_ms"),
    f"""{_FAILURE}, {_BACK_IN_LINE}, retry_count = new.retry_count,
    rescue_count = new.rescue_count, next_retry_at = new.next_retry_at,
    retry_delay_ms = new.retry_delay_ms, ready = new.next_retry_at <= :now AND batch_id IS NULL,
    due_at = CASE WHEN new.next_retry_at > :now THEN new.next_retry_at END""",
)

park = move_write(
    PARK,
    ("failure_type", "error_message", "traceback", "dead_letter_reason", "execution_over",
     "started_at"),
    f"""{_FAILURE}, {_STARTED}, dead_letter_reason = new.dead_letter_reason,
    moved_to_dead_letter_at = :now, execution_over = new.execution_over,
    next_retry_at = NULL, retry_delay_ms = NULL""",
)

give_up = move_write(
    GIVE_UP,
    ("failure_type", "error_message", "traceback", "started_at"),
    f"""{_FAILURE}, {_STARTED}, completed_at = :now, execution_over = 1,
    next_retry_at = NULL, retry_delay_ms = NULL""",
)

release = move_write(
    RELEASE,
    (),
    f"""{_BACK_IN_LINE}, scheduled_at = NULL, next_retry_at = NULL, retry_delay_ms = NULL,
    ready = batch_id IS NULL""",
)

snooze = move_write(
    SNOOZE,
    ("scheduled_at", "snooze_count"),
    f"""{_BACK_IN_LINE}, snooze_count = new.snooze_count, scheduled_at = new.scheduled_at,
    next_retry_at = NULL, retry_delay_ms = NULL,
    ready = new.scheduled_at <= :now AND batch_id IS NULL,
    due_at = CASE WHEN new.scheduled_at > :now THEN new.scheduled_at END""",
)

stop = move_write(
    STOP, ("started_at",), f"{_STARTED}, completed_at = :now, execution_over = 1"
)

time_out = move_write(TIME_OUT, ("started_at",), f"{_STARTED}, timed_out_at = :now")

lose = move_write(LOSE, (), "worker_id = job_queue.worker_id")

ENDINGS: dict[Move, Write] = {
    RETRY: retry,
    PARK: park,
    GIVE_UP: give_up,
    RELEASE: release,
    SNOOZE: snooze,
    STOP: stop,
}
"""The verb for each move that `settle` may choose."""

record_start = fenced_write(
    (JobStatus.RUNNING,), ("started_at",), "started_at = new.started_at"
)

request_stop = fenced_write(
    EXECUTING, (), "stop_requested_at = :now"
)


def mark_over(db: sqlite3.Connection, attempts: Sequence[tuple[int, int]]) -> list[int]:
    """Record that the execution of these (job id, attempt) is over, whatever the status.

    Only where the status does not say otherwise: a row that is still executing by its status
    is ended by its own verb, never by this one.
    """
    rows = db.execute(
        """
        UPDATE job_queue SET execution_over = 1
        FROM (SELECT json_extract(value, '$[0]') AS job_id, json_extract(value, '$[1]') AS attempt
              FROM json_each(?)) AS new
        WHERE job_queue.id = new.job_id AND job_queue.attempt = new.attempt
            AND job_queue.execution_over = 0
            AND job_queue.status IN ('dead_letter', 'cancelled')
        RETURNING job_queue.id
        """,
        (json.dumps(list(attempts)),),
    ).fetchall()
    return [job_id for (job_id,) in rows]


_STATUSES = frozenset(JobStatus)

_ROW = """
    j.id, j.job_type, j.queue, j.status, j.attempt, j.worker_id, j.retry_count, j.rescue_count,
    j.snooze_count, j.max_retries, j.claimed_at, j.started_at, j.timed_out_at,
    j.cancel_requested_at, j.release_requested_at, j.stop_requested_at
"""


def rows_to_settle(db: sqlite3.Connection, ids: Sequence[int]) -> dict[int, Row]:
    """What the database says of these jobs now, by id."""
    found = db.execute(
        f"SELECT {_ROW} FROM json_each(?) AS wanted JOIN job_queue AS j ON j.id = wanted.value",
        (json.dumps(list(ids)),),
    ).fetchall()
    return {row[0]: _row(row) for row in found}


def executing_rows(db: sqlite3.Connection) -> list[Row]:
    """Every attempt whose execution is not known to be over; few, through a partial index."""
    found = db.execute(  # +id: for the order alone SQLite would rather walk the whole table
        f"SELECT {_ROW} FROM job_queue AS j WHERE j.execution_over = 0 ORDER BY +j.id"
    ).fetchall()
    return [_row(row) for row in found]


def _row(values: tuple[object, ...]) -> Row:
    job_id, job_type, queue, status, *rest = values
    if status not in _STATUSES:
        raise SchemaError(
            f"row {job_id} of job_queue: status is {status!r:.60}, none that jobd knows "
            "(`jobd migrate repair`)"
        )
    return Row(job_id, job_type, queue, JobStatus(status), *rest)  # type: ignore[arg-type]


_ATTEMPT_COLUMNS = (
    "job_id", "attempt", "worker_id", "outcome", "failure_type", "error_message", "traceback",
    "stack", "worker", "claimed_at", "started_at", "timed_out_at", "late_result",
    "exit_status",
)
_ATTEMPT_VALUES = ", ".join(
    f"json_extract(value, '$[{i}]')" for i in range(len(_ATTEMPT_COLUMNS))
)


def keep_attempts(
    db: sqlite3.Connection, settlements: Sequence[Settlement], now: int, *, ended: bool = True
) -> None:
    """Write each attempt that did not complete into `job_attempts`; a later word adds.

    A verdict's stack and type stay when the end of the attempt comes later; only the first end
    gives `ended_at`.
    """
    if not settlements:
        return
    packed = json.dumps(
        [[getattr(s, column) for column in _ATTEMPT_COLUMNS] for s in settlements]
    )
    db.execute(
        f"""
        INSERT INTO job_attempts ({', '.join(_ATTEMPT_COLUMNS)}, ended_at)
        SELECT {_ATTEMPT_VALUES}, :ended_at FROM json_each(:rows) WHERE true
        ON CONFLICT (job_id, attempt) DO UPDATE SET
            outcome = CASE WHEN excluded.outcome = 'late' THEN outcome ELSE excluded.outcome END,
            failure_type = coalesce(failure_type, excluded.failure_type),
            error_message = coalesce(error_message, excluded.error_message),
            traceback = coalesce(traceback, excluded.traceback),
            stack = coalesce(stack, excluded.stack),
            worker = coalesce(worker, excluded.worker),
            timed_out_at = coalesce(timed_out_at, excluded.timed_out_at),
            late_result = coalesce(late_result, excluded.late_result),
            exit_status = coalesce(exit_status, excluded.exit_status),
            ended_at = coalesce(ended_at, excluded.ended_at)
        """,
        {"rows": packed, "ended_at": now if ended else None},
    )
