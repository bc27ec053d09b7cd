"""Reading batches and their items for people and for `Queue`: plain values, bounded."""

import sqlite3

from jobd.core.batch_status import OPEN, BatchStatus, ItemStatus
from jobd.core.lifecycle import DEAD_LETTER, FAILED
from jobd.errors import NotFound
from jobd.store.reading import MANY, Record, records
from jobd.store.verbs import UNCOMMON, quoted

LARGEST_ID = (1 << 63) - 1
IS_OPEN = f"status IN ({quoted(OPEN)})"


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


def open_counts(db: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """For each status that is no end: how many batches there are, and items left in them."""
    rows = db.execute(
        f"""SELECT status, count(*), sum(total_items - completed_items - cancelled_items)
        FROM batch_jobs WHERE {IS_OPEN} GROUP BY status"""
    ).fetchall()
    return {status: (count, left) for status, count, left in rows}


def items_left(db: sqlite3.Connection) -> int:
    """How many items there are of batches that have not ended, and have not ended themselves."""
    return sum(left for _, left in open_counts(db).values())


def get(db: sqlite3.Connection, batch_id: int) -> Record:
    """The batch as its row is. Raises NotFound."""
    found = records(db, "SELECT * FROM batch_jobs WHERE id = ?", (batch_id,))
    if not found:
        raise NotFound(f"no batch {batch_id}")
    return found[0]


def find(db: sqlite3.Connection, name: str) -> Record | None:
    """The batch of that name that has not ended, else the newest that had it; or None."""
    if not name.isprintable():
        return None  # a command line may hold bytes that are no text; SQLite does not take them
    found = records(
        db,
        f"SELECT * FROM batch_jobs WHERE name = ? ORDER BY {IS_OPEN} DESC, id DESC LIMIT 1",
        (name,),
    )
    return found[0] if found else None


def named(db: sqlite3.Connection, word: str) -> Record:
    """The batch of this name (the one that has not ended, else the newest), else of this id.

    Raises:
        NotFound: there is none.
    """
    found = find(db, word)
    if found is None and word.isascii() and word.isdecimal() and int(word[:20]) <= LARGEST_ID:
        return get(db, int(word))
    if found is None:
        raise NotFound(f"no batch {word!r:.60}; `jobd batch list --all` shows what there is")
    return found


def still_there(db: sqlite3.Connection, ended_after: int, limit: int) -> list[Record]:
    """Up to `limit` batches that have not ended, or did after that moment, newest first."""
    return records(
        db,
        f"""SELECT * FROM batch_jobs WHERE {IS_OPEN} OR completed_at > :after
        ORDER BY id DESC LIMIT :limit""",
        {"after": ended_after, "limit": limit},
    )


def running(db: sqlite3.Connection, batch_id: int, limit: int) -> list[Record]:
    """Up to `limit` items that execute, those that have for longest first."""
    return records(
        db,
        """SELECT * FROM batch_item_status WHERE job_id IN (
            SELECT id FROM job_queue WHERE execution_over = 0 AND batch_id = :batch
        ) ORDER BY coalesce(started_at, claimed_at), position LIMIT :limit""",
        {"batch": batch_id, "limit": limit},
    )


_LATEST_FAILED = """SELECT id FROM (
    SELECT id, batch_id FROM job_queue
    WHERE {uncommon} AND status = '{status}' AND id BETWEEN :first AND :last
    ORDER BY id DESC LIMIT :look
) WHERE batch_id = :batch"""
_FAILED = f"""
    SELECT * FROM batch_item_status WHERE job_id IN ({" UNION ALL ".join(
        _LATEST_FAILED.format(uncommon=UNCOMMON, status=status) for status in (DEAD_LETTER, FAILED)
    )}) ORDER BY job_id DESC LIMIT :limit
"""
_EDGES = """
    SELECT min(job_id), max(job_id) FROM batch_items WHERE batch_job_id = :batch
        AND position IN ((SELECT min(position) FROM batch_items WHERE batch_job_id = :batch),
            (SELECT max(position) FROM batch_items WHERE batch_job_id = :batch))
"""


def failed(db: sqlite3.Connection, batch_id: int, limit: int) -> list[Record]:
    """Up to `limit` failed items, those that were put in last first.

    No more than twice as many rows are looked at, whatever the size of the batch.
    """
    first, last = db.execute(_EDGES, {"batch": batch_id}).fetchone()
    values = {"batch": batch_id, "first": first, "last": last, "limit": limit, "look": 2 * limit}
    return records(db, _FAILED, values)


def hindrance(db: sqlite3.Connection, batch: Record) -> str | None:
    """What keeps its items from running, beside itself and the daemon: its queue, its type."""
    paused = records(db, "SELECT 1 FROM queues WHERE name = ? AND paused_at IS NOT NULL",
                     (batch["queue"],))
    if paused:
        return f"queue {batch['queue']} is paused: `jobd queue resume {batch['queue']}`"
    types = records(db, "SELECT name FROM job_types")
    if types and batch["job_type"] not in [each["name"] for each in types]:
        return f"the daemon has no handler for job type {batch['job_type']}"
    return None


_BRIEF = """position, job_id, topic, tier, status, job_status, attempt, retry_count, failure_type,
    error_message, dead_letter_reason, progress, created_at, claimed_at, started_at, ended_at"""


def items(
    db: sqlite3.Connection,
    batch_id: int,
    *,
    status: ItemStatus | None = None,
    after: int = 0,
    limit: int = MANY,
    brief: bool = False,
) -> list[Record]:
    """Up to `limit` items in input order, with positions above `after`.

    Parameters and results may be large: with `brief` they are left out.
    """
    return records(
        db,
        f"""SELECT {_BRIEF if brief else "*"} FROM batch_item_status
        WHERE batch_job_id = :batch AND position > :after AND (:status IS NULL OR status = :status)
        ORDER BY position LIMIT :limit""",
        {"batch": batch_id, "after": after, "status": status and str(status), "limit": limit},
    )
