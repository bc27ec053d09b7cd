"""What a person asks of jobs: cancel, release, retry; and of queues: pause, resume.

Each runs inside one `transaction()`, follows the table of requests, and leaves a row in
`operator_actions`.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from jobd.core.lifecycle import CANCEL, REVIVE, JobStatus, Move, Request, answer
from jobd.errors import Refused
from jobd.store.actions import record_action
from jobd.store.batch_moves import finish, forgive, reopen
from jobd.store.verbs import UNCOMMON, quoted

REVIVED = f"""
    status = '{REVIVE.target}', ready = batch_id IS NULL, due_at = NULL,
    retry_count = 0, rescue_count = 0, snooze_count = 0, scheduled_at = NULL,
    next_retry_at = NULL, retry_delay_ms = NULL, dead_letter_reason = NULL,
    moved_to_dead_letter_at = NULL, completed_at = NULL, worker_id = NULL,
    claimed_at = NULL, started_at = NULL, timed_out_at = NULL, cancel_requested_at = NULL,
    release_requested_at = NULL, stop_requested_at = NULL
"""
"""What is set in a row that comes back with fresh counts."""


@dataclass(frozen=True, slots=True)
class Replied:
    """What became of a request about one job; `refusal` says why nothing did."""

    job_id: int
    status: JobStatus | None
    refusal: str | None = None
    changed: bool = False


def request(
    db: sqlite3.Connection, what: Request, job_id: int, now: int, actor: str
) -> Replied:
    """Ask `what` of one job, at once or stored until its execution is over."""
    row = db.execute(
        "SELECT status, execution_over, batch_id FROM job_queue WHERE id = ?", (job_id,)
    ).fetchone()
    if row is None:
        return Replied(job_id, None, "no such job")
    status = JobStatus(row[0])
    found = answer(what, status, execution_over=bool(row[1]))
    if found.refusal:
        return Replied(job_id, status, found.refusal)
    if found.move is CANCEL:
        _cancel(db, job_id, now, row[2])
    elif found.move is REVIVE:
        refusal = _revive(db, job_id, now, row[2])
        if refusal is not None:
            return Replied(job_id, status, refusal)
    elif found.due_now:
        _due_now(db, job_id, now)
    elif found.stored:
        _store(db, found.stored, job_id, now)
    else:
        return Replied(job_id, status)
    record_action(db, now, actor, what.value, job_id=job_id, detail=f"was {status}")
    return Replied(job_id, status, changed=True)


def _guard(move: Move) -> str:
    return f"id = :id AND status IN ({quoted(move.sources)})"


def _cancel(db: sqlite3.Connection, job_id: int, now: int, batch_id: int | None) -> None:
    db.execute(
        f"""UPDATE job_queue SET status = '{CANCEL.target}', completed_at = :now,
        cancel_requested_at = :now, ready = 0, due_at = NULL WHERE {_guard(CANCEL)}""",
        {"id": job_id, "now": now},
    )
    if batch_id is not None:
        finish(db, batch_id, now)


def _revive(
    db: sqlite3.Connection, job_id: int, now: int, batch_id: int | None
) -> str | None:
    """Back to pending with fresh counts, and its batch open again; why not otherwise."""
    holder = db.execute(
        """SELECT other.id FROM job_queue AS mine JOIN job_queue AS other
            ON other.unique_key = mine.unique_key AND other.id <> mine.id
        WHERE mine.id = ? AND other.status IN
            ('pending', 'running', 'timeout', 'zombie', 'retrying')""",
        (job_id,),
    ).fetchone()
    if holder is not None:
        return f"its unique key is held by job {holder[0]}"
    reopened = False
    if batch_id is not None:
        try:
            reopened = reopen(db, batch_id, now)
        except Refused as error:
            return str(error)
    db.execute(
        f"UPDATE job_queue SET {REVIVED} WHERE {_guard(REVIVE)} AND execution_over = 1",
        {"id": job_id},
    )
    if batch_id is not None:
        forgive(db, batch_id, reopened=reopened)
    return None


def _due_now(db: sqlite3.Connection, job_id: int, now: int) -> None:
    db.execute(
        """UPDATE job_queue SET next_retry_at = :now, ready = batch_id IS NULL, due_at = NULL
        WHERE id = :id AND status = 'retrying'""",
        {"id": job_id, "now": now},
    )


def _store(db: sqlite3.Connection, column: str, job_id: int, now: int) -> None:
    db.execute(
        f"UPDATE job_queue SET {column} = coalesce({column}, :now) "
        "WHERE id = :id AND execution_over = 0",
        {"id": job_id, "now": now},
    )


def ids_to_retry(
    db: sqlite3.Connection, statuses: Sequence[JobStatus], after: int, limit: int
) -> list[int]:
    """Ids above `after` in these end statuses, in order: one slice of a bulk retry."""
    rows = db.execute(
        f"""SELECT id FROM job_queue
        WHERE {UNCOMMON}
            AND status IN (SELECT value FROM json_each(?)) AND id > ?
        ORDER BY id LIMIT ?""",
        (json.dumps([str(status) for status in statuses]), after, limit),
    ).fetchall()
    return [job_id for (job_id,) in rows]


def pause_queue(db: sqlite3.Connection, name: str, now: int, actor: str) -> bool:
    """Stop claims from the queue; whether it was open before."""
    changed = db.execute(
        """INSERT INTO queues (name, paused_at, paused_by) VALUES (:name, :now, :actor)
        ON CONFLICT (name) DO UPDATE SET paused_at = :now, paused_by = :actor
        WHERE paused_at IS NULL RETURNING name""",
        {"name": name, "now": now, "actor": actor},
    ).fetchall()
    if changed:
        record_action(db, now, actor, "queue pause", detail=name)
    return bool(changed)


def resume_queue(db: sqlite3.Connection, name: str, now: int, actor: str) -> bool:
    """Allow claims from the queue again; whether it was paused before."""
    changed = db.execute(
        """UPDATE queues SET paused_at = NULL, paused_by = NULL
        WHERE name = ? AND paused_at IS NOT NULL RETURNING name""",
        (name,),
    ).fetchall()
    if changed:
        # A name that stood here for its pause alone goes with it.
        db.execute("DELETE FROM queues WHERE name = ? AND concurrency IS NULL", (name,))
        record_action(db, now, actor, "queue resume", detail=name)
    return bool(changed)
