"""What SQLite and the disk say, in one sentence with the path and the way out."""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobd import errors
from jobd.store.access import no_access
from jobd.store.kernel_locks import excluder, holder, write_lock_holder


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise errors of ours for those of SQLite that have a meaning to people."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise translation(error, path) from error


def translation(error: sqlite3.DatabaseError, path: Path) -> Exception:
    """The error of ours that says what `error` means to people; itself when there is none."""
    return _translate(error, path) or error


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection held a lock that was needed."""
    return error_name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def error_name(error: sqlite3.Error) -> str:
    """SQLite's own name of the error; empty when the error did not come from SQLite."""
    return getattr(error, "sqlite_errorname", "") or ""


def _translate(error: sqlite3.DatabaseError, path: Path) -> errors.JobdError | None:
    name = error_name(error)
    if is_busy(error):
        return errors.DatabaseBusy(
            f"{path} is locked by {_holder(path)}; nothing was written, try again"
        )
    if name in ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"):
        return errors.DatabaseFull(f"no space left for {path}; nothing was written")
    if name in ("SQLITE_IOERR_FSYNC", "SQLITE_IOERR_DIR_FSYNC"):
        return errors.OutcomeUnknown(
            f"the disk failed while {path} was synced: the write may or may not be there; "
            "repeating it with the same request id is safe"
        )
    if name == "SQLITE_NOTADB":
        return errors.NotADatabase(f"{path} is not a SQLite database")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")) and (denied := no_access(path)):
        return denied
    if name.startswith("SQLITE_READONLY"):
        return errors.DatabaseUnavailable(f"{path} is read-only; nothing was written")
    if name.startswith("SQLITE_CANTOPEN"):
        return errors.DatabaseUnavailable(_why_not_open(path))
    missing = _missing(str(error))
    if missing:
        return errors.SchemaError(
            f"the schema of {path} has drifted: {missing} is missing; `jobd migrate verify` names "
            "every difference and what mends it"
        )
    if name.startswith("SQLITE_CORRUPT"):
        return errors.NotADatabase(
            f"{path} is damaged or cut short, or the disk fails to read it ({error}): see the "
            "kernel's log, or put a backup in its place"
        )
    if name.startswith("SQLITE_IOERR"):
        return errors.DatabaseUnavailable(_why_not_written(path, name))
    if name.startswith(("SQLITE_PERM", "SQLITE_AUTH")):
        return errors.DatabaseUnavailable(f"{path}: {error} ({name})")
    return None


def _holder(path: Path) -> str:
    """Who holds what was needed now; it may have let go since."""
    pid = excluder(path) or write_lock_holder(path)
    return f"another process, {holder(pid)}" if pid and pid > 0 else "another process"


_MISSING = re.compile(r"no such (table|column|index|trigger|view|function): (.+)")
_NO_COLUMN = re.compile(r"table (.+) has no column named (.+)")


def _missing(said: str) -> str | None:
    """The part of the schema that a statement did not find."""
    if found := _MISSING.match(said):
        return f"{found[1]} {found[2]}"
    if found := _NO_COLUMN.match(said):
        return f"column {found[1]}.{found[2]}"
    return None


def _why_not_written(path: Path, name: str) -> str:
    if _on_read_only(path):
        return f"the file system of {path} has become read-only; nothing was written"
    return f"the disk failed under {path} ({name}); nothing was written"


def _why_not_open(path: Path) -> str:
    if not path.parent.is_dir():
        return f"cannot open {path}: its directory does not exist"
    if _on_read_only(path):
        return f"cannot open {path}: its file system is read-only"
    if not os.access(path.parent, os.W_OK):
        return f"cannot open {path}: its directory is read-only for this user"
    return f"cannot open {path}: permission denied, or its -wal and -shm files cannot be made"


def _on_read_only(path: Path) -> bool:
    try:
        return bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY)
    except OSError:
        return False
