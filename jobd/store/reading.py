"""Reading for people: jobs, attempts, what was done to them. Plain values, in the words of DESIGN.

Every read fetches all of a bounded number of rows, so that none keeps a snapshot open and with
it the WAL from being reused. Reads that must agree with each other share one `snapshot`.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jobd.core.lifecycle import COMPLETED, PENDING, RUNNING, JobStatus
from jobd.store.verbs import UNCOMMON, UNFED, WITHOUT_HANDLER

Record = dict[str, Any]

MANY = 1_000
"""The most rows of any listing that has no limit of its own."""

FEW = 10_000
"""Up to so many ids are gathered from the indexes; beyond, a walk back over the table finds them
soon enough.
"""

_WAITING_IDS = f"""
    SELECT id FROM job_queue WHERE ready = 1
    UNION ALL SELECT id FROM job_queue WHERE ready = 0 AND due_at IS NOT NULL
    UNION ALL SELECT id FROM job_queue WHERE {WITHOUT_HANDLER}
    UNION ALL SELECT id FROM job_queue WHERE {UNFED}
    LIMIT ?
"""


def records(db: sqlite3.Connection, query: str, values: Any = ()) -> list[Record]:
    """Every row of `query` as a dict of its columns."""
    cursor = db.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@contextmanager
def snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """What is read inside the block is one state of the database, and blocks no writer."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def job(db: sqlite3.Connection, job_id: int) -> Record | None:
    """One job with all its columns, or None."""
    return _first(records(db, "SELECT * FROM job_queue WHERE id = ?", (job_id,)))


def jobs(
    db: sqlite3.Connection,
    *,
    status: JobStatus | None = None,
    queue: str | None = None,
    job_type: str | None = None,
    batch: int | None = None,
    limit: int = MANY,
    before_id: int | None = None,
) -> list[Record]:
    """Up to `limit` jobs that fit everything given, newest first, with ids below `before_id`."""
    values = {"status": status and str(status), "queue": queue, "job_type": job_type,
              "batch_id": batch}
    given = [f"{column} = :{column}" for column, value in values.items() if value is not None]
    by_index, key, few = _by_index(db, status)
    before = [f"{key} < :before_id"] if before_id is not None else []
    where = " AND ".join([*by_index, *given, *before]) or "true"
    return records(
        db,
        f"SELECT * FROM job_queue WHERE {where} ORDER BY {key} DESC LIMIT :limit",
        values | {"before_id": before_id, "few": few, "limit": limit},
    )


def _by_index(
    db: sqlite3.Connection, status: JobStatus | None
) -> tuple[list[str], str, str]:
    """Conditions that say nothing new but bring a partial index into play, the key to sort by,
    and the ids for one of the conditions.

    A plus before the key keeps SQLite from walking over ids where an index knows better.
    """
    if status is None or status is COMPLETED:
        return [], "id", ""
    if status is RUNNING:
        return ["execution_over = 0"], "+id", ""
    if status is not PENDING:
        return [UNCOMMON], "id", ""
    ids = [job_id for (job_id,) in db.execute(_WAITING_IDS, (FEW + 1,)).fetchall()]
    if len(ids) > FEW:
        return [], "id", ""
    return ["id IN (SELECT value FROM json_each(:few))"], "+id", json.dumps(ids)


def last_id(db: sqlite3.Connection) -> int:
    """The last id that was given to a job, which may be gone; 0 when none was."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'job_queue'").fetchone()
    return int(row[0]) if row else 0


def statuses(db: sqlite3.Connection, ids: Sequence[int]) -> dict[int, JobStatus]:
    """The status of each of these jobs that exists."""
    rows = db.execute(
        "SELECT id, status FROM job_queue WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    ).fetchall()
    return {job_id: JobStatus(status) for job_id, status in rows}


def attempts(db: sqlite3.Connection, job_id: int) -> list[Record]:
    """The last thousand attempts of a job that did not complete, in order."""
    query = f"""SELECT * FROM job_attempts WHERE job_id = ?
        ORDER BY attempt DESC LIMIT {MANY}"""
    return records(db, query, (job_id,))[::-1]


def actions(db: sqlite3.Connection, job_id: int) -> list[Record]:
    """The last thousand things people did to a job, in order."""
    query = f"""SELECT * FROM operator_actions WHERE job_id IS NOT NULL AND job_id = ?
        ORDER BY id DESC LIMIT {MANY}"""
    return records(db, query, (job_id,))[::-1]


def progress(db: sqlite3.Connection, job_id: int) -> Record | None:
    """How far a job last said it was, or None."""
    return _first(records(db, "SELECT * FROM job_progress WHERE job_id = ?", (job_id,)))


def checkpoint(db: sqlite3.Connection, job_id: int) -> Record | None:
    """What a job last saved for its next attempt, or None."""
    return _first(records(
        db,
        """SELECT * FROM job_checkpoints WHERE job_id = :id
        UNION ALL SELECT * FROM batch_checkpoints WHERE job_id = :id""",
        {"id": job_id},
    ))


def _first(found: list[Record]) -> Record | None:
    return found[0] if found else None
