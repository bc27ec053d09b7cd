"""001: the queue, with five statuses."""

import sqlite3

from jobd.store.migrations.migration import Migration

TABLE = """
CREATE TABLE job_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_type TEXT NOT NULL,
    queue TEXT NOT NULL DEFAULT 'default',
    payload TEXT NOT NULL DEFAULT '{}',
    priority INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT 'pending' CHECK (
        status IN ('pending', 'running', 'completed', 'failed', 'cancelled')
    ),
    result TEXT,
    error_message TEXT,
    retry_count INTEGER NOT NULL DEFAULT 0,
    max_retries INTEGER,
    worker_id TEXT,
    scheduled_at INTEGER,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    completed_at INTEGER
) STRICT
"""

COLUMNS = (
    "id", "job_type", "queue", "payload", "priority", "status", "result", "error_message",
    "retry_count", "max_retries", "worker_id", "scheduled_at", "created_at", "started_at",
    "completed_at",
)

INDEX = """
CREATE INDEX job_queue_pending ON job_queue (queue, priority DESC, id) WHERE status = 'pending'
"""


class CreateJobQueue(Migration):
    version = 1
    name = "create_job_queue"
    statuses = ("pending", "running", "completed", "failed", "cancelled")
    drops = ("job_queue",)

    def up(self, db: sqlite3.Connection) -> None:
        db.execute(TABLE)
        db.execute(INDEX)
