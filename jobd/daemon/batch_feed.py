"""Batches in the dispatcher: items are let go as places free up, and batches end with them.

Called inside its transactions; while no batch is open nothing of this costs a statement.
"""

import sqlite3

from jobd.core.batch import BatchStatus, stop_reason
from jobd.core.feeding import Hungry, portions
from jobd.daemon.batch_pace import BatchPace
from jobd.daemon.batch_report import BatchReport
from jobd.daemon.crew import Crew
from jobd.store import batch_feed, batch_moves, batch_requests
from jobd.store.batch_feed import OpenBatch


class BatchFeed:
    """What the dispatcher knows of open batches; only its thread calls this."""

    def __init__(self, crew: Crew) -> None:
        self.busy = False
        """There is more to cancel at once."""
        self.held = False
        """Items were held back for others, who may not have taken their places."""
        self.stopped = False
        """A batch was stopped by this transaction: its buffered items must be given back."""
        self._crew = crew
        self._report = BatchReport()
        self._pace = BatchPace()
        self._active = False
        self._open: list[OpenBatch] = []
        self._last_let_go: dict[int, int] = {}
        self._turn = 0

    def notice(self, db: sqlite3.Connection) -> None:
        """Other processes have written: see whether a batch is open."""
        self._active = bool(self._open) or batch_feed.any_open(db)

    def settle(self, db: sqlite3.Connection, now: int) -> None:
        """After the outcomes are written: stop what has failed too often, end what is at its end,
        and cancel some of what a batch that ends will not run."""
        self.busy = self.held = self.stopped = False
        if not self._active:
            return
        self._report.begin()
        self._open = batch_feed.open_batches(db)
        self._pace.look(db, self._open, self._crew.config.pool.workers, now)
        moved = [self._stop_or_end(db, each, now) for each in self._open]
        if any(moved):
            self._open = batch_feed.open_batches(db)
        self._report.seen(db, self._open)

    def _stop_or_end(self, db: sqlite3.Connection, batch: OpenBatch, now: int) -> bool:
        """Whether anything was changed."""
        reason = stop_reason(batch)
        if reason is not None:
            batch_moves.end_as(db, batch.id, BatchStatus.FAILED, reason, now)
            self.stopped = True
        elif not batch.ends_as and not batch.is_over:
            return False
        if batch.ends_as and not batch.is_over and not self.busy:
            self.busy = batch_requests.cancel_slice(db, batch.id, now)
        ended = batch_moves.finish(db, batch.id, now)
        if ended is not None:
            self._report.ended(ended)
        self.busy |= self.stopped
        return True

    def feed(self, db: sqlite3.Connection, now: int, claimable: int) -> bool:
        """Let items go for a claim of so many jobs; whether any went."""
        hungry = [each for each in self._open
                  if each.goes_on and each.job_type in self._crew.handlers]
        if not hungry:
            return False
        self._turn += 1
        given = portions(
            [Hungry(each.id, each.priority, each.ready, _places(each)) for each in hungry],
            claimable, self._singles(db, hungry), self._turn,
        )
        by_id = {each.id: each for each in hungry}
        went = False
        for portion in given:
            ids = self._let_go(db, by_id[portion.batch_id], portion.items, now)
            went |= bool(ids)
            # A batch that had less to let go than it might is held back by nobody.
            self.held |= portion.cut and len(ids) == portion.items
        return went

    def _let_go(self, db: sqlite3.Connection, batch: OpenBatch, items: int, now: int) -> list[int]:
        ids = batch_feed.let_go(db, batch, items, now) if items else []
        if ids:
            self._last_let_go[batch.id] = max(ids)
            if batch.status == BatchStatus.QUEUED:
                self._report.started(batch)
        return ids

    def _singles(self, db: sqlite3.Connection, hungry: list[OpenBatch]) -> set[int]:
        """Priorities at which single jobs wait behind items of a batch."""
        full = [name for name, left in self._crew.queue_room(db).items() if left <= 0]
        last: dict[int, int] = {}
        for each in hungry:
            found = self._last_let_go.get(each.id, 0)
            last[each.priority] = min(found, last.get(each.priority, found))
        return {priority for priority, after in last.items()
                if batch_feed.singles_wait(db, priority, after, full)}

    def committed(self) -> None:
        """All that was written is durable."""
        if self._active:
            self._report.committed()
            self._active = bool(self._open)
            known = {each.id for each in self._open}
            self._last_let_go = {k: v for k, v in self._last_let_go.items() if k in known}


def _places(batch: OpenBatch) -> int | None:
    """How many more items may stand in line or run, where that is limited."""
    if batch.concurrent_processing is None:
        return None
    return batch.concurrent_processing - batch.ready - (batch.executing or 0)
