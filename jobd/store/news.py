"""What other processes have written that concerns the dispatcher, in one statement.

Each step of a statement gives the interpreter's lock away, and handlers that compute keep it for a
while each time.
"""

import json
import sqlite3
from collections.abc import Collection
from typing import NamedTuple

from jobd.store.batch_reading import IS_OPEN

_NEXT_DUE = """
    SELECT due_at FROM job_queue WHERE ready = 0 AND due_at IS NOT NULL
        AND status IN ('pending', 'retrying')
    ORDER BY due_at LIMIT 1
"""
_TO_GIVE_BACK = """
    SELECT json_group_array(j.id)
    FROM json_each(:buffered) AS held JOIN job_queue AS j ON j.id = held.value
    WHERE j.cancel_requested_at IS NOT NULL OR j.release_requested_at IS NOT NULL
        OR EXISTS (SELECT 1 FROM queues WHERE name = j.queue AND paused_at IS NOT NULL)
        OR EXISTS (
            SELECT 1 FROM batch_jobs
            WHERE id = j.batch_id AND (status = 'paused' OR ends_as IS NOT NULL)
        )
        OR EXISTS (
            SELECT 1 FROM job_queue AS ahead
            WHERE ahead.ready = 1 AND ahead.queue = j.queue AND ahead.priority > j.priority
        )
"""
_ASKED = """
    SELECT json_group_array(json_array(id, attempt, cancel_requested_at IS NOT NULL))
    FROM job_queue WHERE execution_over = 0 AND worker_id = :worker_id
        AND (cancel_requested_at IS NOT NULL OR release_requested_at IS NOT NULL)
"""
_NEWS = f"""
    SELECT data_version, ({_NEXT_DUE}), EXISTS (SELECT 1 FROM batch_jobs WHERE {IS_OPEN}),
        ({_TO_GIVE_BACK}), ({_ASKED})
    FROM pragma_data_version
"""


class News(NamedTuple):
    """How things stand."""

    version: int
    """Another number once another connection has committed."""
    next_due_at: int | None
    """When the next waiting row becomes due, in ms; None when none waits for a time."""
    batch_is_open: bool
    to_give_back: list[int]
    """Buffered jobs that must not stay so: overtaken, paused, or asked to stop."""
    asked_to_stop: list[tuple[int, int, bool]]
    """(job id, attempt, is a cancel) of executing jobs of this owner."""


def news(db: sqlite3.Connection, worker_id: str, buffered: Collection[int] = ()) -> News:
    """Look; `buffered` are jobs of `worker_id` that no worker has taken yet."""
    values = {"worker_id": worker_id, "buffered": json.dumps(list(buffered))}
    version, due, is_open, held, asked = db.execute(_NEWS, values).fetchone()
    stops = [(job_id, attempt, bool(cancel)) for job_id, attempt, cancel in json.loads(asked)]
    return News(version, due, bool(is_open), json.loads(held), stops)


def next_due_at(db: sqlite3.Connection) -> int | None:
    """The one thing of these that the dispatcher's own writes change."""
    due: int | None = db.execute(f"SELECT ({_NEXT_DUE})").fetchone()[0]
    return due
