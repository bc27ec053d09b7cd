"""A copy of the database in a file of its own, made by SQLite while others go on reading."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from jobd.store.files import create_file

UNFINISHED = ".part"


def back_up(source: Path, target: Path) -> None:
    """Copy what is committed in `source` to the new file `target`, made with a tight mode.

    It reads on a connection of its own, so it may run while this process holds the write lock.
    `target` appears when the copy is whole and on disk; what was left of one that failed or was
    killed is removed.
    """
    part = Path(f"{target}{UNFINISHED}")
    _remove_unfinished(source)
    os.close(create_file(part))
    try:
        with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(part)) as copy:
            reading.execute("PRAGMA wal_autocheckpoint = 0")
            reading.backup(copy)
        _sync(part)
        part.rename(target)
        _sync(target.parent)
    except BaseException:
        _remove_unfinished(source)
        raise


def save(source: sqlite3.Connection, database: Path, now: int) -> Path:
    """Copy what this connection sees of a database whose files were removed or replaced.

    Returns the new file beside `database`; nothing of the old one has a name any more, so it is
    gone when this process ends.

    Raises:
        OSError, sqlite3.Error: there is no room or no directory for it.
    """
    target = _free(f"{database}.saved-{_moment(now)}")
    os.close(create_file(target))
    with closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    _sync(target)
    return target


def backup_path(database: Path, version: int, now: int) -> Path:
    """The name of the copy that a migration leaves; one that no file has yet."""
    return _free(f"{database}.backup-v{version}-{_moment(now)}")


def _moment(now: int) -> str:
    return datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")


def _free(base: str) -> Path:
    names = (Path(base + suffix) for suffix in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(path for path in names if not path.exists())


def _remove_unfinished(database: Path) -> None:
    """Only one process at a time makes backups: the caller holds the daemon's lock."""
    for path in database.parent.iterdir():
        if path.name.startswith(f"{database.name}.backup-") and UNFINISHED in path.suffix:
            path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
