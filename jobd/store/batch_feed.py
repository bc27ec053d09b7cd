"""What the daemon asks of batches with each of its transactions, while any is open."""

import json
import sqlite3
from collections.abc import Collection
from typing import NamedTuple

from jobd.core.claiming import SUSPECT
from jobd.store.batch_moves import IS_OPEN
from jobd.store.claims import OPEN_QUEUES


class OpenBatch(NamedTuple):
    """A batch that has not ended, as it is after all that this transaction wrote."""

    id: int
    name: str
    job_type: str
    queue: str
    status: str
    priority: int
    run: int
    total_items: int
    completed_items: int
    successful_items: int
    failed_items: int
    cancelled_items: int
    concurrent_processing: int | None
    error_handling: str
    stop_after: int | None
    stop_after_percent: float | None
    ends_as: str | None
    end_reason: str | None
    sealed_at: int | None
    sealed_up_to: int
    started_at: int | None
    paused_by: str | None
    active_ms: int
    ready: int
    """How many of its items stand in line."""
    executing: int | None
    """How many executions are not over, where that is limited."""

    @property
    def ended_items(self) -> int:
        return self.completed_items + self.cancelled_items

    @property
    def is_over(self) -> bool:
        """Whether all its items have ended, and nobody adds any."""
        return self.sealed_at is not None and self.ended_items >= self.total_items

    @property
    def goes_on(self) -> bool:
        """Whether it may let items go."""
        return self.status != "paused" and self.ends_as is None and self.sealed_up_to > 0


_EXPRESSIONS = {
    "ready": """(SELECT count(*) FROM job_queue AS j
        WHERE j.batch_id = b.id AND j.ready = 1 AND j.status IN ('pending', 'retrying'))""",
    "executing": """CASE WHEN concurrent_processing IS NOT NULL THEN (
        SELECT count(*) FROM job_queue AS j WHERE j.execution_over = 0 AND j.batch_id = b.id
    ) END""",
}
_OPEN = f"""
    SELECT {", ".join(_EXPRESSIONS.get(column, column) for column in OpenBatch._fields)}
    FROM batch_jobs AS b WHERE {IS_OPEN} ORDER BY id
"""
_SINGLES = f"""
    {OPEN_QUEUES}
    SELECT EXISTS (
        SELECT 1 FROM open_queue CROSS JOIN job_queue
        WHERE ready = 1 AND queue = open_queue.name AND priority = :priority AND id > :after
            AND batch_id IS NULL AND rescue_count < {SUSPECT}
    )
"""


def any_open(db: sqlite3.Connection) -> bool:
    """Whether there is a batch that has not ended."""
    found = db.execute(f"SELECT EXISTS (SELECT 1 FROM batch_jobs WHERE {IS_OPEN})").fetchone()
    return bool(found[0])


def open_batches(db: sqlite3.Connection) -> list[OpenBatch]:
    """Every batch that has not ended, oldest first."""
    return [OpenBatch(*row) for row in db.execute(_OPEN).fetchall()]


def singles_wait(
    db: sqlite3.Connection, priority: int, after: int, full: Collection[str]
) -> bool:
    """Whether jobs of no batch with this priority and ids above `after` could be claimed."""
    values = {"priority": priority, "after": after, "full": json.dumps(list(full))}
    return bool(db.execute(_SINGLES, values).fetchone()[0])


def let_go(db: sqlite3.Connection, batch: OpenBatch, items: int, now: int) -> list[int]:
    """Put the next items of the batch in line, in input order; returns the ids of their jobs."""
    rows = db.execute(
        """UPDATE job_queue SET ready = 1 WHERE id IN (
            SELECT id FROM job_queue
            WHERE batch_id = ? AND ready = 0 AND due_at IS NULL
                AND status IN ('pending', 'retrying') AND id <= ?
            ORDER BY id LIMIT ?
        ) RETURNING id""",
        (batch.id, batch.sealed_up_to, items),
    ).fetchall()
    if rows and batch.status == "queued":
        db.execute(
            """UPDATE batch_jobs SET status = 'processing', updated_at = :now,
            started_at = coalesce(started_at, :now) WHERE id = :id AND status = 'queued'""",
            {"id": batch.id, "now": now},
        )
    return [job_id for (job_id,) in rows]


def pace_of(db: sqlite3.Connection, batch_id: int) -> str:
    """The samples of a batch, as JSON text."""
    row = db.execute("SELECT pace FROM batch_jobs WHERE id = ?", (batch_id,)).fetchone()
    return str(row[0])


def keep_pace(
    db: sqlite3.Connection, batch_id: int, active_ms: int, samples: str, left_ms: int | None
) -> None:
    """Store how long a batch was worked on, how fast it went, and the time that is left."""
    db.execute(
        """UPDATE batch_jobs SET active_ms = ?, pace = ?, estimated_time_remaining = ?
        WHERE id = ?""",
        (active_ms, samples, left_ms, batch_id),
    )
