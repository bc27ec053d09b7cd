"""What a migration is, and the one way to rebuild a table that SQLite cannot alter."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Loss:
    """Rows that the older schema cannot hold: `count` rows of `table`, all with `status` if set."""

    table: str
    count: int
    status: str | None = None


class Migration(ABC):
    """One step of the schema. The migrator runs it and its record in one transaction.

    Its SQL is history: once released it never changes, and it imports nothing that may change.
    """

    version: ClassVar[int]
    name: ClassVar[str]
    statuses: ClassVar[tuple[str, ...]] = ()
    """Statuses that `job_queue` may hold after this migration, when it changes them."""
    drops: ClassVar[tuple[str, ...]] = ()
    """Tables that `down` drops, children before parents."""
    written_anew: ClassVar[tuple[str, ...]] = ()
    """Those of them whose rows the next daemon writes again: dropping them loses nothing."""

    @abstractmethod
    def up(self, db: sqlite3.Connection) -> None:
        """Take the step; every migration says how."""

    def down(self, db: sqlite3.Connection) -> None:
        for table in self.drops:
            db.execute(f"DROP TABLE {table}")

    def losses(self, db: sqlite3.Connection) -> list[Loss]:
        """What `down` would have to throw away, most telling first; empty when nothing."""
        counts = (
            (table, _count(db, table)) for table in self.drops if table not in self.written_anew
        )
        return [Loss(table, count) for table, count in counts if count]


def rebuild(
    db: sqlite3.Connection,
    table: str,
    create: str,
    columns: Mapping[str, str] | Iterable[str],
    afterwards: Iterable[str] = (),
) -> None:
    """Replace `table` by one made by `create` (which names it), keeping its rows and its ids.

    `columns` maps each new column to the expression over the old row that fills it; a plain
    list copies columns of the same name. `afterwards` recreates indexes and triggers. The caller
    has switched foreign keys off before its transaction (inside one the pragma does nothing).
    """
    sources = dict(columns) if isinstance(columns, Mapping) else {c: c for c in columns}
    before = _count(db, table)
    sequence = _sequence(db, table)
    db.execute(create.replace(f"CREATE TABLE {table}", f"CREATE TABLE new_{table}", 1))
    db.execute(
        f"INSERT INTO new_{table} ({', '.join(sources)}) "
        f"SELECT {', '.join(sources.values())} FROM {table}"
    )
    db.execute(f"DROP TABLE {table}")
    # The other way round, renaming the old table, would redirect what refers to it.
    db.execute(f"ALTER TABLE new_{table} RENAME TO {table}")
    if _count(db, table) != before:
        raise sqlite3.IntegrityError(f"rebuilding {table} would lose rows")
    _carry_sequence(db, table, sequence)
    for statement in afterwards:
        db.execute(statement)


def _count(db: sqlite3.Connection, table: str) -> int:
    count: int = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return count


def _sequence(db: sqlite3.Connection, table: str) -> int:
    """The largest id ever given; 0 when the table does not count (yet)."""
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'").fetchone():
        return 0
    row = db.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return row[0] or 0


def _carry_sequence(db: sqlite3.Connection, table: str, sequence: int) -> None:
    """AUTOINCREMENT goes on where it was, even when the newest rows had been pruned.

    A table that had lost AUTOINCREMENT leaves its old row behind; there must be only one.
    """
    highest = max(sequence, _sequence(db, table))
    if highest:
        db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, highest))
