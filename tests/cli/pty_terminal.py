"""A terminal of a test's own: a program runs on it, the test types, resizes and reads the screen.

The screen understands what jobd writes: letters, moves of the cursor, erasing, the other page.
Anything else that begins with ESC is kept in `odd`, so that a test sees what should not be there.
"""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from typing import Any

DEADLINE = 30.0
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
_ESCAPE = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])")


class Terminal:
    """A pseudo-terminal with one program on it."""

    def __init__(
        self, argv: list[str], env: Mapping[str, str], *, columns: int = 100, lines: int = 30,
        encoding: str = "utf-8",
    ) -> None:
        self.master, slave = pty.openpty()
        self.raw = b""
        self.odd: list[str] = []
        self.steps_back = False
        """Whether a backspace is obeyed, as shells use it; else it is odd."""
        self.pages = ["main"]
        self.cursor_hidden = False
        self.wraps = True
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._pending = ""
        self._rows: list[list[str]] = [[]]
        self._main_rows: list[list[str]] = []
        self._x = self._y = 0
        self.resize(columns, lines, tell=False)
        self.modes: list[Any] = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, *argv], env=dict(env), stdin=slave,
            stdout=slave, stderr=slave, start_new_session=True,
        )
        self.pid = self.process.pid

    # What a person does.

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def resize(self, columns: int, lines: int, *, tell: bool = True) -> None:
        self.columns, self.lines = columns, lines
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        if tell:
            os.kill(self.pid, signal.SIGWINCH)

    def wait_for(self, fits: str | Callable[["Terminal"], bool]) -> str:
        """Wait until the screen shows the text, or fits; the screen."""
        if isinstance(fits, str):
            wanted = fits
            fits = lambda terminal: wanted in terminal.screen  # noqa: E731
        until = time.monotonic() + DEADLINE
        while not fits(self):
            left = until - time.monotonic()
            assert left > 0, f"it did not come; the screen:\n{self.screen}\n{self.odd}"
            assert self._read(min(left, 1.0)) or fits(self), f"it ended:\n{self.screen}"
        return self.screen

    def ended(self) -> int:
        """Wait for the end of the program; its exit status."""
        until = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            assert time.monotonic() < until, f"it does not end; the screen:\n{self.screen}"
            self._read(0.2)
        while select.select([self.master], [], [], 0)[0] and self._read(0):
            pass
        return self.process.returncode

    def is_as_before(self) -> bool:
        """Whether modes, page, cursor and wrapping are those from before the program."""
        return (termios.tcgetattr(self.slave), self.pages[-1], self.cursor_hidden, self.wraps) == (
            self.modes, "main", False, True)

    def put_away(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE)
        os.close(self.master)
        os.close(self.slave)

    # The screen.

    @property
    def screen(self) -> str:
        return "\n".join("".join(row).rstrip() for row in self._rows).rstrip()

    def _read(self, timeout: float) -> bool:
        """Take in what came; False once the program has ended and everything is read."""
        if not select.select([self.master], [], [], timeout)[0]:
            return self.process.poll() is None
        data = os.read(self.master, 65_536)
        self.raw += data
        self._pending += self._decoder.decode(data)
        self._take_in()
        return True

    def _take_in(self) -> None:
        text, position = self._pending, 0
        while position < len(text):
            if text[position] != "\x1b":
                self._put(text[position])
                position += 1
                continue
            found = _ESCAPE.match(text, position)
            if found is None:
                if len(text) - position < 16:
                    break
                self.odd.append(text[position : position + 8])
                position += 1
                continue
            self._obey(found[1], found[2])
            position = found.end()
        self._pending = text[position:]

    def _put(self, character: str) -> None:
        if character == "\r":
            self._x = 0
        elif character == "\n":
            self._y += 1
        elif character == "\b" and self.steps_back:
            self._x -= 1
        elif character < " " or "\x7f" <= character <= "\x9f":
            self.odd.append(character)
        else:
            self._row()[self._x : self._x + 1] = [character]
            self._x += 1

    def _row(self) -> list[str]:
        while len(self._rows) <= self._y:
            self._rows.append([])
        row = self._rows[self._y]
        row += " " * (self._x - len(row))
        return row

    def _obey(self, given: str, verb: str) -> None:
        numbers = [int(each) for each in given.lstrip("?").split(";") if each]
        first = numbers[0] if numbers else 0
        if (given, verb) in (("?1049", "h"), ("?1049", "l")):
            self._turn_page("other" if verb == "h" else "main")
        elif given == "?25":
            self.cursor_hidden = verb == "l"
        elif given == "?7":
            self.wraps = verb == "h"
        elif verb == "H":
            line, column, *_ = [*numbers, 1, 1]
            self._y, self._x = line - 1, column - 1
        elif verb == "A":
            self._y -= first or 1
        elif verb == "C":
            self._x += first or 1
        elif verb == "D":
            self._x -= first or 1
        elif verb == "K":
            del self._row()[self._x :]
        elif verb == "J":
            if first == 2:
                self._rows = [[]]
            else:
                del self._row()[self._x :]
                del self._rows[self._y + 1 :]
        elif verb != "m":
            self.odd.append(f"{given}{verb}")

    def _turn_page(self, page: str) -> None:
        self.pages.append(page)
        if page == "other":
            self._main_rows, self._rows = self._rows, [[]]
        else:
            self._rows = self._main_rows or [[]]
        self._x, self._y = 0, len(self._rows) - 1


def argv(*words: str) -> list[str]:
    return [sys.executable, "-m", "jobd", *words]
