"""Proof that a change of the schema lost no row: counts before and after, and no orphans."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from jobd.errors import SchemaError
from jobd.store.shape import RECORDS_TABLE


def counts(db: sqlite3.Connection) -> dict[str, int]:
    """How many rows each table has, the table of records aside."""
    names = db.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' "
        "AND name NOT LIKE 'sqlite~_%' ESCAPE '~' AND name <> ?", (RECORDS_TABLE,)
    ).fetchall()
    return {name: count(db, name) for (name,) in names}


def count(db: sqlite3.Connection, table: str, where: str = "1") -> int:
    """How many rows of `table` fulfil `where`."""
    found: int = db.execute(f'SELECT count(*) FROM "{table}" WHERE {where}').fetchone()[0]
    return found


@contextmanager
def kept(db: sqlite3.Connection) -> Iterator[None]:
    """Every table that survives the block has as many rows as before.

    Raises:
        SchemaError: it has not; names the table and both counts.
    """
    before = counts(db)
    yield
    after = counts(db)
    for table in before.keys() & after.keys():
        if before[table] != after[table]:
            raise SchemaError(
                f"{table} had {before[table]} rows and would have {after[table]}; nothing changed"
            )


def orphans(db: sqlite3.Connection) -> list[tuple[str, int, str]]:
    """(table, rowid, parent table) of each row that refers to a row which does not exist."""
    return [(row[0], row[1], row[2]) for row in db.execute("PRAGMA foreign_key_check")]


def refuse_orphans(db: sqlite3.Connection) -> None:
    """Raise SchemaError when a row refers to one which does not exist."""
    for table, rowid, parent in orphans(db):
        raise SchemaError(f"row {rowid} of {table} refers to a row that {parent} does not have")
