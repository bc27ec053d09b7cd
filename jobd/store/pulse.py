"""The file beside the database in which the daemon keeps how many attempts ended each second.

It has one slot for each second of sixteen minutes, written over and over, so it never grows, can
be read while the database is locked, and tells of the time before the daemon's last start too.
"""

import os
import struct
from collections.abc import Iterable
from pathlib import Path

from jobd.core.pulse import Beat
from jobd.store.files import file_mode

MAGIC = b"jobd pulse 1\n\0\0\0"
SLOTS = 960
_SLOT = struct.Struct("<QII")
SIZE = len(MAGIC) + SLOTS * _SLOT.size
_MOST = 2**32 - 1


def pulse_file(database: Path) -> Path:
    return Path(f"{database}.pulse")


class PulseWriter:
    """Keeps the file open, and makes it anew when it is gone or is not ours."""

    def __init__(self, database: Path) -> None:
        self._path = pulse_file(database)
        self._descriptor: int | None = None

    def write(self, beats: Iterable[Beat]) -> None:
        """Write the slots of these seconds.

        Raises:
            OSError: there is no room, or no right to write.
        """
        descriptor = self._opened()
        for second, completed, failed in beats:
            slot = _SLOT.pack(second, min(completed, _MOST), min(failed, _MOST))
            os.pwrite(descriptor, slot, len(MAGIC) + second % SLOTS * _SLOT.size)

    def _opened(self) -> int:
        found = self._descriptor
        if found is not None and os.fstat(found).st_nlink and os.fstat(found).st_size == SIZE:
            return found
        if found is not None:
            self._descriptor = None
            os.close(found)
        self._descriptor = _open(self._path, os.O_RDWR | os.O_CREAT)
        if not _is_ours(os.pread(self._descriptor, SIZE + 1, 0)):
            os.fchmod(self._descriptor, file_mode(self._path))
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, MAGIC.ljust(SIZE, b"\0"), 0)
        return self._descriptor


def read_pulse(database: Path) -> list[Beat]:
    """What the file holds, in no order; nothing when there is none or it is not ours."""
    try:
        descriptor = _open(pulse_file(database), os.O_RDONLY)
    except OSError:
        return []
    try:
        data = os.pread(descriptor, SIZE + 1, 0)
    except OSError:
        return []
    finally:
        os.close(descriptor)
    if not _is_ours(data):
        return []
    return [beat for beat in _SLOT.iter_unpack(data[len(MAGIC):]) if beat[0]]


def _open(path: Path, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)


def _is_ours(data: bytes) -> bool:
    return len(data) == SIZE and data.startswith(MAGIC)
