"""The thread that writes the log, so that a full pipe or a slow disk never holds up a job."""

import os
import stat
import threading
from collections import deque
from pathlib import Path

from jobd import clock
from jobd.log import CONTRACT_VERSION

LINES_HELD = 100_000
PATIENCE = 1.0
NEWLINE = ord("\n")
_A_BATCH = 512


class LogWriter:
    """A bounded queue of lines and the one thread that writes them.

    When the queue is full, a writer of lines waits if the log is a regular file; for a pipe or
    terminal whose reader took nothing for a second lines are dropped, and `log.dropped` says how
    many before the next line.
    """

    def __init__(self, target: Path | int) -> None:
        """Write to a file, which may be moved away, or to an open descriptor."""
        self._path = target if isinstance(target, Path) else None
        self._descriptor = _open(target) if isinstance(target, Path) else target
        self.is_terminal = os.isatty(self._descriptor)
        self._is_file = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self._lines: deque[str] = deque()
        self._room = threading.Condition()
        self._dropped = 0
        self._torn = False
        self._last_written = clock.monotonic()
        self._stopping = False
        self._idle = False
        self._thread = threading.Thread(target=self._work, name="log-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def write(self, line: str) -> None:
        """Queue one line (without its newline)."""
        if len(self._lines) >= LINES_HELD and not self._wait_for_room():
            self._dropped += 1
            return
        self._lines.append(line)
        if self._idle:
            self._idle = False  # until it runs, the next line need not wake it again
            with self._room:
                self._room.notify_all()

    def stop(self, timeout: float) -> None:
        """Write what is queued, for at most `timeout` seconds."""
        self._stopping = True
        with self._room:
            self._room.notify_all()
        self._thread.join(timeout)

    def _wait_for_room(self) -> bool:
        with self._room:
            while len(self._lines) >= LINES_HELD:
                stuck = clock.monotonic() - self._last_written > PATIENCE
                if stuck and not self._is_file:
                    return False
                self._room.wait(0.1)
        return True

    def _work(self) -> None:
        while True:
            with self._room:
                self._idle = True
                while not self._lines and not self._stopping:
                    self._room.wait()
                    # A late call for a line that is written already took it away.
                    self._idle = True
                self._idle = False
            if self._lines:
                self._write_some()
            elif self._stopping:
                return

    def _write_some(self) -> None:
        lines = [self._lines.popleft() for _ in range(min(len(self._lines), _A_BATCH))]
        if self._dropped:
            lines.insert(0, _dropped_line(self._dropped))
            self._dropped = 0
        self._reopen_when_moved()
        self._write_all("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
        with self._room:
            self._room.notify_all()

    def _write_all(self, data: bytes) -> None:
        # Nothing may stand on the line of which only the beginning could be written.
        view = memoryview(b"\n" * self._torn + data)
        while view:
            try:
                written = os.write(self._descriptor, view)
            except OSError:
                # A full disk or a reader that has gone: the jobs matter more than their log.
                self._dropped += bytes(view).count(b"\n")
                return
            self._torn = view[written - 1] != NEWLINE
            view = view[written:]
            self._last_written = clock.monotonic()

    def _reopen_when_moved(self) -> None:
        if self._path is None or not self._moved_away(self._path):
            return
        try:
            fresh = _open(self._path, like=self._descriptor)
        except OSError:
            return  # no room or no right to make one now: the old file still takes lines
        os.close(self._descriptor)
        self._descriptor = fresh

    def _moved_away(self, path: Path) -> bool:
        ours = os.fstat(self._descriptor)
        try:
            there = os.stat(path)
        except OSError:
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)


def _open(path: Path, like: int | None = None) -> int:
    """A new file has the mode of the one it stands for, whatever umask a handler has set."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags | os.O_EXCL, 0o640)
    except FileExistsError:
        return os.open(path, flags, 0o640)
    if like is not None:
        os.fchmod(descriptor, stat.S_IMODE(os.fstat(like).st_mode))
    return descriptor


def _dropped_line(count: int) -> str:
    stamp = clock.iso(clock.now_ms())
    return (
        f'{{"timestamp": "{stamp}", "level": "warning", "event": "log.dropped", '
        f'"v": {CONTRACT_VERSION}, "lines": {count}}}'
    )
