"""Batches that nobody needs go, in slices: those whose maker died, and those long ended."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from jobd import clock
from jobd.core.upkeep import Retention
from jobd.daemon.slices import Slice
from jobd.store import batch_retention, batches, output_files
from jobd.store.batch_lock import is_worked_on

BETWEEN = 2.0

Make = Callable[[Slice], bool]
"""Has a slice written by the dispatcher; whether it was."""
Committed = Callable[[sqlite3.Connection, list[int]], bool]
"""Whether another connection sees these jobs gone: only then their output may go too."""


class BatchUpkeep:
    """What the upkeep does to batches; each step of a generator is at most one slice."""

    def __init__(self, path: Path, make: Make, committed: Committed) -> None:
        self.pruned = 0
        """How many items were deleted since the start."""
        self._path = path
        self._make = make
        self._committed = committed
        self._next_look = 0.0

    def remove_abandoned(self, reading: Callable[[], sqlite3.Connection]) -> None:
        """Every two seconds: take out what was never sealed and nobody works on any more."""
        if clock.monotonic() < self._next_look:
            return
        self._next_look = clock.monotonic() + BETWEEN
        for batch_id in batches.unsealed(reading()):
            if not is_worked_on(self._path, batch_id):
                self._take_out(batch_id)

    def _take_out(self, batch_id: int) -> None:
        done = False

        def write(writer: sqlite3.Connection, enough: Callable[[], bool]) -> None:
            nonlocal done
            now = clock.now_ms()
            while not (done := batches.take_out(writer, batch_id, now)) and not enough():
                pass

        while not done:
            if not self._make(Slice(write)):
                return

    def prune(self, db: sqlite3.Connection, kept: Retention, now: int) -> Iterator[None]:
        """Delete batches that ended long enough ago."""
        completed, ended = (
            None if seconds is None else now - round(1000 * seconds)
            for seconds in (kept.completed, kept.ended)
        )
        for batch_id in batch_retention.expired(db, completed, ended):
            over = False
            while not over:
                gone, over = self._prune_slice(db, batch_id)
                output_files.remove_outputs(self._path, gone)
                self.pruned += len(gone)
                yield

    def _prune_slice(self, db: sqlite3.Connection, batch_id: int) -> tuple[list[int], bool]:
        gone: list[int] = []
        over = True

        def write(writer: sqlite3.Connection, enough: Callable[[], bool]) -> None:
            nonlocal gone, over
            gone, over = batch_retention.delete_slice(writer, batch_id, enough)

        if not self._make(Slice(write)) or not self._committed(db, gone):
            return [], True
        return gone, over
