"""What is logged of batches: what the dispatcher did to them, and what it saw others do."""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from jobd import clock
from jobd.core.batch_status import BatchStatus
from jobd.errors import NotFound
from jobd.log import logger
from jobd.store import batch_reading
from jobd.store.batch_feed import OpenBatch
from jobd.store.batch_moves import Ended
from jobd.store.reading import Record

_PAUSED = BatchStatus.PAUSED


class BatchReport:
    """Compares the open batches with those of the last commit, and says what is new."""

    def __init__(self) -> None:
        self._known: dict[int, OpenBatch] | None = None
        """None until the first look: what was so before this daemon came is no news."""
        self._now: dict[int, OpenBatch] = {}
        self._said: list[Callable[[], None]] = []
        self._ended: set[int] = set()

    def begin(self) -> None:
        """A transaction begins, perhaps once more."""
        self._said, self._ended = [], set()

    def ended(self, ended: Ended) -> None:
        self._ended.add(ended.batch["id"])
        self._said.append(partial(_log_finished, ended.batch, ended.callbacks))

    def started(self, batch: OpenBatch) -> None:
        self._said.append(partial(_log_started, batch))

    def seen(self, db: sqlite3.Connection, batches: list[OpenBatch]) -> None:
        """These are open now."""
        self._now = {batch.id: batch for batch in batches}
        if self._known is None:
            return
        for batch in batches:
            self._compare(self._known.get(batch.id), batch)
        for batch_id in self._known.keys() - self._now.keys() - self._ended:
            self._gone(db, self._known[batch_id])

    def _compare(self, before: OpenBatch | None, batch: OpenBatch) -> None:
        if batch.sealed_at is not None and (before is None or before.sealed_at is None):
            self._said.append(partial(_log_sealed, batch))
        if before is None:
            return
        if batch.ends_as and not before.ends_as:
            self._said.append(partial(_log_stopped, batch))
        elif (batch.status == _PAUSED) is not (before.status == _PAUSED):
            told = _log_paused if batch.status == _PAUSED else _log_resumed
            self._said.append(partial(told, batch))

    def _gone(self, db: sqlite3.Connection, batch: OpenBatch) -> None:
        """Another process ended it, or took it out again before it was sealed."""
        try:
            row = batch_reading.get(db, batch.id)
        except NotFound:
            self._said.append(partial(_log_removed, batch))
        else:
            self._said.append(partial(_log_finished, row, []))

    def committed(self) -> None:
        """What was seen and done is durable."""
        self._known = self._now
        for say in self._said:
            say()
        self.begin()


def _keys(batch: OpenBatch) -> dict[str, Any]:
    return {"batch_id": batch.id, "batch": batch.name, "job_type": batch.job_type,
            "total_items": batch.total_items}


def _log_sealed(batch: OpenBatch) -> None:
    logger().info("batch.sealed", **_keys(batch), run=batch.run)


def _log_started(batch: OpenBatch) -> None:
    logger().info("batch.started", **_keys(batch))


def _log_paused(batch: OpenBatch) -> None:
    logger().info("batch.paused", **_keys(batch), completed_items=batch.completed_items,
                  by=batch.paused_by)


def _log_resumed(batch: OpenBatch) -> None:
    logger().info("batch.resumed", **_keys(batch), completed_items=batch.completed_items)


def _log_stopped(batch: OpenBatch) -> None:
    logger().warning("batch.stopped", **_keys(batch), status=batch.ends_as,
                     reason=batch.end_reason, failed_items=batch.failed_items)


def _log_removed(batch: OpenBatch) -> None:
    logger().warning("batch.removed", **_keys(batch))


def _log_finished(batch: Record, callbacks: Sequence[int]) -> None:
    counts = {column: batch[column] for column in (
        "run", "total_items", "successful_items", "failed_items", "cancelled_items"
    )}
    logger().info(
        "batch.finished", batch_id=batch["id"], batch=batch["name"], job_type=batch["job_type"],
        status=batch["status"], reason=batch["end_reason"], enqueued=callbacks,
        started_at=clock.iso(batch["started_at"]), **counts,
    )
