"""Batches in the dispatcher: their items are claimed as places free up, and they end with them.

Called inside its transactions; while no batch is open nothing of this costs a statement.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby

from jobd.core.batch import stop_reason
from jobd.core.batch_status import BatchStatus
from jobd.core.claiming import SUSPECT, in_line
from jobd.core.job import Job
from jobd.daemon.batch_pace import BatchPace
from jobd.daemon.batch_report import BatchReport
from jobd.daemon.crew import Crew
from jobd.store import batch_feed, batch_moves, batch_requests
from jobd.store.batch_feed import OpenBatch


class BatchFeed:
    """What the dispatcher knows of open batches; only its thread calls this."""

    def __init__(self, crew: Crew) -> None:
        self.busy = False
        """There is more to do for batches at once: to cancel, or to tell."""
        self.has_more = False
        """The last line had room for no more items of a batch."""
        self.stopped = False
        """A batch was stopped by this transaction: its buffered items must be given back."""
        self._crew = crew
        self._report = BatchReport()
        self._pace = BatchPace()
        self._active = False
        self._open: list[OpenBatch] = []
        self._unstarted: dict[int, OpenBatch] = {}
        """Of the items in the last line those whose batch is still `queued`."""
        self._turn = 0

    def notice(self, db: sqlite3.Connection, is_open: bool) -> None:
        """Other processes have written, and a batch is open or none is."""
        self._active = bool(self._open) or is_open
        if self._active:
            # A pause is to be told at once, also where every worker is busy for hours.
            now = [_stand(each) for each in batch_feed.open_batches(db)]
            self.busy |= now != [_stand(each) for each in self._open]

    def settle(self, db: sqlite3.Connection, now: int) -> None:
        """After the outcomes are written: stop what has failed too often, end what is at its end,
        and cancel some of what a batch that ends will not run."""
        self.busy = self.stopped = False
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
        reason = None if batch.is_brought_back else stop_reason(batch)
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

    def in_line(
        self, db: sqlite3.Connection, singles: list[Job], limit: int, *, suspect_runs: bool
    ) -> list[Job]:
        """Single jobs, best first, and with them the next items of the batches that go on."""
        self._unstarted = {}
        lines = self._lines(db, limit, suspects=0 if suspect_runs else 1)
        self.has_more = sum(map(len, lines)) >= limit
        return in_line(singles, lines, self._turn)

    def _lines(self, db: sqlite3.Connection, limit: int, suspects: int) -> list[list[Job]]:
        """Each batch's next items; of many batches together about as many as of one alone."""
        lines: list[list[Job]] = []
        found = 0
        cut: list[tuple[OpenBatch, int]] = []
        for batch, share in self._shares(limit):
            if found >= limit:
                break
            line = self._heads(db, batch, share, suspects)
            found += len(line)
            lines.append(line)
            if len(line) == share:
                cut.append((batch, len(lines) - 1))
        for batch, place in cut:
            if found >= limit:
                break
            # Others had less than their share.
            line = self._heads(db, batch, len(lines[place]) + limit - found, suspects)
            found += len(line) - len(lines[place])
            lines[place] = line
        return [line for line in lines if line]

    def _shares(self, limit: int) -> Iterator[tuple[OpenBatch, int]]:
        """The batches that go on, those of higher priority first, with an equal share of each
        priority's."""
        going = sorted(filter(self._goes_on, self._open), key=lambda each: -each.priority)
        self._turn += bool(going)
        for _, group in groupby(going, key=lambda each: each.priority):
            alike = list(group)
            first = self._turn % len(alike)
            for batch in alike[first:] + alike[:first]:
                yield batch, -(-limit // len(alike))

    def _goes_on(self, batch: OpenBatch) -> bool:
        handled = batch.job_type in self._crew.handlers
        return batch.goes_on and handled and not batch.queue_paused

    def _heads(
        self, db: sqlite3.Connection, batch: OpenBatch, limit: int, suspects: int
    ) -> list[Job]:
        """So many suspects may begin: others would only keep the batch's places from its rest."""
        places = batch.places
        most = limit if places is None else min(limit, places)
        line = batch_feed.heads(db, batch, most) if most > 0 else []
        suspected = [head for head in line if head.rescue_count >= SUSPECT]
        if len(suspected) > suspects:
            first = suspected[:suspects]
            rest = batch_feed.heads(db, batch, most - len(first), suspects=False)
            line = sorted([*first, *rest], key=lambda head: head.id)
        if batch.status == BatchStatus.QUEUED:
            self._unstarted |= dict.fromkeys((head.id for head in line), batch)
        return line

    def claimed(self, db: sqlite3.Connection, jobs: Sequence[Job], now: int) -> None:
        """These were claimed, items of batches among them."""
        if not self._unstarted:
            return
        for batch in {self._unstarted[job.id] for job in jobs if job.id in self._unstarted}:
            batch_feed.start(db, batch.id, now)
            self._report.started(batch)

    def committed(self) -> None:
        """All that was written is durable."""
        if self._active:
            self._report.committed()
            self._active = bool(self._open)


def _stand(batch: OpenBatch) -> tuple[object, ...]:
    """What others change of a batch that is open."""
    return batch.id, batch.status, batch.run, batch.ends_as, batch.sealed_at
