"""Files beside the database, made with tight modes before SQLite or anyone else makes them."""

import os
import stat
from pathlib import Path


def file_mode(path: Path) -> int:
    """0660 in a directory whose group may write (the service's), else 0600."""
    group_writes = path.parent.stat().st_mode & stat.S_IWGRP
    return 0o660 if group_writes else 0o600


def create_file(path: Path) -> int:
    """Open `path` for reading and writing, making it with a tight mode; returns the descriptor."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    os.fchmod(descriptor, file_mode(path))
    return descriptor


def identities(database: Path) -> tuple[tuple[int, int] | None, ...]:
    """Which files stand at the names of the database, its log and its index now."""
    return tuple(_identity(Path(f"{database}{suffix}")) for suffix in ("", "-wal", "-shm"))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


WAL_WRITE_LOCK = "120"
"""The byte of the -shm file that SQLite locks to write (sqlite.org/walformat.html, 2.3.1)."""


def write_lock_holder(database: Path) -> int | None:
    """The pid that holds SQLite's write lock, by /proc/locks; None when that does not say.

    Looks at inodes only: opening the file and closing it would drop this process's own locks.
    """
    try:
        inode = Path(f"{database}-shm").stat().st_ino
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if len(words) == 8 and words[3] == "WRITE" and words[6] == WAL_WRITE_LOCK:
            pid, place = words[4], words[5]
            if place.rsplit(":", 1)[-1] == str(inode):
                return int(pid)
    return None
