"""003: nine statuses. SQLite cannot alter a CHECK, so the table is rebuilt."""

import sqlite3

from jobd.store.migrations.m001_create_job_queue import COLUMNS as FIRST_COLUMNS
from jobd.store.migrations.m001_create_job_queue import INDEX, CreateJobQueue
from jobd.store.migrations.m001_create_job_queue import TABLE as FIRST_TABLE
from jobd.store.migrations.m002_add_failure_columns import ADDED, AddFailureColumns
from jobd.store.migrations.migration import Loss, Migration, rebuild

STATUSES = (
    "pending", "running", "timeout", "zombie", "retrying", "completed", "failed", "dead_letter",
    "cancelled",
)

TABLE = """
CREATE TABLE job_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_type TEXT NOT NULL,
    queue TEXT NOT NULL DEFAULT 'default',
    payload TEXT NOT NULL DEFAULT '{}',
    priority INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT 'pending' CHECK (
        status IN (
            'pending', 'running', 'timeout', 'zombie', 'retrying', 'completed', 'failed',
            'dead_letter', 'cancelled'
        )
    ),
    result TEXT,
    error_message TEXT,
    retry_count INTEGER NOT NULL DEFAULT 0,
    max_retries INTEGER,
    worker_id TEXT,
    scheduled_at INTEGER,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    completed_at INTEGER,
    failure_type TEXT,
    next_retry_at INTEGER,
    last_error_traceback TEXT,
    dead_letter_reason TEXT,
    moved_to_dead_letter_at INTEGER
) STRICT
"""

COLUMNS = (*FIRST_COLUMNS, *ADDED)


class AllowNineStatuses(Migration):
    version = 3
    name = "allow_nine_statuses"
    statuses = STATUSES

    def up(self, db: sqlite3.Connection) -> None:
        db.execute("DROP INDEX job_queue_pending")
        rebuild(db, "job_queue", TABLE, COLUMNS, [INDEX])

    def down(self, db: sqlite3.Connection) -> None:
        """Back to what 001 and 002 make together."""
        db.execute("DROP INDEX job_queue_pending")
        with_failures = FIRST_TABLE.replace(
            "completed_at INTEGER\n",
            "completed_at INTEGER, "
            + ", ".join(f"{column} {kind}" for column, kind in ADDED.items())
            + "\n",
        )
        rebuild(db, "job_queue", with_failures, COLUMNS, [INDEX])

    def losses(self, db: sqlite3.Connection) -> list[Loss]:
        """Rows in a status that the five do not include."""
        kept = ", ".join(f"'{status}'" for status in CreateJobQueue.statuses)
        rows = db.execute(
            f"SELECT status, count(*) FROM job_queue WHERE status NOT IN ({kept}) GROUP BY status"
        ).fetchall()
        return [Loss("job_queue", count, status) for status, count in rows]


__all__ = ["COLUMNS", "STATUSES", "TABLE", "AddFailureColumns", "AllowNineStatuses"]
