"""Making batches: in slices, so that nobody waits long for the write lock; all items or none.

An item is a job that is never `ready`, and is claimed by what its batch says. Items above
`sealed_up_to` are not, so that what was put in so far can be taken out again, by its maker or,
when that has died, by the daemon. `sealed_at` is NULL while someone puts items in.

Every verb runs inside one `transaction()`.
"""

import json
import sqlite3
from collections.abc import Sequence

from jobd.core.batch import NewBatch, NewItem
from jobd.core.batch_status import OPEN
from jobd.errors import Refused
from jobd.store.batch_moves import finish
from jobd.store.batch_reading import IS_OPEN, find, get
from jobd.store.reading import Record, records
from jobd.store.retention import delete_items

SLICE_ITEMS = 2_000
SLICE_BYTES = 2 << 20
"""How much goes into one slice: a few milliseconds; makers also look at the clock."""
REMOVED_AT_ONCE = 500

_FIELDS = tuple(field for field in NewBatch._fields if field != "queue")
_CREATE = f"""
    INSERT INTO batch_jobs (queue, {", ".join(_FIELDS)}, created_by, created_at, updated_at)
    VALUES (
        coalesce(:queue, (SELECT queue FROM job_types WHERE name = :job_type), 'default'),
        {", ".join(f":{field}" for field in _FIELDS)}, :actor, :now, :now
    )
"""
_JOBS = """
    INSERT INTO job_queue (job_type, queue, payload, priority, created_at, max_retries,
        timeout_ms, isolation, ready, batch_id)
    SELECT b.job_type, b.queue, json_extract(item.value, '$[0]'), b.priority, :now, b.max_retries,
        b.timeout_ms, b.isolation, 0, b.id
    FROM json_each(:items) AS item CROSS JOIN batch_jobs AS b ON b.id = :batch
"""
_ITEMS = """
    INSERT INTO batch_items (job_id, batch_job_id, position, topic, tier, parameters, created_at)
    SELECT :first + item.key, :batch, :position + item.key, json_extract(item.value, '$[1]'),
        json_extract(item.value, '$[2]'), json_extract(item.value, '$[3]'), :now
    FROM json_each(:items) AS item
"""


def create(db: sqlite3.Connection, new: NewBatch, now: int, actor: str) -> int:
    """A batch without items, to which its maker adds them; returns its id.

    Raises:
        Refused: a batch of that name has not ended.
    """
    held = find(db, new.name)
    if held is not None and held["status"] in OPEN:
        raise Refused(f"batch {new.name} (id {held['id']}) exists and has not ended")
    made = db.execute(_CREATE, {**new._asdict(), "actor": actor, "now": now}).lastrowid
    assert made is not None  # noqa: S101 - an INSERT that did not raise made a row
    return made


def open_up(db: sqlite3.Connection, batch_id: int, now: int) -> None:
    """Let items be appended; until it is sealed again, only those from before run.

    Raises:
        NotFound, Refused: there is no such batch, it has ended or is ending, or someone else
            is adding to it.
    """
    found = get(db, batch_id)
    if found["status"] not in OPEN or found["ends_as"]:
        raise Refused(f"batch {found['name']} {_state(found)}; nothing can be added")
    if found["sealed_at"] is None:
        raise Refused(f"someone is adding items to batch {found['name']} already")
    db.execute("UPDATE batch_jobs SET sealed_at = NULL, updated_at = ? WHERE id = ?",
               (now, batch_id))


def add(db: sqlite3.Connection, batch_id: int, items: Sequence[NewItem], now: int) -> None:
    """Put one slice of items in, behind those that are there.

    Raises:
        Refused: the batch is not open for items any more: it was removed or cancelled meanwhile.
    """
    if not items:
        return
    changed = db.execute(
        """UPDATE batch_jobs SET total_items = total_items + ?, updated_at = ?
        WHERE id = ? AND sealed_at IS NULL AND ends_as IS NULL""",
        (len(items), now, batch_id),
    )
    if changed.rowcount != 1:
        raise Refused(f"batch {batch_id} takes no items any more: it was cancelled or removed")
    packed = f"[{','.join(map(_packed, items))}]"
    values = {"batch": batch_id, "items": packed, "now": now}
    db.execute(_JOBS, values)
    # Within one transaction AUTOINCREMENT hands out consecutive ids, in the array's order.
    last: int = db.execute("SELECT last_insert_rowid()").fetchone()[0]
    position: int = db.execute(
        "SELECT coalesce(max(position), 0) FROM batch_items WHERE batch_job_id = ?", (batch_id,)
    ).fetchone()[0]
    db.execute(_ITEMS, values | {"first": last - len(items) + 1, "position": position + 1})


def _packed(item: NewItem) -> str:
    return json.dumps([item.payload, item.topic, item.tier, item.parameters])


def seal(db: sqlite3.Connection, batch_id: int, now: int) -> None:
    """All items are in: they may run. One row, however many items there are.

    A batch whose items have all ended, or that has none, ends with it.

    Raises:
        Refused: the batch was cancelled or removed meanwhile.
    """
    changed = db.execute(
        f"""UPDATE batch_jobs SET sealed_at = :now, updated_at = :now, sealed_up_to = {_LAST_JOB}
        WHERE id = :id AND sealed_at IS NULL AND ends_as IS NULL""",
        {"id": batch_id, "now": now},
    )
    if changed.rowcount != 1:
        raise Refused(f"batch {batch_id} cannot be sealed: it was cancelled or removed")
    finish(db, batch_id, now)


_LAST_JOB = """coalesce((
    SELECT job_id FROM batch_items WHERE batch_job_id = :id ORDER BY position DESC LIMIT 1
), 0)"""


def take_out(db: sqlite3.Connection, batch_id: int, now: int) -> bool:
    """Remove one slice of the items that were never sealed; True when that was the last.

    Then the batch is as it was before: gone, or sealed with the items from before.
    """
    found = records(
        db, f"SELECT * FROM batch_jobs WHERE id = ? AND {IS_OPEN} AND sealed_at IS NULL",
        (batch_id,),
    )
    if not found:
        return True
    rows = db.execute(
        """SELECT job_id FROM batch_items WHERE batch_job_id = ? AND job_id > ?
        ORDER BY position DESC LIMIT ?""",
        (batch_id, found[0]["sealed_up_to"], REMOVED_AT_ONCE),
    ).fetchall()
    delete_items(db, [job_id for (job_id,) in rows])
    if len(rows) == REMOVED_AT_ONCE:
        return False
    if found[0]["sealed_up_to"]:
        let_go(db, batch_id, now)
    else:
        db.execute("DELETE FROM batch_jobs WHERE id = ?", (batch_id,))
    return True


def let_go(db: sqlite3.Connection, batch_id: int, now: int) -> None:
    """Nobody works on the items any more; what was not sealed before does not become so."""
    db.execute(
        "UPDATE batch_jobs SET sealed_at = :now, updated_at = :now WHERE id = :id",
        {"id": batch_id, "now": now},
    )
    finish(db, batch_id, now)


def unsealed(db: sqlite3.Connection) -> list[int]:
    """Open batches on whose items someone works, or did when it died."""
    rows = db.execute(
        f"SELECT id FROM batch_jobs WHERE {IS_OPEN} AND sealed_at IS NULL ORDER BY id"
    ).fetchall()
    return [batch_id for (batch_id,) in rows]


def _state(batch: Record) -> str:
    if batch["status"] not in OPEN:
        return f"has ended ({batch['status']})"
    return f"is ending ({batch['end_reason']})"
