"""What SIGTERM does to the main thread of a child process."""

import _thread
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from jobd import clock
from jobd.core.job import Stopped
from jobd.daemon.attempt import Attempt
from jobd.daemon.signals import catch, forks, is_within, let_go

TERMINATED = 128 + signal.SIGTERM
REASON_COMES_WITHIN = 0.05
AGAIN_AFTER = 0.001


class Interruption:
    """It raises Stopped in a handler, and ends a process that runs none.

    Anywhere else it is `pending` and takes effect where that part is over. An attempt is
    interrupted once; the process is to be replaced then. Once more only where Python had to ignore
    what was raised: in a hook of a fork, or a finalizer.
    """

    def __init__(self) -> None:
        self.pending = False
        self._idle = False
        self._attempt: Attempt | None = None
        self._raised: tuple[Stopped, Attempt] | None = None
        self._next_hook = sys.unraisablehook

    def listen(self) -> None:
        """Take SIGTERM; again before each attempt, for a handler may have taken it away."""
        catch(signal.SIGTERM, self._arrived)
        let_go()
        if sys.unraisablehook != self._ignored:
            self._next_hook, sys.unraisablehook = sys.unraisablehook, self._ignored

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
            self._attempt = self._raised = None

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

    def _arrived(self, _number: int, frame: FrameType | None) -> None:
        if self._idle:
            os._exit(TERMINATED)
        if forks(frame) or is_within(frame, self._ignored):
            self._come_again()
            return
        first, self.pending = not self.pending, True
        if first and self._attempt is not None:
            self._interrupt(self._attempt)

    def _ignored(self, what: "sys.UnraisableHookArgs") -> None:
        """Python's `unraisablehook`: what we have raised is raised again, the rest not ours."""
        if self._raised is not None and what.exc_value is self._raised[0]:
            self._attempt, self.pending = self._raised[1], False
            self._come_again()
            return
        # A hook that calls the one before it calls us, if we were there first.
        hook, self._next_hook = self._next_hook, sys.__unraisablehook__
        try:
            hook(what)
        finally:
            self._next_hook = hook

    def _come_again(self) -> None:
        """Nothing can be raised here: the signal arrives once more, a moment later.

        A `threading.Thread` takes locks, which this thread may hold.
        """
        _thread.start_new_thread(_send_again, ())

    def _interrupt(self, attempt: Attempt) -> None:
        self._attempt = None
        self._wait_for_reason(attempt)
        if attempt.interrupt is not None:
            attempt.interrupt()
        elif not attempt.handler.is_async:  # a coroutine looks for itself before it begins
            stopped = Stopped(attempt.stopping.reason)
            self._raised = stopped, attempt
            raise stopped

    def _wait_for_reason(self, attempt: Attempt) -> None:
        """Another thread is about to set it; no lock may be waited for in a signal handler."""
        deadline = clock.monotonic() + REASON_COMES_WITHIN
        while not attempt.stopping.is_set() and clock.monotonic() < deadline:
            clock.pause(0.001)


def _send_again() -> None:
    clock.pause(AGAIN_AFTER)
    os.kill(os.getpid(), signal.SIGTERM)
