"""Small writes that the upkeep has made by the dispatcher, one after the other."""

import sqlite3
import threading
from collections.abc import Callable

from jobd import clock

SLICE = 0.01


class Slice:
    """A small write that tells when it was made, and how long it took."""

    def __init__(self, write: Callable[[sqlite3.Connection, Callable[[], bool]], None]) -> None:
        self.took = 0.0
        self.made = threading.Event()
        self.error: sqlite3.IntegrityError | None = None
        self._write = write
        self._dropped = False

    def __call__(self, db: sqlite3.Connection, _now: int) -> None:
        """Called by the dispatcher, again when its transaction was rolled back."""
        if self._dropped:
            return
        began = clock.monotonic()
        try:
            self._write(db, lambda: clock.monotonic() - began >= SLICE)
        except sqlite3.IntegrityError as error:
            # Some table of another hand refers to the jobs. The work of others goes on.
            self.error = error
        self.took = clock.monotonic() - began
        self.made.set()

    def drop(self) -> None:
        """Nobody waits for it any more: do not write it."""
        self._dropped = True
