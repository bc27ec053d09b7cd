"""Moving the schema between versions: each step and its record in one transaction."""

import sqlite3

from jobd.store.connection import Database
from jobd.store.migrations import MIGRATIONS

RECORDS = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    applied_at INTEGER,
    rollback_at INTEGER
)
"""


class MigrationManager:
    """What `jobd migrate` and the making of a new database do to one schema."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def up(self, now: int) -> list[int]:
        """Apply what is pending, in one transaction; the versions that were applied."""
        db = self.database.connection
        db.execute("PRAGMA foreign_keys = OFF")
        try:
            with self.database.transaction():
                return self._apply(db, now)
        finally:
            db.execute("PRAGMA foreign_keys = ON")

    def _apply(self, db: sqlite3.Connection, now: int) -> list[int]:
        applied = []
        db.execute(RECORDS)
        for migration in MIGRATIONS:
            if migration.version <= self.database.user_version():
                continue
            migration.up(db)
            db.execute(
                "INSERT INTO schema_migrations (version, name, applied_at) VALUES (?, ?, ?)",
                (migration.version, migration.name, now),
            )
            db.execute(f"PRAGMA user_version = {migration.version}")
            applied.append(migration.version)
        return applied
