"""Where an attempt keeps files: its captured output, and the lock its processes inherit.

They lie beside the database, `<database>.attempts/<job id>/<attempt>/`, made of integers alone.
What the handler of a first attempt prints is `<database>.attempts/<job id>.<stream>`: to make its
directories takes twice as long as to make the file.
"""

import fcntl
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

STREAMS = ("stdout", "stderr")
LOCK = "lock"


def _beside(database: Path) -> str:
    """Text, for to put paths together from paths takes longer than to look at them."""
    return f"{database}.attempts"


def attempts_directory(database: Path) -> Path:
    return Path(_beside(database))


def attempt_directory(database: Path, job_id: int, attempt: int) -> Path:
    return Path(f"{_beside(database)}/{int(job_id)}/{int(attempt)}")


def stream_files(database: Path, job_id: int, attempt: int, name: str) -> list[Path]:
    """Where that stream of the attempt may be; the first of them that exists is it."""
    found = [attempt_directory(database, job_id, attempt) / name]
    if attempt == 1:
        found.append(Path(f"{_beside(database)}/{int(job_id)}.{name}"))
    return found


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A file for one output stream, and what it was when it was opened."""

    path: Path
    descriptor: int
    state: os.stat_result


def open_handler_stream(database: Path, job_id: int, attempt: int, name: str) -> OpenStream:
    """Where what a handler prints is to be kept."""
    if attempt > 1:
        return open_stream(make_directory(database, job_id, attempt) / name)
    in_directory, path = stream_files(database, job_id, attempt, name)
    if in_directory.exists():
        return open_stream(in_directory)
    try:
        return open_stream(path)
    except FileNotFoundError:
        _make(database, [path.parent])
        return open_stream(path)


def make_directory(database: Path, job_id: int, attempt: int) -> Path:
    """Make the attempt's directory, open to whom the database is open to."""
    path = attempt_directory(database, job_id, attempt)
    if not path.is_dir():
        _make(database, [path.parent.parent, path.parent, path])
    return path


def open_stream(path: Path) -> OpenStream:
    """A file for one output stream, written at its end whoever else cuts it."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    # Whoever may read the job's payload and result may read this too.
    mode = 0o640 if path.parent.stat().st_mode & 0o040 else 0o600
    descriptor = os.open(path, flags, mode)
    return OpenStream(path, descriptor, _give_mode(descriptor, mode))


def take_lock(directory: Path) -> int:
    """A descriptor that shares the attempt's lock, for a process of it to inherit.

    The lock is free again when the last process that has such a descriptor is gone.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(directory / LOCK, flags, 0o600)
    _give_mode(descriptor, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _make(database: Path, directories: Sequence[Path]) -> None:
    for directory in directories:
        if not directory.is_dir():
            mode = 0o770 if database.parent.stat().st_mode & 0o020 else 0o700
            directory.mkdir(mode, exist_ok=True)
            if directory.stat().st_mode & 0o777 != mode:  # else it keeps the bit that hands it down
                directory.chmod(mode)


def _give_mode(descriptor: int, mode: int) -> os.stat_result:
    """Whatever umask a handler has set in this process; returns what the file was before."""
    found = os.fstat(descriptor)
    if found.st_mode & 0o777 != mode:
        with suppress(PermissionError):
            os.fchmod(descriptor, mode)
    return found


def is_locked(directory: Path) -> bool:
    """Whether a process of this attempt still holds its lock; False when it never had one."""
    try:
        descriptor = os.open(directory / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


_MARK = re.compile(rb"\n\[jobd: (\d+) bytes cut\]\n")
_MARK_BEGINS = b"\n[jobd: "
LONGEST_MARK = 64
KEPT_END = 400
"""Bytes of what was written last, in which most programs say what is wrong."""
MAY_WRITE_ON = 5
"""How often a program may be caught writing; then what it writes is cut without being counted."""


class CutFinder:
    """Whether bytes that come in pieces hold the mark of a cut."""

    def __init__(self) -> None:
        self.found = False
        self._end = b""

    def look_at(self, piece: bytes) -> None:
        held = self._end + piece
        if _MARK_BEGINS in held and _MARK.search(held):
            self.found = True
        self._end = held[-LONGEST_MARK:]


def cut(path: Path, most: int, coming: int = 0) -> None:
    """Cut a file of more than `most` bytes to its first half, a mark that says how many bytes are
    gone, and its end.

    With `coming` bytes more it would be too large; whoever writes them cuts first, and so the last
    that was written is always there.
    The sweep and the worker may both come to cut; one waits for the other.
    """
    try:
        if path.lstat().st_size + coming <= most:  # and a link is let be
            return
        with path.open("r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _cut(file.fileno(), most, coming)
    except FileNotFoundError:
        return


def _cut(file: int, most: int, coming: int) -> None:
    half, end = most // 2, min(KEPT_END, most // 8)
    before = _MARK.match(os.pread(file, LONGEST_MARK, half))
    behind = half + (len(before[0]) if before else 0)
    for _ in range(MAY_WRITE_ON):
        size = os.fstat(file).st_size
        if size + coming <= most or size <= half:
            return
        last = os.pread(file, end, max(behind, size - end))
        kept = _mark(size - half - len(last), before) + last
        # This waits for a write under way, whose bytes are then seen, and counted.
        os.pwrite(file, kept, half)
        if os.fstat(file).st_size == max(size, half + len(kept)):
            break
    os.ftruncate(file, half + len(kept))


def _mark(gone: int, before: re.Match[bytes] | None) -> bytes:
    """What stands at the cut; an earlier mark went with it, and what it told is added."""
    if before is not None:
        gone += int(before[1]) - len(before[0])
    return f"\n[jobd: {gone} bytes cut]\n".encode()
