"""005: every attempt that did not complete, and what a running one leaves for the next."""

import sqlite3

from jobd.store.migrations.migration import Migration

ATTEMPTS = """
CREATE TABLE job_attempts (
    job_id INTEGER NOT NULL REFERENCES job_queue (id),
    attempt INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (
        outcome IN (
            'retrying', 'dead_letter', 'failed', 'timeout', 'zombie', 'cancelled', 'released',
            'snoozed', 'set_aside', 'late'
        )
    ),
    failure_type TEXT CHECK (
        failure_type IS NULL OR failure_type IN (
            'network', 'timeout', 'resource', 'permission', 'configuration', 'validation',
            'system', 'worker_lost', 'unknown'
        )
    ),
    error_message TEXT,
    traceback TEXT,
    stack TEXT,
    worker_id TEXT,
    worker TEXT,
    claimed_at INTEGER,
    started_at INTEGER,
    timed_out_at INTEGER,
    ended_at INTEGER,
    late_result TEXT,
    exit_status INTEGER,
    PRIMARY KEY (job_id, attempt)
) STRICT
"""

CHECKPOINTS = """
CREATE TABLE job_checkpoints (
    job_id INTEGER PRIMARY KEY REFERENCES job_queue (id),
    attempt INTEGER NOT NULL,
    state TEXT NOT NULL,
    saved_at INTEGER NOT NULL
) STRICT
"""

PROGRESS = """
CREATE TABLE job_progress (
    job_id INTEGER PRIMARY KEY REFERENCES job_queue (id),
    attempt INTEGER NOT NULL,
    done REAL NOT NULL,
    total REAL,
    message TEXT,
    reported_at INTEGER NOT NULL
) STRICT
"""


class KeepAttempts(Migration):
    version = 5
    name = "keep_attempts"
    drops = ("job_progress", "job_checkpoints", "job_attempts")
    written_anew = ("job_progress",)

    def up(self, db: sqlite3.Connection) -> None:
        for table in (ATTEMPTS, CHECKPOINTS, PROGRESS):
            db.execute(table)
