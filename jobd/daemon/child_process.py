"""A child process that runs handlers, from its worker's side: starting, hearing, killing it."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress

from jobd import clock
from jobd.core.config import Config
from jobd.daemon.frames import Frames
from jobd.daemon.kept_code import BEGIN, handed
from jobd.daemon.program import inherited_environment
from jobd.daemon.survivors import OWNER, signal_group

DYING_TAKES = 0.5
LOOK_EVERY = 0.005
STDERR = 2


class ChildProcess:
    """One child, its two sockets, and a bell by which other threads wake who waits for it.

    One thread owns it; `tell`, `ring` and `signal` may be called from any, until it is buried.
    """

    def __init__(self, owner: str) -> None:
        """Start it for the daemon `owner`; OSError when that is not possible."""
        self.started = clock.monotonic()
        self.is_ready = False
        self.is_spent = False
        """No attempt may follow: it was interrupted, or it goes by itself."""
        self.worn: str | None = None
        """Why it should be replaced, though nothing is wrong with it: what its jobs leaked."""
        self.attempts = 0
        self.settings: Config | None = None
        work, control = socket.socketpair(), socket.socketpair()
        self.work, self.control = Frames(work[0]), Frames(control[0])
        self._telling = threading.Lock()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        for descriptor in (self.work.fileno(), self.control.fileno(), self._bell):
            self._poll.register(descriptor, select.POLLIN)
        with work[1], control[1]:
            self._process = self._start(owner, (work[1].fileno(), control[1].fileno()))

    @property
    def has_gone(self) -> bool:
        """Whether it has ended, or closed a socket and is as good as ended."""
        return self.work.closed or self.control.closed or self._has_exited()

    def wait(self, seconds: float) -> None:
        """Until it says something, the bell rings, or the time is over."""
        for descriptor, _ in self._poll.poll(max(seconds, 0.0) * 1000):
            if descriptor == self._bell:
                os.eventfd_read(self._bell)

    def send_work(self, *frame: object) -> None:
        """Send a frame on the work socket; that it is gone is seen by who waits for the answer."""
        with suppress(OSError):
            self.work.send(*frame)

    def tell(self, *frame: object) -> None:
        """Say something on the control socket, without waiting."""
        with self._telling:
            self.control.post(*frame)

    def ring(self) -> None:
        os.eventfd_write(self._bell, 1)

    def signal(self, *numbers: int) -> None:
        """Signal it and what is in its group."""
        for number in numbers:
            signal_group(self._process.pid, number)

    def bury(self, *, dying: bool) -> int | None:
        """Reap it: its exit status, negative for a signal.

        A `dying` one may end by itself first; None when it does not, and had to be killed too.
        """
        by_itself = dying and self._exits_soon()
        self.signal(signal.SIGKILL)
        status = self._process.wait()
        self._close()
        return status if by_itself or not dying else None

    def dismiss(self) -> None:
        """End it while it is idle; what a job that succeeded left behind is let be."""
        self._process.kill()
        self._process.wait()
        self._close()

    def _start(self, owner: str, ends: tuple[int, int]) -> "subprocess.Popen[bytes]":
        code: int | None = None
        try:
            code = handed()
            return subprocess.Popen(
                [sys.executable, "-P", "-c", BEGIN, *map(str, (code, *ends))],
                env=inherited_environment({OWNER: owner}),
                stdin=subprocess.DEVNULL,
                stdout=STDERR,
                start_new_session=True,
                pass_fds=(code, *ends),
            )
        except OSError:
            self._close()
            raise
        finally:
            if code is not None:
                os.close(code)

    def _exits_soon(self) -> bool:
        deadline = clock.monotonic() + DYING_TAKES
        while not self._has_exited():
            if clock.monotonic() >= deadline:
                return False
            clock.pause(LOOK_EVERY)
        return True

    def _has_exited(self) -> bool:
        """Without reaping it: until then no one else can have its number."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, flags) is not None

    def _close(self) -> None:
        self.work.close()
        self.control.close()
        os.close(self._bell)
