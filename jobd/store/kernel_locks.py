"""Who holds which lock on the files of a database, as the system lists them in /proc/locks.

Looks at inodes only: opening a file of SQLite's and closing it would drop this process's own locks.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jobd.core.presence import Holder

LIST = Path("/proc/locks")
WAL_WRITE_LOCK = 120
"""The byte of the -shm file that SQLite locks to write (sqlite.org/walformat.html, 2.3.1)."""
WAL_READ_LOCKS = range(123, 128)
"""Those that readers share."""
FILE_LOCKS = 0x4000_0000
"""From here on it locks the database file itself, against readers too."""
LONGEST_COMMAND = 80
READINGS = 5


class KernelLock(NamedTuple):
    """One line of the list; the pid is 0 for a process that our pid namespace does not show."""

    kind: str
    writes: bool
    pid: int
    first_byte: int
    waits: bool


def write_lock_holder(database: Path) -> int | None:
    """The pid that holds SQLite's write lock; None when the system does not say."""
    return next((each.pid for each in locks_on(Path(f"{database}-shm"))
                 if each.kind == "POSIX" and each.writes and each.first_byte == WAL_WRITE_LOCK
                 and not each.waits), None)


def readers(database: Path) -> list[int]:
    """The pids that are reading in the database now."""
    return sorted({each.pid for each in locks_on(Path(f"{database}-shm"))
                   if each.kind == "POSIX" and each.first_byte in WAL_READ_LOCKS})


def excluder(database: Path) -> int | None:
    """The pid that holds the whole file, so that nobody can even read it."""
    return next((each.pid for each in locks_on(database)
                 if each.kind == "POSIX" and each.writes and each.first_byte >= FILE_LOCKS), None)


def flocks(path: Path) -> list[KernelLock]:
    """Who has locked the file as a whole, and who waits to."""
    return [each for each in locks_on(path) if each.kind == "FLOCK"]


def locks_on(path: Path) -> list[KernelLock]:
    """Every lock on the file; none when the system does not say.

    The kernel gives out the list page by page, and where others lock and unlock meanwhile a line
    comes twice, or not at all: what two readings agree on is true.
    """
    try:
        found = path.stat()
        locks = _read(found)
        for _ in range(READINGS):
            before, locks = locks, _read(found)
            if locks == before:
                break
    except OSError:
        return []
    return locks


def _read(found: os.stat_result) -> list[KernelLock]:
    return list(dict.fromkeys(_parsed(LIST.read_text().splitlines(), found)))


def _parsed(lines: list[str], found: os.stat_result) -> Iterator[KernelLock]:
    """Of file systems without a device of their own the list names another number than stat."""
    major, minor = os.major(found.st_dev), os.minor(found.st_dev)
    exact = f"{major:02x}:{minor:02x}:{found.st_ino}"
    here = re.compile(re.escape(exact) if major else f"00:[0-9a-f]+:{found.st_ino}")
    for line in lines:
        words = [word for word in line.split() if word != "->"]
        if len(words) == 8 and here.fullmatch(words[5]):
            first = int(words[6]) if words[6].isdecimal() else 0
            yield KernelLock(words[1], words[3] == "WRITE", int(words[4]), first, " -> " in line)


def holder(pid: int) -> Holder:
    """The process with what it was started as, where that may be seen."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return Holder(pid)
    command = " ".join(word.decode(errors="replace") for word in words if word)
    shown = command if len(command) <= LONGEST_COMMAND else command[: LONGEST_COMMAND - 1] + "…"
    return Holder(pid, shown)
