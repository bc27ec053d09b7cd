"""Deleting batches that ended long ago, whole, in slices.

From its first slice on a batch is not sealed any more, so that nobody brings its items back.
"""

import sqlite3
from collections.abc import Callable

from jobd.store.batch_reading import IS_OPEN
from jobd.store.retention import AT_ONCE, delete_items

BATCHES = 200
"""So many are found at once."""
_ENDED = IS_OPEN.replace("status IN", "status NOT IN")
_GONE = f"""
    {_ENDED} AND (sealed_at IS NULL OR completed_at <= CASE
        WHEN status = 'completed' AND failed_items = 0 THEN :completed ELSE :ended END)
    AND NOT EXISTS (SELECT 1 FROM job_queue WHERE execution_over = 0 AND batch_id = batch_jobs.id)
"""


def expired(
    db: sqlite3.Connection, completed_before: int | None, ended_before: int | None
) -> list[int]:
    """Some batches that may go: completed without a failure by the first time (ms), ended in
    another way by the second; None is never."""
    values = {"completed": completed_before or 0, "ended": ended_before or 0}
    rows = db.execute(
        f"SELECT id FROM batch_jobs WHERE {_GONE} ORDER BY id LIMIT {BATCHES}", values
    ).fetchall()
    return [batch_id for (batch_id,) in rows]


def delete_slice(
    db: sqlite3.Connection, batch_id: int, enough: Callable[[], bool]
) -> tuple[list[int], bool]:
    """Delete items of an ended batch until `enough()`: (ids of their jobs, whether all is gone)."""
    begun = db.execute(
        f"UPDATE batch_jobs SET sealed_at = NULL WHERE id = ? AND {_ENDED}", (batch_id,)
    )
    if begun.rowcount != 1:
        return [], True
    deleted: list[int] = []
    while not (deleted and enough()):
        rows = db.execute(
            "SELECT job_id FROM batch_items WHERE batch_job_id = ? ORDER BY position LIMIT ?",
            (batch_id, AT_ONCE),
        ).fetchall()
        if not rows:
            db.execute("DELETE FROM batch_jobs WHERE id = ?", (batch_id,))
            return deleted, True
        ids = [job_id for (job_id,) in rows]
        delete_items(db, ids)
        deleted += ids
    return deleted, False
