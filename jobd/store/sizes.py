"""How much room the database takes, and giving back what it does not need."""

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

INCREMENTAL = 2
AT_ONCE = 50
"""How many free pages are given back between two looks at the clock."""

FREE_PAGES = 1_000
FREE_SHARE = 0.2
"""So much may lie free, to be filled again, before any is given back."""

ROWS_LOOKED_AT = 400
LARGEST_ANALYZED = 50_000
"""Pages up to which statistics are made: they hold up every writer, and no plan needs them."""


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of the database file."""

    size: int
    total: int
    free: int
    incremental: bool
    """Whether free pages can be given back: the file was made so."""

    def to_give_back(self) -> int:
        """How many free pages are more than what may lie there."""
        allowed = max(FREE_PAGES, round(FREE_SHARE * self.total))
        return max(0, self.free - allowed) if self.incremental else 0


def pages(db: sqlite3.Connection) -> Pages:
    """The pages as this connection sees them."""
    size, total, free, mode = (
        db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_size", "page_count", "freelist_count", "auto_vacuum")
    )
    return Pages(size, total, free, mode == INCREMENTAL)


def give_back(db: sqlite3.Connection, most: int, enough: Callable[[], bool]) -> None:
    """Cut up to `most` free pages off the file, until `enough()`; inside a transaction."""
    while most > 0:
        db.execute(f"PRAGMA incremental_vacuum({min(most, AT_ONCE)})").fetchall()
        most -= AT_ONCE
        if enough():
            return


def optimize(db: sqlite3.Connection) -> None:
    """Let SQLite bring its statistics up to date where that is quick, but keep none of job_queue.

    Made while few jobs were ready, they would let a claim walk over all that are ready later;
    so those that someone made by hand go too.
    """
    if pages(db).total <= LARGEST_ANALYZED:
        db.execute(f"PRAGMA analysis_limit = {ROWS_LOOKED_AT}").fetchall()
        db.execute("PRAGMA optimize").fetchall()
    if db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1'").fetchone():
        db.execute("DELETE FROM sqlite_stat1 WHERE tbl = 'job_queue'")
        db.execute("ANALYZE sqlite_schema")  # reads what is there now


def rewrite(db: sqlite3.Connection) -> None:
    """Write the whole file anew, without free pages and able to give them back from then on."""
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("VACUUM")


def bytes_of(path: Path) -> int:
    """The size of a file by its name, without opening it; 0 when there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def log_bytes(database: Path) -> int:
    """The size of the write-ahead log."""
    return bytes_of(Path(f"{database}-wal"))


def disk_free(directory: Path) -> int | None:
    """What a user may still write there, in bytes; None when the system does not say."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
