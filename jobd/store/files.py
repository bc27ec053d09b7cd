"""Files beside the database, made with tight modes before SQLite or anyone else makes them."""

import os
import stat
from pathlib import Path


def file_mode(path: Path) -> int:
    """0660 in a directory whose group may write (the service's), else 0600."""
    group_writes = path.parent.stat().st_mode & stat.S_IWGRP
    return 0o660 if group_writes else 0o600


def create_file(path: Path) -> int:
    """Open `path` for reading and writing, making it with a tight mode; returns the descriptor.

    A link in its place is refused: what it leads to is not ours to lock, cut or write.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    os.fchmod(descriptor, file_mode(path))
    return descriptor


def write_atomically(path: Path, text: str, mode: int) -> None:
    """Put `text` at `path`: a reader sees what was there, or all of it.

    Raises:
        OSError: with the name of a file, also where the system names none, as on a full disk.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(part, flags, mode)
        with open(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)
            file.write(text)
        part.rename(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise


Identities = tuple[tuple[int, int] | None, ...]
UNSEEN = (0, 0)
"""What stands there cannot be seen: a directory on the way has lost its permissions."""


_PIECE = 1 << 14
"""Bytes. A file written in one go lies in large folios of the page cache, and each small write into
one of those walks through all of its blocks: twice as long for a page of the write-ahead log."""


def lengthen(path: Path, size: int) -> None:
    """Make a file that is shorter `size` bytes long, with zeros that have their place on disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        length = os.fstat(descriptor).st_size
        while length < size:
            piece = min(size - length, _PIECE)
            length += os.pwrite(descriptor, bytes(piece), length)
    finally:
        os.close(descriptor)


def identities(database: Path) -> Identities:
    """Which files stand at the names of the database, its log and its index now."""
    name = str(database)
    return _identity(name), _identity(f"{name}-wal"), _identity(f"{name}-shm")


Place = tuple[int, int, int]
SECOND = 1_000_000_000
SETTLED = 20_000_000
"""Longer than any tick of a kernel's clock, in ns: so old, a time says that nothing came after."""


def directory_state(directory: str) -> Place | None:
    """A value that changes when a file in the directory is made, removed or renamed.

    One look at the directory says as much as one at each file, and is not only cheaper: a file
    whose times were asked for gets new ones with its next write (multigrain timestamps, Linux
    6.13), and syncing the log then takes half as long again.
    """
    try:
        found = os.stat(directory)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def settled_state(directory: str, now_ns: int) -> Place | None:
    """The same, to be remembered: None when the directory changed so lately that it may do so
    again within one tick of its clock, which nobody could see."""
    found = directory_state(directory)
    if found is None:
        return None
    changed = found[2]
    # Whole seconds come from a file system that keeps no parts of them.
    settled = SETTLED if changed % SECOND else 2 * SECOND
    return found if 0 <= changed <= now_ns - settled else None


def replaced(known: Identities, found: Identities) -> bool:
    """Whether a file that was there is gone, or another one stands at its name."""
    pairs = zip(known, found, strict=True)
    return any(was and now != UNSEEN and was not in (now, UNSEEN) for was, now in pairs)


def _identity(name: str) -> tuple[int, int] | None:
    try:
        found = os.stat(name)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return UNSEEN
    return found.st_dev, found.st_ino
