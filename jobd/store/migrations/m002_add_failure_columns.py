"""002: why a job failed, when it is tried again, and why it was parked."""

import sqlite3

from jobd.store.migrations.migration import Migration

ADDED = {
    "failure_type": "TEXT",
    "next_retry_at": "INTEGER",
    "last_error_traceback": "TEXT",
    "dead_letter_reason": "TEXT",
    "moved_to_dead_letter_at": "INTEGER",
}


class AddFailureColumns(Migration):
    version = 2
    name = "add_failure_columns"

    def up(self, db: sqlite3.Connection) -> None:
        for column, kind in ADDED.items():
            db.execute(f"ALTER TABLE job_queue ADD COLUMN {column} {kind}")

    def down(self, db: sqlite3.Connection) -> None:
        for column in reversed(ADDED):
            db.execute(f"ALTER TABLE job_queue DROP COLUMN {column}")
