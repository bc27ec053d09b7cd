"""Putting jobs in: one or many, with the keys that make a repeated call safe."""

import json
import sqlite3
from collections.abc import Sequence
from operator import attrgetter

from jobd.core.job import NewJob

_VALUES = """
    {job_type},
    coalesce({queue}, (SELECT queue FROM job_types WHERE name = {job_type}), 'default'),
    {payload}, {priority}, {scheduled_at}, :now, {max_retries}, {timeout_ms},
    {unique_key}, {request_id}, {isolation},
    coalesce({scheduled_at} <= :now, 1),
    CASE WHEN {scheduled_at} > :now THEN {scheduled_at} END
"""
_COLUMNS = """
    job_type, queue, payload, priority, scheduled_at, created_at, max_retries, timeout_ms,
    unique_key, request_id, isolation, ready, due_at
"""
_FIELDS = ("job_type", "payload", "queue", "priority", "scheduled_at", "timeout_ms",
           "max_retries", "unique_key", "request_id", "isolation")
_values_of = attrgetter(*_FIELDS)

_ONE = f"""
    INSERT INTO job_queue ({_COLUMNS})
    VALUES ({_VALUES.format(**{field: f":{field}" for field in _FIELDS})})
    ON CONFLICT DO NOTHING RETURNING id
"""
_MANY = f"""
    INSERT INTO job_queue ({_COLUMNS})
    SELECT {_VALUES.format(**{f: f"new.{f}" for f in _FIELDS})} FROM (
        SELECT {", ".join(f"json_extract(value, '$[{i}]') AS {f}" for i, f in enumerate(_FIELDS))}
        FROM json_each(:rows)
    ) AS new
"""
_HOLDER = """
    SELECT id FROM job_queue WHERE request_id = :request_id
    UNION ALL
    SELECT id FROM job_queue WHERE unique_key = :unique_key
        AND status IN ('pending', 'running', 'timeout', 'zombie', 'retrying')
    LIMIT 1
"""


def enqueue(db: sqlite3.Connection, new: NewJob, now: int) -> tuple[int, bool]:
    """Insert one job; returns its id and whether it was made by this call.

    A `request_id` that any kept job has, or a `unique_key` that a live job has, returns that
    job's id instead.
    """
    values = dict(zip(_FIELDS, _values_of(new), strict=True)) | {"now": now}
    rows = db.execute(_ONE, values).fetchall()
    if rows:
        return rows[0][0], True
    keys = {"request_id": new.request_id, "unique_key": new.unique_key}
    return db.execute(_HOLDER, keys).fetchone()[0], False


def enqueue_many(
    db: sqlite3.Connection, jobs: Sequence[NewJob], now: int
) -> list[tuple[int, bool]]:
    """Insert jobs in order; as `enqueue` for each."""
    if any(new.unique_key is not None or new.request_id is not None for new in jobs):
        return [enqueue(db, new, now) for new in jobs]
    if not jobs:
        return []
    db.execute(_MANY, {"rows": json.dumps([_values_of(new) for new in jobs]), "now": now})
    # Within one transaction AUTOINCREMENT hands out consecutive ids, in the order of the array.
    last: int = db.execute("SELECT last_insert_rowid()").fetchone()[0]
    return [(job_id, True) for job_id in range(last - len(jobs) + 1, last + 1)]

