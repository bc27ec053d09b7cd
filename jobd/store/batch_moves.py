"""How a batch moves as a whole: it is stopped, ends with its last item, and is opened again.

Every verb runs inside one `transaction()`.
"""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from jobd.core.batch import callback_job
from jobd.core.batch_status import OPEN, BatchStatus
from jobd.errors import Refused
from jobd.store.batch_reading import IS_OPEN, find, get
from jobd.store.enqueue import enqueue
from jobd.store.reading import Record

_ALL_ENDED = "sealed_at IS NOT NULL AND completed_items + cancelled_items >= total_items"
_CALLBACKS = ("on_success", "on_failure", "on_end")
_TOLD = ("id", "name", "status", "run", "total_items", "successful_items", "failed_items",
         "cancelled_items")


class Ended(NamedTuple):
    """A batch that ended: its row as it is now, and the jobs that were enqueued for that."""

    batch: Record
    callbacks: Sequence[int]


def end_as(
    db: sqlite3.Connection, batch_id: int, status: BatchStatus, reason: str, now: int
) -> None:
    """Let no more items go, and end so once all have ended. What is said first counts."""
    db.execute(
        """UPDATE batch_jobs SET ends_as = :status, end_reason = :reason, updated_at = :now,
        paused_at = NULL, paused_by = NULL,
        status = CASE WHEN status = 'paused' THEN 'processing' ELSE status END
        WHERE id = :id AND ends_as IS NULL""",
        {"id": batch_id, "status": str(status), "reason": reason, "now": now},
    )


def finish(db: sqlite3.Connection, batch_id: int, now: int) -> Ended | None:
    """End the batch when all its items have, and enqueue what was to follow: once for each run."""
    changed = db.execute(
        f"""UPDATE batch_jobs SET status = coalesce(ends_as, 'completed'), completed_at = :now,
        updated_at = :now, estimated_time_remaining = NULL, paused_at = NULL, paused_by = NULL
        WHERE id = :id AND {IS_OPEN} AND {_ALL_ENDED}""",
        {"id": batch_id, "now": now},
    )
    if changed.rowcount != 1:
        return None
    batch = get(db, batch_id)
    told = {column: batch[column] for column in _TOLD}
    jobs = (callback_job(batch[each], told, now) for each in _due(batch) if batch[each])
    return Ended(batch, [enqueue(db, job, now) for job in jobs])


def _due(batch: Record) -> tuple[str, ...]:
    """Which callbacks an ended batch has: none but `on_end` when a person cancelled it."""
    if batch["status"] == BatchStatus.CANCELLED:
        return ("on_end",)
    failed = batch["status"] == BatchStatus.FAILED or batch["failed_items"]
    return ("on_failure" if failed else "on_success", "on_end")


def reopen(db: sqlite3.Connection, batch_id: int, now: int) -> bool:
    """Begin another run of a batch that had ended; one that is open stays as it is, and false
    is returned.

    Raises:
        NotFound, Refused: there is no such batch, it is ending, or another of its name is open.
    """
    batch = get(db, batch_id)
    if batch["status"] in OPEN:
        if batch["ends_as"]:
            raise Refused(f"batch {batch['name']} is ending; wait until it has")
        return False
    if batch["sealed_at"] is None:
        raise Refused(f"batch {batch['name']} is being deleted")
    held = find(db, batch["name"])
    if held is not None and held["status"] in OPEN:
        raise Refused(f"another batch {batch['name']} (id {held['id']}) is open")
    db.execute(
        """UPDATE batch_jobs SET status = 'processing', run = run + 1, completed_at = NULL,
        ends_as = NULL, end_reason = NULL, updated_at = :now WHERE id = :id""",
        {"id": batch_id, "now": now},
    )
    return True


def forgive(db: sqlite3.Connection, batch_id: int, *, reopened: bool) -> None:
    """After an item was brought back: what failed in an earlier run does not stop this one."""
    db.execute(
        """UPDATE batch_jobs SET failed_before =
            CASE WHEN :reopened THEN failed_items ELSE min(failed_before, failed_items) END
        WHERE id = :id""",
        {"id": batch_id, "reopened": reopened},
    )


def recount(db: sqlite3.Connection) -> int:
    """Make the counters what a count says, and jobs of batches that do not exist single ones;
    returns how many batches had it wrong."""
    lost = "batch_id IS NOT NULL AND batch_id NOT IN (SELECT id FROM batch_jobs)"
    db.execute(f"UPDATE job_queue SET batch_id = NULL WHERE {lost}")
    return db.execute(_RECOUNT).rowcount


_COUNTERS = ("total_items", "completed_items", "successful_items", "failed_items",
             "cancelled_items")
_RECOUNT = f"""
    UPDATE batch_jobs SET {", ".join(f"{each} = counted.{each}" for each in _COUNTERS)}
    FROM (
        SELECT b.id AS batch, count(j.id) AS total_items,
            count(*) FILTER (WHERE j.status IN ('completed', 'failed', 'dead_letter'))
                AS completed_items,
            count(*) FILTER (WHERE j.status = 'completed') AS successful_items,
            count(*) FILTER (WHERE j.status IN ('failed', 'dead_letter')) AS failed_items,
            count(*) FILTER (WHERE j.status = 'cancelled') AS cancelled_items
        FROM batch_jobs AS b LEFT JOIN batch_items AS i ON i.batch_job_id = b.id
            LEFT JOIN job_queue AS j ON j.id = i.job_id
        GROUP BY b.id
    ) AS counted WHERE counted.batch = batch_jobs.id
        AND ({" OR ".join(f"batch_jobs.{each} <> counted.{each}" for each in _COUNTERS)})
"""
