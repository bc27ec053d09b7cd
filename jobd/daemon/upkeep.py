"""Care of the file while there is little else to do: old jobs go, free pages are given back.

Everything is written by the dispatcher, in slices of about 10 ms, and between two slices there is
a rest that lasts as long as the slice when nobody works, and nine times as long otherwise.
"""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from jobd import clock
from jobd.core.retention import Expiry, expiries, shortest
from jobd.core.upkeep import Retention
from jobd.daemon.batch_upkeep import BatchUpkeep
from jobd.daemon.crew import Crew
from jobd.daemon.dispatcher import Dispatcher
from jobd.daemon.hand import Hand
from jobd.daemon.patience import Patience
from jobd.daemon.report import Report
from jobd.daemon.slices import Slice
from jobd.daemon.sweeper import Sweep
from jobd.errors import SchemaError
from jobd.log import logger
from jobd.store import daemons, output_files, retention, sizes
from jobd.store.connection import WAL_LIMIT, Database
from jobd.store.opening import open_database

INTERVAL = 1.0
ENTERED_FOR = 0.8
"""Seconds after which a call returns; it goes on where it was at the next."""

TAKES = 15.0
COMMITTED_WITHIN = 10.0
LOOK_AGAIN = 0.005
LONGEST_BETWEEN = 60.0
RESTS_IDLE, RESTS_BUSY = 1, 9
CUT_AFTER = 3.0
A_DAY = 86_400.0
FREED = 1_000
"""So many deletions between two looks at whether pages should be given back."""


class Upkeep:
    """One sweep, on a thread and a reading connection of its own."""

    def __init__(
        self, path: Path, crew: Crew, dispatcher: Dispatcher, hand: Hand, report: Report
    ) -> None:
        self.pruned: dict[str, int] = {}
        """How many jobs were deleted since the start, by status."""
        self._path = path
        self._crew = crew
        self._dispatcher = dispatcher
        self._hand = hand
        self._report = report
        self._patience = Patience(clock.now_ms(), clock.monotonic(), clock.asleep())
        self._batches = BatchUpkeep(path, self._make, self._committed)
        self._database: Database | None = None
        self._round: Iterator[None] | None = None
        self._next_round = 0.0
        self._long_since = 0.0
        self._optimized_at = clock.monotonic() - A_DAY
        self._strays_removed = False

    @property
    def _kept(self) -> Retention:
        return self._crew.config.retention

    def sweep(self) -> Sweep:
        return Sweep("upkeep", INTERVAL, self.enter, lambda: TAKES)

    def enter(self) -> None:
        """Work for a part of a second, if there is something to do."""
        now = clock.monotonic()
        self._cut_log(now)
        if not self._report.waits_for:
            self._batches.remove_abandoned(lambda: self._reading().connection)
        held = self._patience.holds(
            shortest(self._kept), clock.now_ms(), now, clock.asleep()
        )
        if self._patience.news:
            logger().warning("retention.held", **self._patience.news)
        if held or now < self._next_round or self._report.waits_for:
            return
        if self._round is None:
            self._round = self._go_round()
        while clock.monotonic() - now < ENTERED_FOR and self._dispatcher.is_alive():
            if next(self._round, self) is self:
                self._round = None
                self._next_round = clock.monotonic() + self._between()
                return

    def _cut_log(self, now: float) -> None:
        """A log that has been moved into the file stays long until the next commit cuts it."""
        if sizes.log_bytes(self._path) <= WAL_LIMIT or self._hand.attempts:
            self._long_since = now
        elif now - self._long_since >= CUT_AFTER:
            self._long_since = now
            self._dispatcher.submit(lambda db, at: daemons.seen(db, self._crew.identity, at))

    def _between(self) -> float:
        return min(LONGEST_BETWEEN, (shortest(self._kept) or A_DAY) / 10)

    def _go_round(self) -> Iterator[None]:
        """Each step is a look or a slice."""
        db = self._reading().connection
        if not self._strays_removed:
            yield from self._remove_strays(db)
        now = clock.now_ms()
        for each in expiries(self._kept, now):
            yield from self._walk(db, each, now)
        yield from self._batches.prune(db, self._kept, now)
        yield from self._give_back(db)
        kept = self._kept.ended
        if kept is not None:
            self._make(Slice(lambda w, _: retention.forget(w, now - round(1000 * kept))))
        yield
        if clock.monotonic() - self._optimized_at > A_DAY and not self._hand.attempts:
            self._optimized_at = clock.monotonic()
            self._make(Slice(lambda w, _: sizes.optimize(w)))

    def _walk(self, db: sqlite3.Connection, each: Expiry, now: int) -> Iterator[None]:
        """Delete what may go of one status, from the first id on."""
        after = deleted = 0
        while True:
            found = retention.look(db, each, after, now)
            if found.walked_to is None:
                return
            after, left = found.walked_to, found.ids
            while left:
                gone, left = self._delete(db, each, left)
                deleted += len(gone)
                yield
                if deleted >= FREED:
                    deleted = 0
                    yield from self._give_back(db)
            yield
            if found.made_after is not None and found.made_after > each.before:
                # Later ids were made later still, and cannot have ended before that.
                return

    def _delete(
        self, db: sqlite3.Connection, each: Expiry, ids: list[int]
    ) -> tuple[list[int], list[int]]:
        """One slice: the ids that are gone, and those that are left to be asked."""
        gone: list[int] = []
        left = ids

        def write(writer: sqlite3.Connection, enough: Callable[[], bool]) -> None:
            nonlocal gone, left
            gone, left = retention.delete(writer, each, ids, enough)

        if not self._make(Slice(write)) or not self._committed(db, gone):
            return [], []
        output_files.remove_outputs(self._path, gone)
        self.pruned[each.status] = self.pruned.get(each.status, 0) + len(gone)
        return gone, left

    def _make(self, piece: Slice) -> bool:
        """Have it written, and rest; whether it was made."""
        self._dispatcher.submit(piece)
        until = clock.monotonic() + COMMITTED_WITHIN
        while not piece.made.wait(LOOK_AGAIN * 20):
            if clock.monotonic() > until or not self._dispatcher.is_alive():
                piece.drop()
                return False
        if piece.error is not None:
            raise SchemaError(f"an old job cannot be deleted: {piece.error}")
        clock.pause(piece.took * (RESTS_BUSY if self._hand.attempts else RESTS_IDLE))
        return True

    def _committed(self, db: sqlite3.Connection, gone: list[int]) -> bool:
        """Whether another connection sees them gone: only then their output may go too."""
        until = clock.monotonic() + COMMITTED_WITHIN
        while gone and retention.existing(db, gone):
            if clock.monotonic() > until or not self._dispatcher.is_alive():
                return False
            clock.pause(LOOK_AGAIN)
        return True

    def _give_back(self, db: sqlite3.Connection) -> Iterator[None]:
        """Cut what is free, beyond a reserve, off the file."""
        while (most := sizes.pages(db).to_give_back()) and self._make(
            Slice(lambda w, enough, n=most: sizes.give_back(w, n, enough))  # type: ignore[misc]
        ):
            yield

    def _remove_strays(self, db: sqlite3.Connection) -> Iterator[None]:
        for ids in output_files.stray_outputs(
            self._path, lambda some: retention.existing(db, some)
        ):
            output_files.remove_outputs(self._path, ids)
            yield
        self._strays_removed = True

    def _reading(self) -> Database:
        if self._database is None:
            self._database = open_database(self._path, now=clock.now_ms())
        return self._database
