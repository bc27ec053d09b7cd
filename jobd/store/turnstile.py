"""Writers of all processes take turns, because SQLite's own waiting starves one side for seconds.

Two advisory locks beside the database: whoever holds the outer one is next in line for the inner
one. A turn is for some milliseconds, in which its writer may write more than once; the lock is free
in between. It is a courtesy with a limit: after a bounded wait a writer goes on without it, and
SQLite's lock decides.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path

from jobd import clock
from jobd.store.files import create_file

WAITS_FOR_TURN = (0.000_02, 0.000_04, 0.000_08, 0.000_15, 0.000_4)
"""Seconds between tries: whoever is next must not sleep while the turn is free."""
WAITS_IN_LINE = (0.002, 0.001, 0.000_5)
"""Whoever has waited longer tries more often, so that the last to come is not the first."""
SLICE = 0.003
"""Seconds in which a writer may come again without lining up: handing over takes as long as a
commit."""
PATIENCE = 0.25
_AT_ONCE = LOCK_EX | LOCK_NB


class Turnstile:
    """The two lock files of one database, opened when first needed."""

    def __init__(self, database: Path) -> None:
        self._paths = (Path(f"{database}.line"), Path(f"{database}.turn"))
        self._descriptors: tuple[int, int] | None = None
        self._slice_ends = 0.0
        self.lines_up = True
        """A daemon does not: producers that write without pause would leave it behind for ever."""

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the turn for the block; without one when it cannot be had (in time)."""
        held = self.take()
        try:
            yield
        finally:
            self.leave(held)

    def leave(self, held: int | None) -> None:
        """Give back what `take` returned."""
        if held is not None:
            flock(held, LOCK_UN)

    def take(self) -> int | None:
        """Wait for the turn and hold it; None when it cannot be had (in time)."""
        try:
            line, turn = self._descriptors or self._open()
        except OSError:
            return None  # a full or unwritable directory: what is wrong with it SQLite will say
        if not self.lines_up:
            return turn if _lock(turn, WAITS_FOR_TURN) else None
        if clock.monotonic() < self._slice_ends and _lock_at_once(turn):
            return turn
        in_line = _lock(line, WAITS_IN_LINE)
        try:
            if not _lock(turn, WAITS_FOR_TURN):
                return None
            self._slice_ends = clock.monotonic() + SLICE
            return turn
        finally:
            if in_line:
                flock(line, LOCK_UN)

    def let_go(self) -> None:
        """Hold neither, whatever an interruption has left: `take` cannot say when it is cut."""
        for descriptor in self._descriptors or ():
            flock(descriptor, LOCK_UN)

    def close(self) -> None:
        for descriptor in self._descriptors or ():
            os.close(descriptor)
        self._descriptors = None

    abandon = close
    """Closing a forked copy leaves the parent's lock alone; only an explicit unlock would not."""

    def _open(self) -> tuple[int, int]:
        line, turn = (create_file(path) for path in self._paths)
        self._descriptors = (line, turn)
        return self._descriptors


def _lock_at_once(descriptor: int) -> bool:
    """Whether it was free, and now is ours."""
    try:
        flock(descriptor, _AT_ONCE)
    except BlockingIOError:
        return False
    return True


def _lock(descriptor: int, waits: Sequence[float]) -> bool:
    """Whether it was had in time; the last of `waits` is repeated until then."""
    deadline, coming = None, iter(waits)
    while not _lock_at_once(descriptor):
        now = clock.monotonic()
        deadline = deadline or now + PATIENCE
        if now >= deadline:
            return False
        clock.pause(next(coming, waits[-1]))
    return True
