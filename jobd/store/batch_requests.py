"""What a person asks of a batch: pause, resume, cancel, retry.

Each runs inside one `transaction()` and leaves a row in `operator_actions`. What concerns many
items goes in slices of a few milliseconds: cancelling by whoever asked, and by the daemon when
that one went away.
"""

import sqlite3

from jobd.core.batch_status import OPEN, BatchStatus
from jobd.core.lifecycle import CANCEL, JobStatus
from jobd.errors import Refused
from jobd.store.actions import record_action
from jobd.store.batch_moves import end_as, reopen
from jobd.store.batch_reading import get
from jobd.store.reading import Record
from jobd.store.requests import REVIVED
from jobd.store.verbs import UNCOMMON, quoted

AT_ONCE = 500
"""Items of one slice."""

_EDGE = """coalesce((
    SELECT job_id FROM batch_items WHERE batch_job_id = :batch ORDER BY position {} LIMIT 1
), 0)"""


def pause(db: sqlite3.Connection, batch_id: int, now: int, actor: str, *, stop: bool) -> bool:
    """Let no more items go; with `stop` also release those that run. Whether it was open before.

    Raises:
        NotFound, Refused: there is no such batch, or it has ended or is ending.
    """
    batch = _going(db, batch_id, "pause")
    changed = BatchStatus(batch["status"]) is not BatchStatus.PAUSED
    if changed:
        db.execute(
            """UPDATE batch_jobs SET status = 'paused', paused_at = :now, paused_by = :actor,
            updated_at = :now WHERE id = :id""",
            {"id": batch_id, "now": now, "actor": actor},
        )
    if stop:
        _ask(db, batch_id, "release_requested_at", now)
    if changed or stop:
        _record(db, now, actor, "pause", batch, stop)
    return changed


def resume(db: sqlite3.Connection, batch_id: int, now: int, actor: str) -> bool:
    """Let items go again; whether it was paused before. Raises as `pause`."""
    batch = _going(db, batch_id, "resume")
    if batch["status"] != BatchStatus.PAUSED:
        return False
    db.execute(
        """UPDATE batch_jobs SET paused_at = NULL, paused_by = NULL, updated_at = :now,
        status = CASE WHEN started_at IS NULL THEN 'queued' ELSE 'processing' END WHERE id = :id""",
        {"id": batch_id, "now": now},
    )
    _record(db, now, actor, "resume", batch)
    return True


def cancel(db: sqlite3.Connection, batch_id: int, now: int, actor: str, *, stop: bool) -> None:
    """Let no more items go and end as `cancelled`; with `stop` ask those that run to stop.

    The items that wait are cancelled by `cancel_slice`.

    Raises:
        NotFound, Refused: there is no such batch, or it has ended.
    """
    batch = get(db, batch_id)
    if batch["status"] not in OPEN:
        raise Refused(f"cancel of batch {batch['name']}: it has ended ({batch['status']})")
    end_as(db, batch_id, BatchStatus.CANCELLED, f"cancelled by {actor}", now)
    if stop:
        _ask(db, batch_id, "cancel_requested_at", now)
    _record(db, now, actor, "cancel", batch, stop)


def cancel_slice(db: sqlite3.Connection, batch_id: int, now: int) -> bool:
    """Cancel some of the waiting items of a batch that is ending; False when none is left."""
    changed = db.execute(
        f"""UPDATE job_queue SET status = '{CANCEL.target}', completed_at = :now,
        cancel_requested_at = :now, due_at = NULL
        WHERE id IN (
            SELECT id FROM job_queue WHERE batch_id = :id AND status IN ('pending', 'retrying')
                AND EXISTS (SELECT 1 FROM batch_jobs WHERE id = :id AND ends_as IS NOT NULL)
            LIMIT {AT_ONCE}
        )""",
        {"id": batch_id, "now": now},
    )
    return changed.rowcount == AT_ONCE


def retry(
    db: sqlite3.Connection, batch_id: int, now: int, actor: str, *, cancelled: bool
) -> None:
    """Open the batch for another run, and keep it open while `retry_slice` brings items back.

    Who asked holds the batch's lock meanwhile and calls `seal` in the end.

    Raises:
        NotFound, Refused: there is no such batch, it is ending, someone else is adding to it,
            its name is taken, or it has nothing to retry.
    """
    batch = get(db, batch_id)
    if not batch["failed_items"] and not (cancelled and batch["cancelled_items"]):
        raise Refused(f"retry of batch {batch['name']}: none of its items has failed")
    if batch["sealed_at"] is None:
        raise Refused(f"someone is adding items to batch {batch['name']}")
    reopen(db, batch_id, now)
    db.execute(
        "UPDATE batch_jobs SET sealed_at = NULL, failed_before = 0 WHERE id = ?", (batch_id,)
    )
    _record(db, now, actor, "retry", batch)


def retry_slice(
    db: sqlite3.Connection, batch_id: int, after: int, *, cancelled: bool
) -> tuple[int | None, int]:
    """Bring back some failed items with ids above `after`: (where to go on or None, how many)."""
    statuses = [JobStatus.FAILED, JobStatus.DEAD_LETTER, *([JobStatus.CANCELLED] * cancelled)]
    rows = db.execute(
        f"""SELECT id FROM job_queue
        WHERE {UNCOMMON} AND status IN ({quoted(statuses)}) AND batch_id = :batch
            AND id > max(:after, {_EDGE.format("ASC")} - 1) AND id <= {_EDGE.format("DESC")}
        ORDER BY id LIMIT {AT_ONCE}""",
        {"batch": batch_id, "after": after},
    ).fetchall()
    if not rows:
        return None, 0
    changed = db.execute(
        f"""UPDATE job_queue SET {REVIVED} WHERE execution_over = 1
        AND status IN ({quoted(statuses)}) AND batch_id = ? AND id BETWEEN ? AND ?""",
        (batch_id, rows[0][0], rows[-1][0]),
    )
    return rows[-1][0], changed.rowcount


def _going(db: sqlite3.Connection, batch_id: int, verb: str) -> Record:
    batch = get(db, batch_id)
    if batch["status"] not in OPEN:
        raise Refused(f"{verb} of batch {batch['name']}: it has ended ({batch['status']})")
    if batch["ends_as"]:
        raise Refused(f"{verb} of batch {batch['name']}: it is ending ({batch['end_reason']})")
    return batch


def _ask(db: sqlite3.Connection, batch_id: int, column: str, now: int) -> None:
    db.execute(
        f"""UPDATE job_queue SET {column} = coalesce({column}, :now)
        WHERE execution_over = 0 AND batch_id = :id""",
        {"id": batch_id, "now": now},
    )


def _record(
    db: sqlite3.Connection, now: int, actor: str, verb: str, batch: Record, stop: bool = False
) -> None:
    detail = f"{batch['name']} (id {batch['id']}){' --now' if stop else ''}"
    record_action(db, now, actor, f"batch {verb}", detail=detail)
