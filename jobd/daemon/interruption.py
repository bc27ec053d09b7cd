"""What SIGTERM does to the main thread of a child process."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from jobd import clock
from jobd.core.job import Stopped
from jobd.daemon.attempt import Attempt
from jobd.daemon.signals import catch

TERMINATED = 128 + signal.SIGTERM
REASON_COMES_WITHIN = 0.05


class Interruption:
    """It raises Stopped in a handler, and ends a process that runs none.

    Anywhere else it is `pending` and takes effect where that part is over. An attempt is
    interrupted once; the process is to be replaced then.
    """

    def __init__(self) -> None:
        self.pending = False
        self._idle = False
        self._attempt: Attempt | None = None

    def listen(self) -> None:
        """Take SIGTERM; again before each attempt, for a handler may have taken it away."""
        catch(signal.SIGTERM, self._arrived)

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Nothing runs in this block: SIGTERM ends the process."""
        self._idle = True
        try:
            if self.pending:
                os._exit(TERMINATED)
            yield
        finally:
            self._idle = False

    @contextmanager
    def allowed(self, attempt: Attempt) -> Iterator[None]:
        """The handler runs in this block: SIGTERM interrupts it."""
        self._attempt = attempt
        try:
            if self.pending:
                self._interrupt(attempt)
            yield
        finally:
            self._attempt = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Something of ours runs in this block that must not be cut in two."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        attempt, self._attempt = self._attempt, None
        try:
            yield
        finally:
            self._attempt = attempt
            if self.pending and attempt is not None:
                self._interrupt(attempt)

    @contextmanager
    def instead(self) -> Iterator[None]:
        """Stopped out of this block is the interruption: its handler tidies up undisturbed."""
        try:
            yield
        except Stopped:
            if threading.current_thread() is threading.main_thread():
                self._attempt = None
            raise

    def _arrived(self, _number: int, _frame: object) -> None:
        if self._idle:
            os._exit(TERMINATED)
        first, self.pending = not self.pending, True
        if first and self._attempt is not None:
            self._interrupt(self._attempt)

    def _interrupt(self, attempt: Attempt) -> None:
        self._attempt = None
        self._wait_for_reason(attempt)
        if attempt.interrupt is not None:
            attempt.interrupt()
        elif not attempt.handler.is_async:  # a coroutine looks for itself before it begins
            raise Stopped(attempt.stopping.reason)

    def _wait_for_reason(self, attempt: Attempt) -> None:
        """Another thread is about to set it; no lock may be waited for in a signal handler."""
        deadline = clock.monotonic() + REASON_COMES_WITHIN
        while not attempt.stopping.is_set() and clock.monotonic() < deadline:
            clock.pause(0.001)
