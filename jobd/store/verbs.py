"""How a move becomes a guarded write: one UPDATE over a JSON array, fenced by attempt and owner."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from jobd.core.lifecycle import JobStatus, Move

Write = Callable[[sqlite3.Connection, Sequence[Any], int], list[int]]


UNCOMMON = "status <> 'pending' AND status <> 'running' AND status <> 'completed'"
"""The condition of the index job_queue_uncommon; a query repeats it, or the index is not taken."""

_WAITS_FOR_NO_TIME = "ready = 0 AND due_at IS NULL AND status IN ('pending', 'retrying')"
WITHOUT_HANDLER = f"{_WAITS_FOR_NO_TIME} AND batch_id IS NULL"
"""The condition of the index job_queue_without_handler."""
UNFED = f"{_WAITS_FOR_NO_TIME} AND batch_id IS NOT NULL"
"""Items that wait for their turn in their batch: in the index job_queue_batch_waiting."""


def quoted(statuses: Sequence[str]) -> str:
    """Statuses as the inside of an SQL IN (...)."""
    return ", ".join(f"'{status}'" for status in statuses)


def fenced_write(sources: Sequence[JobStatus], fields: Sequence[str], changes: str) -> Write:
    """A verb `(db, rows, now) -> ids changed`, one statement for any number of rows.

    `rows` are objects with `job_id`, `attempt`, `worker_id` and the attributes in `fields`, which
    `changes` reads as `new.<field>`. A row changes only when its status is one of `sources` and
    it still is this attempt of this owner.
    """
    columns = ("job_id", "attempt", "worker_id", *fields)
    unpacked = ", ".join(f"json_extract(value, '$[{i}]') AS {c}" for i, c in enumerate(columns))
    statement = f"""
        UPDATE job_queue SET {changes} FROM (SELECT {unpacked} FROM json_each(:rows)) AS new
        WHERE job_queue.id = new.job_id AND job_queue.attempt = new.attempt
            AND job_queue.worker_id IS new.worker_id AND job_queue.status IN ({quoted(sources)})
        RETURNING job_queue.id
    """
    values_of = attrgetter(*columns)

    def write(db: sqlite3.Connection, rows: Sequence[Any], now: int) -> list[int]:
        if not rows:
            return []
        values = {"rows": json.dumps([values_of(row) for row in rows]), "now": now}
        return [job_id for (job_id,) in db.execute(statement, values)]

    return write


def move_write(move: Move, fields: Sequence[str], changes: str) -> Write:
    """The verb that writes `move`: its guard and its target come from the table of moves."""
    return fenced_write(move.sources, fields, f"status = '{move.target}', {changes}")
