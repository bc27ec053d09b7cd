"""Deleting jobs that ended long ago, with all that belongs to them, in small slices.

Whoever deletes looks first, on any connection, and then deletes what it found inside
`transaction()`; the conditions are asked again there. No index is kept for this: completed jobs
are found by a walk in the order of ids, which is that of their making, and the other ends by the
index that they have anyway.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jobd.core.lifecycle import COMPLETED
from jobd.core.retention import PRUNABLE, Expiry
from jobd.store.verbs import UNCOMMON, quoted

WALKED = 2_000
"""How many rows one look walks over: a few milliseconds."""

AT_ONCE = 25
"""How many jobs are deleted between two looks at the clock."""

DAEMONS_KEPT = 50


@dataclass(frozen=True, slots=True)
class Found:
    """Jobs that may be deleted among the rows up to `walked_to`; None when there were no rows.

    `made_after` is when the first of those rows to be made was made; None when a clock that was
    ahead makes all of them look as if they were still to come.
    """

    ids: list[int]
    walked_to: int | None
    made_after: int | None


# A job of a batch goes with its batch, never alone.
_EXPIRED = f"""
    status = :status AND status IN ({quoted(PRUNABLE)})
    AND execution_over = 1 AND batch_id IS NULL
    AND coalesce(completed_at, moved_to_dead_letter_at, created_at)
        <= CASE WHEN request_id IS NULL THEN :before ELSE :keyed_before END
"""
_COLUMNS = """
    id, status, execution_over, batch_id, completed_at, moved_to_dead_letter_at, created_at,
    request_id
"""
_LOOK = """
    SELECT json_group_array(id) FILTER (WHERE {expired}), max(id),
        min(created_at) FILTER (WHERE created_at <= :now)
    FROM (
        SELECT {columns} FROM job_queue WHERE {walk} id > :after ORDER BY id LIMIT :walked
    )
"""
_IN_ORDER = _LOOK.format(expired=_EXPIRED, columns=_COLUMNS, walk="")
# The second condition is the index's own, without which it would not be taken.
_UNCOMMON = _LOOK.format(
    expired=_EXPIRED, columns=_COLUMNS, walk=f"status = :status AND {UNCOMMON} AND"
)

_BELONGINGS = (
    "DELETE FROM job_attempts WHERE job_id IN (SELECT value FROM json_each(?))",
    "DELETE FROM job_progress WHERE job_id IN (SELECT value FROM json_each(?))",
    "DELETE FROM job_checkpoints WHERE job_id IN (SELECT value FROM json_each(?))",
    """DELETE FROM operator_actions
    WHERE job_id IS NOT NULL AND job_id IN (SELECT value FROM json_each(?))""",
)

_OF_ITEMS = (
    "DELETE FROM batch_checkpoints WHERE job_id IN (SELECT value FROM json_each(?))",
    "DELETE FROM batch_items WHERE job_id IN (SELECT value FROM json_each(?))",
)
_JOBS = "DELETE FROM job_queue WHERE id IN (SELECT value FROM json_each(?))"


def look(db: sqlite3.Connection, expiry: Expiry, after: int, now: int) -> Found:
    """Walk over some rows with ids above `after` and tell which may be deleted."""
    query = _IN_ORDER if expiry.status is COMPLETED else _UNCOMMON
    values = _values(expiry) | {"after": after, "now": now, "walked": WALKED}
    ids, walked_to, made = db.execute(query, values).fetchone()
    return Found(json.loads(ids), walked_to, made)


def delete(
    db: sqlite3.Connection, expiry: Expiry, ids: Sequence[int], enough: Callable[[], bool]
) -> tuple[list[int], list[int]]:
    """Delete those of `ids` that may go, until `enough()`; returns (deleted, not yet asked)."""
    deleted: list[int] = []
    asked = 0
    while asked < len(ids) and not (asked and enough()):
        deleted += _delete(db, expiry, ids[asked : asked + AT_ONCE])
        asked += AT_ONCE
    return deleted, list(ids[asked:])


def _delete(db: sqlite3.Connection, expiry: Expiry, ids: Sequence[int]) -> list[int]:
    going: str = db.execute(
        f"""SELECT json_group_array(id) FROM job_queue
        WHERE id IN (SELECT value FROM json_each(:ids)) AND {_EXPIRED}""",
        _values(expiry) | {"ids": json.dumps(list(ids))},
    ).fetchone()[0]
    _delete_all(db, going, _BELONGINGS)
    return [int(job_id) for job_id in json.loads(going)]


def delete_items(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Delete these items of a batch with all that belongs to them, whatever their status."""
    _delete_all(db, json.dumps(list(ids)), (*_BELONGINGS, *_OF_ITEMS))


def _delete_all(db: sqlite3.Connection, ids: str, belongings: Sequence[str]) -> None:
    for statement in (*belongings, _JOBS):
        db.execute(statement, (ids,))


def existing(db: sqlite3.Connection, ids: Sequence[int]) -> set[int]:
    """Those of these jobs that the database has."""
    rows = db.execute(
        "SELECT id FROM job_queue WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    ).fetchall()
    return {job_id for (job_id,) in rows}


def forget(db: sqlite3.Connection, before: int) -> None:
    """Delete the records of daemons that ended, and of what people did to queues, before then."""
    db.execute(
        """DELETE FROM daemons WHERE stopped_at <= ? AND id NOT IN (SELECT daemon_id FROM workers)
        AND id NOT IN (SELECT id FROM daemons ORDER BY started_at DESC LIMIT ?)""",
        (before, DAEMONS_KEPT),
    )
    db.execute(
        """DELETE FROM operator_actions
        WHERE job_id IS NULL AND migration IS NULL AND acted_at <= ?""",
        (before,),
    )


def _values(expiry: Expiry) -> dict[str, object]:
    return {"status": str(expiry.status), "before": expiry.before,
            "keyed_before": expiry.keyed_before}
