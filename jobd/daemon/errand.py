"""One attempt on its way through a child process, and everyone who may tell it to stop."""

import signal
import threading

from jobd import clock
from jobd.core.job import StopReason
from jobd.daemon.attempt import Attempt
from jobd.daemon.child_process import ChildProcess
from jobd.daemon.context import JobContext

LOOK_EVERY = 1.0
PROGRESS_EVERY = 0.1
LAST_MOMENT = 0.5
"""Seconds between SIGTERM and SIGKILL when the daemon itself has no more time."""


class Errand:
    """One attempt on its way through a child: handed over once, told to stop once, killed once."""

    def __init__(
        self, attempt: Attempt, context: JobContext, child: ChildProcess, kill_grace: float
    ) -> None:
        self.attempt = attempt
        self.context = context
        self.child = child
        self.number = 0
        """Which attempt of this child it is; 0 until it is handed over."""
        self.may_leave = False
        """Whether programs of it may still run when it has ended."""
        self.kill_at: float | None = None
        self._kill_grace = kill_grace
        self._go_on_at: float | None = None
        self._informed = False
        self._over = False
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Be there for who tells it to stop."""
        self.attempt.inform = self.inform
        self.attempt.interruptible_by(self.interrupt)

    def hand_over(self) -> bool:
        """Whether nobody has told it to stop yet; the child is to get it then."""
        with self._lock:
            if self.attempt.stopping.is_set():
                return False
            self.child.attempts += 1
            self.number = self.child.attempts
            return True

    def inform(self) -> None:
        """Pass on that it was told to stop, and why."""
        with self._lock:
            if not self._over:
                self._inform()
                self.child.ring()

    def interrupt(self) -> None:
        """SIGTERM; the worker sends SIGKILL when the grace is over."""
        with self._lock:
            if self._over or self.kill_at is not None:
                return
            stop = self.attempt.stopping.reason is StopReason.STOP
            grace = min(self._kill_grace, LAST_MOMENT) if stop else self._kill_grace
            self.kill_at = clock.monotonic() + grace
            if self.number:
                self._inform()
                self.child.signal(signal.SIGTERM, signal.SIGCONT)
            self.child.ring()

    def finish(self) -> None:
        """From now on the child is left alone."""
        with self._lock:
            self._over = True
        if self.number and self.kill_at is not None:
            self.child.is_spent = True

    def ask_for_progress_later(self) -> None:
        """The child says how far it is when it is asked, and not more often."""
        self._go_on_at = clock.monotonic() + PROGRESS_EVERY

    def wait(self) -> None:
        """Until there is something to be done for it."""
        now = clock.monotonic()
        times = [now + LOOK_EVERY, self.kill_at, self._go_on_at]
        self.child.wait(min(each for each in times if each is not None) - now)
        if self._go_on_at is not None and clock.monotonic() >= self._go_on_at:
            self._go_on_at = None
            self.child.tell("go_on")

    def is_overdue(self) -> bool:
        """Whether it is to be killed."""
        kill_at = self.kill_at if self.number else None
        return kill_at is not None and clock.monotonic() >= kill_at

    def _inform(self) -> None:
        if self.number and not self._informed:
            self._informed = True
            self.child.tell("stop", self.number, self.attempt.stopping.reason)
