"""What the daemon asks of batches with each of its transactions, while any is open."""

import sqlite3
from typing import NamedTuple

from jobd.core.claiming import SUSPECT
from jobd.core.job import Job, jobs_of
from jobd.store.batch_reading import IS_OPEN
from jobd.store.claims import CLAIMABLE, HEAD, READ
from jobd.store.verbs import UNFED


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
    failed_before: int
    """Of these, how many failed in earlier runs and were left as they are."""
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
    queue_paused: int
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
    def is_brought_back(self) -> bool:
        """Whether someone is still taking its failed items back: the count is that of the past."""
        return self.run > 1 and self.sealed_at is None

    @property
    def goes_on(self) -> bool:
        """Whether more of its items may begin."""
        return self.status != "paused" and self.ends_as is None and self.sealed_up_to > 0

    @property
    def places(self) -> int | None:
        """How many more of its items may run, where that is limited."""
        limit = self.concurrent_processing
        return None if limit is None else limit - (self.executing or 0)


_EXPRESSIONS = {
    "queue_paused": """EXISTS (
        SELECT 1 FROM queues WHERE queues.name = b.queue AND paused_at IS NOT NULL
    )""",
    "executing": """CASE WHEN concurrent_processing IS NOT NULL THEN (
        SELECT count(*) FROM job_queue AS j WHERE j.execution_over = 0 AND j.batch_id = b.id
    ) END""",
}
_OPEN = f"""
    SELECT {", ".join(_EXPRESSIONS.get(column, column) for column in OpenBatch._fields)}
    FROM batch_jobs AS b WHERE {IS_OPEN} ORDER BY id
"""
_HEADS = f"""
    SELECT json_group_array(json_array({HEAD})) FROM (
        SELECT {READ} FROM job_queue
        WHERE {UNFED} AND batch_id = :batch AND id <= :sealed_up_to AND {CLAIMABLE}
            AND (:suspects OR rescue_count < {SUSPECT})
        ORDER BY id LIMIT :limit
    ) AS head
"""


def open_batches(db: sqlite3.Connection) -> list[OpenBatch]:
    """Every batch that has not ended, oldest first."""
    return [OpenBatch(*row) for row in db.execute(_OPEN).fetchall()]


def heads(
    db: sqlite3.Connection, batch: OpenBatch, limit: int, *, suspects: bool = True
) -> list[Job]:
    """The next items of a batch that may be claimed, in input order; or those of them that are no
    suspects."""
    values = {"batch": batch.id, "sealed_up_to": batch.sealed_up_to, "limit": limit,
              "suspects": suspects}
    return jobs_of(db.execute(_HEADS, values).fetchone()[0])


def start(db: sqlite3.Connection, batch_id: int, now: int) -> None:
    """The first items of a batch have been claimed."""
    db.execute(
        """UPDATE batch_jobs SET status = 'processing', updated_at = :now,
        started_at = coalesce(started_at, :now) WHERE id = :id AND status = 'queued'""",
        {"id": batch_id, "now": now},
    )


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
