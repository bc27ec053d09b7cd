"""Reading batches and their items for people and for `Queue`: plain values, bounded."""

import sqlite3

from jobd.core.batch import BatchStatus, ItemStatus
from jobd.store.reading import MANY, Record, records

__all__ = ["batches", "items"]


def batches(
    db: sqlite3.Connection, *, status: BatchStatus | None = None, limit: int = MANY
) -> list[Record]:
    """Up to `limit` batches, newest first."""
    return records(
        db,
        """SELECT * FROM batch_jobs WHERE :status IS NULL OR status = :status
        ORDER BY id DESC LIMIT :limit""",
        {"status": status and str(status), "limit": limit},
    )


def items(
    db: sqlite3.Connection,
    batch_id: int,
    *,
    status: ItemStatus | None = None,
    after: int = 0,
    limit: int = MANY,
) -> list[Record]:
    """Up to `limit` items in input order, with positions above `after`."""
    return records(
        db,
        """SELECT * FROM batch_item_status
        WHERE batch_job_id = :batch AND position > :after AND (:status IS NULL OR status = :status)
        ORDER BY position LIMIT :limit""",
        {"batch": batch_id, "after": after, "status": status and str(status), "limit": limit},
    )
