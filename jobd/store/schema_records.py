"""`schema_migrations`: which migration was applied when. Read tolerantly, written plainly."""

import sqlite3
from dataclasses import dataclass
from typing import Any

from jobd.store.create_table import normal_text
from jobd.store.migrations import Migration
from jobd.store.shape import RECORDS_TABLE

TABLE = f"""
CREATE TABLE {RECORDS_TABLE} (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    applied_at INTEGER,
    rollback_at INTEGER
)
"""
COLUMNS = {"version": "INTEGER", "name": "TEXT", "applied_at": "INTEGER", "rollback_at": "INTEGER"}


@dataclass(frozen=True, slots=True)
class Record:
    """The latest row of one version. A table made by other hands may hold times as text."""

    version: int
    name: str
    applied_at: int | str | None
    rollback_at: int | str | None

    @property
    def in_force(self) -> bool:
        return not self.rollback_at


def read_records(db: sqlite3.Connection) -> dict[int, Record]:
    """The latest record of each version; rows without a readable version do not count."""
    if not columns(db):
        return {}
    rows = db.execute(f"SELECT * FROM {RECORDS_TABLE} ORDER BY rowid")
    names = [column[0].lower() for column in rows.description]
    records = [_record(dict(zip(names, row, strict=True))) for row in rows]
    return {record.version: record for record in records if record}


def columns(db: sqlite3.Connection) -> set[str]:
    """The columns of the table of records; empty when there is no such table."""
    return {row[1].lower() for row in db.execute(f"PRAGMA table_info({RECORDS_TABLE})")}


def prepare(db: sqlite3.Connection) -> None:
    """Make the table of records, or the columns that it lacks."""
    found = columns(db)
    if not found:
        db.execute(TABLE)
        return
    for column, kind in COLUMNS.items():
        if column not in found:
            db.execute(f"ALTER TABLE {RECORDS_TABLE} ADD COLUMN {column} {kind}")


def is_as_made(db: sqlite3.Connection) -> bool:
    """Whether the table of records is defined as jobd makes it."""
    row = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (RECORDS_TABLE,)).fetchone()
    return row is not None and normal_text(row[0]) == normal_text(TABLE)


def make_anew(db: sqlite3.Connection) -> None:
    """Replace a table of records that other hands made or changed, keeping what it tells."""
    records = read_records(db)
    if columns(db):
        db.execute(f"DROP TABLE {RECORDS_TABLE}")
    db.execute(TABLE)
    db.executemany(
        f"INSERT INTO {RECORDS_TABLE} (version, name, applied_at, rollback_at) "
        "VALUES (?, ?, ?, ?)",
        [(r.version, r.name, r.applied_at, r.rollback_at) for r in records.values()],
    )


def name_rightly(db: sqlite3.Connection, migration: Migration) -> None:
    """Every record of the migration has its name."""
    db.execute(
        f"UPDATE {RECORDS_TABLE} SET name = ? WHERE CAST(version AS INTEGER) = ? AND name <> ?",
        (migration.name, migration.version, migration.name),
    )


def record_applied(db: sqlite3.Connection, migration: Migration, now: int) -> None:
    """A new row, so that earlier rows keep the history; replaced where versions are unique."""
    db.execute(
        f"INSERT OR REPLACE INTO {RECORDS_TABLE} (version, name, applied_at) VALUES (?, ?, ?)",
        (migration.version, migration.name, now),
    )


def record_in_force(db: sqlite3.Connection, migration: Migration, now: int) -> None:
    """Clear `rollback_at` of the latest row, or make a row when there is none."""
    if migration.version not in read_records(db):
        record_applied(db, migration, now)
    else:
        _set_rollback(db, migration.version, None)


def record_rolled_back(db: sqlite3.Connection, version: int, now: int) -> None:
    """Set `rollback_at` of the latest row."""
    _set_rollback(db, version, now)


def record_action(
    db: sqlite3.Connection, actor: str, verb: str, migration: int | None, detail: str, now: int
) -> None:
    """Tell `operator_actions` who changed the schema, when that table exists."""
    if db.execute("PRAGMA table_info(operator_actions)").fetchone():
        db.execute(
            "INSERT INTO operator_actions (acted_at, actor, verb, migration, detail) "
            "VALUES (?, ?, ?, ?, ?)",
            (now, actor, verb, migration, detail),
        )


def _record(row: dict[str, Any]) -> Record | None:
    try:
        version = int(row["version"])
    except (KeyError, TypeError, ValueError):
        return None
    return Record(
        version, str(row.get("name") or ""), row.get("applied_at"), row.get("rollback_at")
    )


def _set_rollback(db: sqlite3.Connection, version: int, at: int | None) -> None:
    db.execute(
        f"UPDATE {RECORDS_TABLE} SET rollback_at = ? WHERE rowid = "
        f"(SELECT max(rowid) FROM {RECORDS_TABLE} WHERE CAST(version AS INTEGER) = ?)",
        (at, version),
    )
