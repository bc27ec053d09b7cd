"""The lock that whoever works on the items of a batch holds meanwhile: a byte of one file.

The kernel frees it when its holder dies, however that happens; so the daemon knows what was left
half done. The lock belongs to the descriptor, and not, as older ones do, to the process.
"""

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from jobd.errors import DatabaseUnavailable, Refused
from jobd.store.files import create_file

_FLOCK = "hhqqi0q"


@contextlib.contextmanager
def batch_lock(database: Path) -> Iterator["BatchLock"]:
    """A lock that holds nothing yet, and nothing any more when the block is left."""
    lock = BatchLock(database)
    try:
        yield lock
    finally:
        lock.release()


class BatchLock:
    """`<database>.batches`, of which byte N stands for batch N."""

    def __init__(self, database: Path) -> None:
        self._path = _lock_path(database)
        try:
            self._descriptor = create_file(self._path)
        except OSError as error:
            raise DatabaseUnavailable(f"cannot write {self._path}: {error.strerror}") from error

    def take(self, batch_id: int) -> None:
        """Hold the batch until `release`. Raises Refused when someone else does."""
        if not _lock(self._descriptor, fcntl.F_WRLCK, batch_id):
            raise Refused(f"someone else is working on the items of batch {batch_id}")

    def release(self) -> None:
        """Let go of every batch; nobody is kept from reading or writing the file."""
        os.close(self._descriptor)


def is_worked_on(database: Path, batch_id: int) -> bool:
    """Whether a process that lives works on the items of the batch."""
    try:
        descriptor = os.open(_lock_path(database), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return not _lock(descriptor, fcntl.F_WRLCK, batch_id)
    finally:
        os.close(descriptor)


def _lock_path(database: Path) -> Path:
    return Path(f"{os.path.realpath(database)}.batches")


def _lock(descriptor: int, kind: int, batch_id: int) -> bool:
    wanted = struct.pack(_FLOCK, kind, os.SEEK_SET, batch_id, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    except (BlockingIOError, PermissionError):
        return False
    return True
