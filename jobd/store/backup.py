"""A copy of the database in a file of its own, made by SQLite while others go on reading."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from jobd.store.files import create_file


def back_up(source: Path, target: Path) -> None:
    """Copy what is committed in `source` to the new file `target`, made with a tight mode.

    It reads on a connection of its own, so it may run while this process holds the write lock.
    A copy that fails is removed.
    """
    os.close(create_file(target))
    try:
        with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(target)) as copy:
            reading.execute("PRAGMA wal_autocheckpoint = 0")
            reading.backup(copy)
    except BaseException:
        target.unlink()
        raise


def backup_path(database: Path, version: int, now: int) -> Path:
    """The name of the copy that a migration leaves; one that no file has yet."""
    moment = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    base = f"{database}.backup-v{version}-{moment}"
    names = (Path(base + suffix) for suffix in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(path for path in names if not path.exists())
