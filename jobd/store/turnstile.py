"""Writers of all processes take turns, because SQLite's own waiting starves one side for seconds.

Two advisory locks beside the database: whoever holds the outer one is next in line for the inner
one. The turn is a courtesy with a limit: after a bounded wait a writer goes on without it, and
SQLite's lock decides.
"""

import contextlib
import os
from collections.abc import Iterator
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path

from jobd import clock
from jobd.store.files import create_file

FIRST_WAIT = 0.000_02
LONGEST_WAIT = 0.000_15
"""Seconds between tries: whoever is next must not sleep while the turn is free."""
PATIENCE = 0.25
_AT_ONCE = LOCK_EX | LOCK_NB


class Turnstile:
    """The two lock files of one database, opened when first needed."""

    def __init__(self, database: Path) -> None:
        self._paths = (Path(f"{database}.line"), Path(f"{database}.turn"))
        self._descriptors: tuple[int, int] | None = None

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
        in_line = _lock(line)
        try:
            return turn if _lock(turn) else None
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


def _lock(descriptor: int) -> bool:
    deadline, wait = None, FIRST_WAIT
    while True:
        try:
            flock(descriptor, _AT_ONCE)
        except BlockingIOError:
            now = clock.monotonic()
            deadline = deadline or now + PATIENCE
            if now >= deadline:
                return False
            clock.pause(wait)
            wait = min(2 * wait, LONGEST_WAIT)
        else:
            return True
