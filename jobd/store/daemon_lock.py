"""The lock that one active daemon, or a verb that needs the database alone, holds for life.

The kernel frees it when its holder dies, however that happens: it alone says who is alive.
"""

import contextlib
import fcntl
import os
import weakref
from pathlib import Path

from jobd import clock
from jobd.errors import DatabaseUnavailable, NoAccess
from jobd.store.access import no_access
from jobd.store.files import create_file

TRIES = 5
BETWEEN_TRIES = 0.002


class DaemonLock:
    """`<database>.daemon`: an exclusive flock, with the holder's pid written into the file, and
    behind it what the holder says of itself (`say`)."""

    def __init__(self, database: Path) -> None:
        self._database = Path(os.path.realpath(database))
        self._path = lock_path(database)
        self._file: int | None = None
        self._descriptor: int | None = None
        _locks.add(self)

    def acquire(self, blocking: bool) -> bool:
        """Take the lock and write our pid; False when not `blocking` and another holds it."""
        if self._descriptor is None:
            self._descriptor = _made(self._path)
        if not (_wait(self._descriptor) if blocking else _try(self._descriptor)):
            return False
        with contextlib.suppress(OSError):  # a full disk: the lock holds without the pid
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        return True

    def acquire_file(self, blocking: bool) -> bool:
        """Lock the database file itself as well, made when it does not exist.

        So a lock file that someone tidied away lets nobody in. The descriptor stays open for
        life: closing it would drop the locks that SQLite takes in this process.
        """
        if self._file is None:
            self._file = _made(self._database)
        return (_wait if blocking else _try)(self._file)

    def holder(self) -> int | None:
        """The pid that the last holder wrote; whether it still holds is for `is_held` to say."""
        return _read_pid(self._path)

    def release(self) -> None:
        """Give the lock back; does nothing when it is not held."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                if _lock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    os.ftruncate(self._descriptor, 0)
            self.abandon()

    def abandon(self) -> None:
        """Close our descriptor only: a forked child's copy must not outlive the daemon."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if self._file is not None:
            os.close(self._file)
            self._file = None


def is_held(database: Path) -> tuple[bool, int | None]:
    """Whether someone holds the lock of `database`, and the pid that the holder wrote."""
    path = lock_path(database)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False, None
    except PermissionError as error:
        raise no_access(database) or NoAccess(f"permission denied: {path}") from error
    try:
        if _lock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB):
            return False, None
        return True, _read_pid(path)
    finally:
        os.close(descriptor)


def say(database: Path, text: str) -> None:
    """Write behind our pid, in the lock's file, what we are about; not into another's file."""
    path = lock_path(database)
    with contextlib.suppress(OSError):
        if _read_pid(path) != os.getpid():
            return
        with path.open("r+b", buffering=0) as file:
            # Cut only afterwards: on a full disk the room that it has is all there is.
            file.write(f"{os.getpid()}\n{text}\n".encode())
            file.truncate()


def said(database: Path) -> str:
    """What the holder says of itself; whether anybody holds the lock is for `is_held` to say."""
    try:
        return lock_path(database).read_text(errors="replace").partition("\n")[2].strip()
    except OSError:
        return ""


def _made(path: Path) -> int:
    try:
        return create_file(path)
    except PermissionError as error:
        raise no_access(path) or NoAccess(f"permission denied: {path}") from error
    except OSError as error:
        raise DatabaseUnavailable(f"cannot write {path}: {error.strerror}") from error


def lock_path(database: Path) -> Path:
    """The file whose lock says who is alive, and whose time, when it last moved."""
    return Path(f"{os.path.realpath(database)}.daemon")


def _wait(descriptor: int) -> bool:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return True


def _try(descriptor: int) -> bool:
    """A few tries, because `is_held` in another process holds the lock for a moment."""
    for _ in range(TRIES):
        if _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
            return True
        clock.pause(BETWEEN_TRIES)
    return False


def _lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    return True


def _read_pid(path: Path) -> int | None:
    try:
        return int(path.read_text().partition("\n")[0])
    except (OSError, ValueError):
        return None


def _abandon_all() -> None:
    for lock in _locks:
        lock.abandon()


_locks: weakref.WeakSet[DaemonLock] = weakref.WeakSet()
os.register_at_fork(after_in_child=_abandon_all)
