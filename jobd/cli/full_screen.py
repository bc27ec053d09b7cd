"""The whole terminal for one view: its other page, keys as they are typed, and all of it back.

However the view ends (a key, a signal, an error), the terminal is then as it was before.
"""

import os
import select
import signal
import socket
import sys
import termios
import tty
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any, TextIO

from jobd.errors import BadInput

# The other page, no cursor, and no breaking of lines that are too long by a letter.
ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class FullScreen:
    """A context: inside it the terminal is ours.

    A signal that ends the view raises in `draw` or `wait` and nowhere else, so that it never comes
    between us and the giving back of the terminal. SIGINT is KeyboardInterrupt there.
    """

    def __init__(self, out: TextIO) -> None:
        if not out.isatty():
            raise BadInput("standard output is no terminal; --once prints one frame")
        if os.environ.get("TERM", "") in ("", "dumb"):
            raise BadInput("this terminal cannot be drawn on (TERM is dumb or not set); --once "
                           "prints one frame")
        self._out = out
        self._keys = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._modes: list[Any] | None = None
        self._handlers: dict[int, Any] = {}
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._ringer.setblocking(False)
        self._old_fd = -1
        self._ended_by: int | None = None

    def __enter__(self) -> "FullScreen":
        self._old_fd = signal.set_wakeup_fd(self._ringer.fileno(), warn_on_full_buffer=False)
        for number in ENDS:
            self._handlers[number] = signal.signal(number, self._end)
        self._handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, _nothing)
        self._handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._suspend)
        try:
            self._take()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        try:
            self._give_back()
        finally:
            self._leave_signals()

    def _leave_signals(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_fd)
        self._bell.close()
        self._ringer.close()

    def draw(self, lines: Sequence[str]) -> None:
        """Put these lines, each no wider than the terminal, over what is there."""
        self._heed()
        self._write("\x1b[H" + "\x1b[K\r\n".join(lines) + "\x1b[K\x1b[J")

    def wait(self, timeout: float) -> str:
        """What was typed, after at most `timeout` seconds; sooner when the size has changed.

        The end of the keyboard is typed as "q".
        """
        bell = self._bell.fileno()
        watched = [bell] if self._keys is None else [bell, self._keys]
        ready, _, _ = select.select(watched, [], [], timeout)
        if bell in ready:
            self._bell.recv(4096)
        self._heed()
        if self._keys is not None and self._keys in ready:
            return os.read(self._keys, 64).decode("ascii", "replace") or "q"
        return ""

    def _end(self, number: int, _frame: FrameType | None) -> None:
        self._ended_by = self._ended_by or number

    def _heed(self) -> None:
        if self._ended_by == signal.SIGINT:
            raise KeyboardInterrupt
        if self._ended_by is not None:
            raise SystemExit(128 + self._ended_by)

    def _take(self) -> None:
        if self._keys is not None:
            self._modes = termios.tcgetattr(self._keys)
            tty.setcbreak(self._keys, termios.TCSANOW)
        self._write(ENTER)

    def _give_back(self) -> None:
        try:
            if self._keys is not None and self._modes is not None:
                termios.tcsetattr(self._keys, termios.TCSANOW, self._modes)
        finally:
            self._write(LEAVE)

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

    def _suspend(self, _number: int, _frame: FrameType | None) -> None:
        """Ctrl-Z: give the terminal back, sleep, take it again."""
        self._give_back()
        ours = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, ours)
        self._take()


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """The byte in the bell is all that a signal does."""
