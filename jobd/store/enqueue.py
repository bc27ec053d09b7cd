"""Putting jobs in: one or many, with the keys that make a repeated call safe."""

import json
import sqlite3
from collections.abc import Iterator, Sequence

from jobd.core.new_job import JobId, NewJob

SLICE_JOBS = 10_000
SLICE_BYTES = 32 << 20
"""How much of a large call one statement takes: SQLite bounds the length of its parameters."""

_COLUMNS = """
    job_type, queue, payload, priority, scheduled_at, created_at, max_retries, timeout_ms,
    unique_key, request_id, isolation, ready, due_at
"""
_VALUES = """
    {job_type},
    coalesce({queue}, (SELECT queue FROM job_types WHERE name = {job_type}), 'default'),
    {payload}, {priority}, {scheduled_at}, {now}, {max_retries}, {timeout_ms},
    {unique_key}, {request_id}, {isolation},
    coalesce({scheduled_at} <= {now}, 1),
    CASE WHEN {scheduled_at} > {now} THEN {scheduled_at} END
"""
_PLACES = {field: f":{field}" for field in (*NewJob._fields, "now")}

_PLAIN = """
    INSERT INTO job_queue (job_type, queue, payload, created_at, ready)
    VALUES (?, coalesce((SELECT queue FROM job_types WHERE name = ?), 'default'), ?, ?, 1)
"""
_WITHOUT_OPTIONS = NewJob("", "")[2:]
_ONE = f"INSERT INTO job_queue ({_COLUMNS}) VALUES ({_VALUES.format(**_PLACES)})"
_ONE_WITH_KEY = f"{_ONE} ON CONFLICT DO NOTHING RETURNING id"
_ALIKE = f"""
    INSERT INTO job_queue ({_COLUMNS})
    SELECT {_VALUES.format(**_PLACES | {"payload": "each_payload.value"})}
    FROM json_each(:payload) AS each_payload
"""
_MIXED = f"""
    INSERT INTO job_queue ({_COLUMNS})
    SELECT {_VALUES.format(**{each: f"new.{each}" for each in NewJob._fields}, now=":now")} FROM (
        SELECT {", ".join(f"json_extract(value, '$[{index}]') AS {field}"
                          for index, field in enumerate(NewJob._fields))}
        FROM json_each(:jobs)
    ) AS new
"""
_HOLDER = """
    SELECT id FROM job_queue WHERE request_id = :request_id
    UNION ALL
    SELECT id FROM job_queue WHERE unique_key = :unique_key
        AND status IN ('pending', 'running', 'timeout', 'zombie', 'retrying')
    LIMIT 1
"""


def enqueue(db: sqlite3.Connection, new: NewJob, now: int) -> JobId:
    """Insert one job; returns its id.

    A `request_id` that any kept job has, or a `unique_key` that a live job has, returns that
    job's id instead, which was not `created` by this call.
    """
    if new[2:] == _WITHOUT_OPTIONS:
        # The common case, at half the cost: a statement pays for each value that it binds.
        # Python 3.12 before 3.12.4 takes ?1 for a name, and warns.
        return _made(db.execute(_PLAIN, (new[0], new[0], new[1], now)))
    values = {**new._asdict(), "now": now}
    if new.unique_key is None and new.request_id is None:
        return _made(db.execute(_ONE, values))
    rows = db.execute(_ONE_WITH_KEY, values).fetchall()
    if rows:
        return JobId(rows[0][0])
    keys = {"request_id": new.request_id, "unique_key": new.unique_key}
    holder = JobId(db.execute(_HOLDER, keys).fetchone()[0])
    holder.created = False
    return holder


def _made(cursor: sqlite3.Cursor) -> JobId:
    made = cursor.lastrowid
    assert made is not None  # noqa: S101 - an INSERT that did not raise made a row
    return JobId(made)


def enqueue_many(db: sqlite3.Connection, jobs: Sequence[NewJob], now: int) -> list[JobId]:
    """Insert jobs in order; as `enqueue` for each."""
    if len(jobs) == 1:
        return [enqueue(db, jobs[0], now)]
    if any(each.unique_key or each.request_id for each in jobs):
        return [enqueue(db, new, now) for new in jobs]
    made: list[JobId] = []
    for part in _slices(jobs):
        _insert(db, part, now)
        # Within one transaction AUTOINCREMENT hands out consecutive ids, in the array's order.
        last: int = db.execute("SELECT last_insert_rowid()").fetchone()[0]
        made += map(JobId, range(last - len(part) + 1, last + 1))
    return made


def _insert(db: sqlite3.Connection, jobs: Sequence[NewJob], now: int) -> None:
    """Insert jobs without keys in one statement; it takes less when only their payloads differ."""
    first = jobs[0]
    job_type, rest = first[0], first[2:]
    if all(each[0] == job_type and each[2:] == rest for each in jobs):
        payloads = f"[{','.join(each.payload for each in jobs)}]"
        db.execute(_ALIKE, {**first._asdict(), "payload": payloads, "now": now})
    else:
        db.execute(_MIXED, {"jobs": json.dumps(jobs), "now": now})


def _slices(jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
    """The jobs in order, in parts that fit into one statement each."""
    first = size = 0
    for index, each in enumerate(jobs):
        size += len(each.payload)
        if index > first and (index - first == SLICE_JOBS or size > SLICE_BYTES):
            yield jobs[first:index]
            first, size = index, len(each.payload)
    if first < len(jobs):
        yield jobs[first:]
