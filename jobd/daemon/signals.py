"""Signals as bytes on a socket that the main thread reads: the handlers do nothing."""

import os
import select
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from types import FrameType

STOPS = (signal.SIGTERM, signal.SIGINT)
RELOAD = signal.SIGHUP
Catcher = Callable[[int, FrameType | None], object]


class SignalBox:
    """Where signals and messages of other threads reach the main thread."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._arrived: deque[int] = deque()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch SIGTERM, SIGINT and SIGHUP for the block; only the main thread may.

        Afterwards they do nothing: a last one must not end a process that writes its last lines.
        """
        for number in (*STOPS, RELOAD):
            catch(number, _nothing)
        old = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(old)

    def ring(self) -> None:
        """Wake the main thread; callable from any thread."""
        try:
            self._writer.send(b"\x00")
        except BlockingIOError:
            pass  # it has enough to read already

    def wait(self, timeout: float) -> int | None:
        """The next signal that arrived, if any, after at most `timeout` seconds."""
        if not self._arrived:
            ready, _, _ = select.select([self._reader], [], [], timeout)
            if ready:
                self._arrived.extend(number for number in self._reader.recv(4096) if number)
        return self._arrived.popleft() if self._arrived else None


def _nothing(_number: int, _frame: object) -> None:
    """The byte in the wakeup socket is all that a signal does."""


_caught: dict[int, Catcher] = {}


def catch(number: int, catcher: Catcher) -> None:
    """As `signal.signal`, for this process alone and not for what a handler forks."""
    signal.signal(number, catcher)
    _caught[number] = catcher


class _Forking(threading.local):
    mask: Set[int] | None = None
    """What this thread had blocked before the fork that it is amid."""


_forking = _Forking()


def _hold() -> None:
    """Before a fork: what is sent to the child at once waits until it has its own actions."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _caught)
    if _forking.mask is None:  # else a handler's own signal handler has cut the last release short
        _forking.mask = mask


def let_go() -> None:
    """After a fork; and before an attempt, should the one before have left signals held."""
    try:
        _restore()
    finally:
        _restore()  # a signal handler may raise into the first


def _restore() -> None:
    if _forking.mask is None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _caught)
    else:
        signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _catch_nothing() -> None:
    """In a forked child: a signal to it is not the daemon's, and SIGTERM ends it. Of what is caught
    here, SIGINT and SIGHUP, which a terminal sends to all, do nothing to it: its job goes on."""
    for number, catcher in _caught.items():
        if signal.getsignal(number) == catcher:
            signal.set_wakeup_fd(-1)
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
    _forked()


def _forked() -> None:
    let_go()
    _forking.mask = None


def forks(frame: FrameType | None) -> bool:
    """Whether this is amid a fork: what a catcher raises there would be ignored, and leave the
    signals held."""
    return is_within(frame, _hold, _forked, _catch_nothing)


def is_within(frame: FrameType | None, *functions: Callable[..., object]) -> bool:
    """Whether the frame is one of these functions', or that of something they called."""
    codes = {function.__code__ for function in functions}
    while frame is not None and frame.f_code not in codes:
        frame = frame.f_back
    return frame is not None


os.register_at_fork(before=_hold, after_in_parent=_forked, after_in_child=_catch_nothing)
