"""The log as a file that grows, is renamed or cut by logrotate, or as a stream; read as lines."""

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from jobd import clock
from jobd.cli.streams import complain
from jobd.cli.table import printable
from jobd.errors import NotFound

POLL = 0.1
BLOCK = 256 * 1024
LONGEST_LINE = 1024 * 1024
"""No line of jobd's log is longer. Of what is, only the beginning is shown, and that it was cut."""
BEGINNING = 4096
LOOK_BACK = 256 * 1024 * 1024
"""How many bytes back from the end lines are looked for."""


class Lines(Protocol):
    """Where lines come from."""

    def more(self, timeout: float) -> list[str] | None:
        """The lines that came, after at most `timeout` seconds; None when no more will come."""


class _Cutter:
    """Cuts what is read into lines; the last one waits for its newline."""

    def __init__(self) -> None:
        self._rest = b""
        self._skips = False
        """Whether a line goes on that was too long, and has been shown as far as it will be."""

    def lines(self, data: bytes) -> list[str]:
        *whole, self._rest = (self._rest + data).split(b"\n")
        found = [text_of(line) for line in whole]
        if self._skips and whole:
            del found[0]
            self._skips = False
        if self._skips:
            self._rest = b""
        elif len(self._rest) > LONGEST_LINE:
            found.append(text_of(self._rest, goes_on=True))
            self._rest, self._skips = b"", True
        return found

    def rest(self) -> list[str]:
        """The line that will not be finished."""
        line, self._rest = self._rest, b""
        return [text_of(line)] if line and not self._skips else []


class StreamLines:
    """The lines of standard input."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._cutter = _Cutter()
        self._ended = False

    def more(self, timeout: float) -> list[str] | None:
        if self._ended:
            return None
        ready, _, _ = select.select([self._descriptor], [], [], timeout)
        if not ready:
            return []
        data = os.read(self._descriptor, BLOCK)
        if data:
            return self._cutter.lines(data)
        self._ended = True
        return self._cutter.rest()


class FileLines:
    """The lines that are added to a file, wherever the file of this name is by then."""

    def __init__(self, path: Path, *, follow: bool) -> None:
        """Begin at the end; a file that is not there yet is waited for, if it is to be followed.

        Raises:
            NotFound: it is not there, and will not be waited for.
        """
        self._path = path
        self._follow = follow
        self._cutter = _Cutter()
        self._descriptor: int | None = None
        self._moved = False
        self._position = 0
        try:
            descriptor = self._open()
        except FileNotFoundError:
            if not follow:
                raise NotFound(f"no file {printable(str(path))}") from None
            complain(f"waiting for {path}")
        else:
            self._position = _end_of_lines(descriptor, whole=follow)

    def last(self, number: int, fits: Callable[[str], bool]) -> list[str]:
        """The last `number` lines that fit, of those that are there already."""
        found: list[str] = []
        if self._descriptor is not None and number:
            for line in backwards(self._descriptor, self._position):
                if fits(line):
                    found.append(line)
                    if len(found) == number:
                        break
        return found[::-1]

    def recent(self) -> list[str]:
        """What tells how the daemon is: the lines of its last few heartbeats and what followed."""
        return [] if self._descriptor is None else recent(self._descriptor, self._position)

    def more(self, timeout: float) -> list[str] | None:
        if not self._follow:
            return None
        lines = self._read()
        if lines:
            return lines
        if self._look_for_another():
            return self._cutter.rest()
        clock.pause(timeout)
        return []

    def _open(self) -> int:
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        self._position = 0
        return self._descriptor

    def _read(self) -> list[str]:
        if self._descriptor is None:
            return []
        data = os.pread(self._descriptor, BLOCK, self._position)
        self._position += len(data)
        return self._cutter.lines(data) if data else []

    def _look_for_another(self) -> bool:
        """Whether reading goes on elsewhere: in a new file of the name, or in the one cut short.

        A file that was renamed is read once more a moment later, for who still wrote into it.
        """
        try:
            there = os.stat(self._path)
        except OSError:
            return False
        if self._descriptor is None:
            self._open_if_there()
            return self._descriptor is not None
        ours = os.fstat(self._descriptor)
        if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
            cut = ours.st_size < self._position
            self._position = 0 if cut else self._position
            return cut
        if not self._moved:
            self._moved = True
            return False
        self._moved = False
        os.close(self._descriptor)
        self._descriptor = None
        self._open_if_there()
        return True

    def _open_if_there(self) -> None:
        try:
            self._open()
        except FileNotFoundError:
            return


def _end_of_lines(descriptor: int, *, whole: bool) -> int:
    """The end of the file; or of its last `whole` line, when the next is still being written."""
    end = os.fstat(descriptor).st_size
    start = max(end - LONGEST_LINE, 0)
    tail = os.pread(descriptor, end - start, start) if whole else b""
    return start + tail.rfind(b"\n") + 1 if b"\n" in tail else end


def backwards(descriptor: int, end: int) -> Iterator[str]:
    """The lines before `end`, the last one first, as far back as one looks."""
    rest, goes_on, position = b"", False, end
    while position > max(end - LOOK_BACK, 0):
        start = max(position - BLOCK, 0)
        data = os.pread(descriptor, position - start, start) + rest
        position = start
        rest, *whole = data.split(b"\n")
        for line in reversed(whole):
            if line:
                yield text_of(line, goes_on=goes_on)
            goes_on = False
        # What is not its beginning is not shown: of a longer line that much is kept.
        goes_on |= len(rest) > LONGEST_LINE
        rest = rest[:LONGEST_LINE]
    if rest and (position == 0 or goes_on):
        yield text_of(rest, goes_on=goes_on)


def recent(descriptor: int, end: int) -> list[str]:
    """The lines before `end` from the third last heartbeat or the last start on.

    What jobs did is left out, which may be nearly all there is.
    """
    found: list[str] = []
    beats = 0
    for line in backwards(descriptor, end):
        if '"event": "job.' in line:
            continue
        found.append(line)
        beats += '"event": "pool.health"' in line
        if beats > 2 or '"event": "daemon.started"' in line:
            break
    return found[::-1]


def text_of(line: bytes, *, goes_on: bool = False) -> str:
    """A line as text; what is no UTF-8 in it is shown as escapes, and little of one too long."""
    if goes_on or len(line) > LONGEST_LINE:
        beginning = line[:BEGINNING].decode("utf-8", "backslashreplace")
        return f"{beginning} [jobd: cut, for the line is longer than 1 MiB]"
    return line.rstrip(b"\r").decode("utf-8", "backslashreplace")
