"""004: attempts and their fence, requests, keys, and what may be claimed now."""

import sqlite3

from jobd.store.migrations.m001_create_job_queue import INDEX as OLD_INDEX
from jobd.store.migrations.m003_allow_nine_statuses import COLUMNS as OLD_COLUMNS
from jobd.store.migrations.m003_allow_nine_statuses import TABLE as OLD_TABLE
from jobd.store.migrations.migration import Migration, rebuild

# SQLite builds a temporary index for a list of more than two values, each time a statement reaches
# it: the commonest values stand before the list, and the index below has no list at all.
TABLE = """
CREATE TABLE job_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_type TEXT NOT NULL,
    queue TEXT NOT NULL DEFAULT 'default',
    payload TEXT NOT NULL DEFAULT '{}',
    priority INTEGER NOT NULL DEFAULT 0 CHECK (priority BETWEEN -1000 AND 1000),
    status TEXT NOT NULL DEFAULT 'pending' CHECK (
        status = 'pending' OR status = 'running' OR status = 'completed' OR status IN (
            'pending', 'running', 'timeout', 'zombie', 'retrying', 'completed', 'failed',
            'dead_letter', 'cancelled'
        )
    ),
    result TEXT,
    error_message TEXT,
    retry_count INTEGER NOT NULL DEFAULT 0 CHECK (retry_count >= 0),
    max_retries INTEGER CHECK (max_retries >= 0),
    worker_id TEXT,
    scheduled_at INTEGER,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    completed_at INTEGER,
    failure_type TEXT CHECK (
        failure_type IS NULL OR failure_type IN (
            'network', 'timeout', 'resource', 'permission', 'configuration', 'validation',
            'system', 'worker_lost', 'unknown'
        )
    ),
    next_retry_at INTEGER,
    last_error_traceback TEXT,
    dead_letter_reason TEXT,
    moved_to_dead_letter_at INTEGER,
    attempt INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    rescue_count INTEGER NOT NULL DEFAULT 0 CHECK (rescue_count >= 0),
    snooze_count INTEGER NOT NULL DEFAULT 0 CHECK (snooze_count >= 0),
    timeout_ms INTEGER CHECK (timeout_ms > 0),
    claimed_at INTEGER,
    timed_out_at INTEGER,
    cancel_requested_at INTEGER,
    release_requested_at INTEGER,
    stop_requested_at INTEGER,
    retry_delay_ms INTEGER,
    unique_key TEXT,
    request_id TEXT,
    ready INTEGER NOT NULL DEFAULT 0 CHECK (ready IN (0, 1)),
    due_at INTEGER,
    execution_over INTEGER NOT NULL DEFAULT 1 CHECK (execution_over IN (0, 1)),
    batch_id INTEGER,
    isolation TEXT CHECK (isolation IN ('thread', 'process')),
    CHECK (ready = 0 OR (status IN ('pending', 'retrying') AND due_at IS NULL)),
    CHECK (due_at IS NULL OR status IN ('pending', 'retrying')),
    CHECK (
        execution_over = 1 OR status = 'running'
        OR status IN ('running', 'timeout', 'zombie', 'dead_letter', 'cancelled')
    )
) STRICT
"""

INDEXES = (
    "CREATE INDEX job_queue_ready ON job_queue (queue, priority DESC, id) WHERE ready = 1",
    "CREATE INDEX job_queue_due ON job_queue (due_at) WHERE ready = 0 AND due_at IS NOT NULL",
    "CREATE INDEX job_queue_executing ON job_queue (queue) WHERE execution_over = 0",
    """CREATE INDEX job_queue_without_handler ON job_queue (job_type)
    WHERE ready = 0 AND due_at IS NULL AND status IN ('pending', 'retrying')""",
    """CREATE INDEX job_queue_uncommon ON job_queue (status, id)
    WHERE status <> 'pending' AND status <> 'running' AND status <> 'completed'""",
    """CREATE UNIQUE INDEX job_queue_unique_key ON job_queue (unique_key)
    WHERE unique_key IS NOT NULL
    AND status IN ('pending', 'running', 'timeout', 'zombie', 'retrying')""",
    """CREATE UNIQUE INDEX job_queue_request_id ON job_queue (request_id)
    WHERE request_id IS NOT NULL""",
)

BIRTHS = """
CREATE TRIGGER job_queue_births BEFORE INSERT ON job_queue
WHEN NEW.status <> 'pending'
BEGIN SELECT RAISE(ABORT, 'a job is born pending'); END
"""

# After an update: before one, SQLite would look for the row again, which costs a tenth of a claim.
MOVES = """
CREATE TRIGGER job_queue_moves AFTER UPDATE OF status ON job_queue
WHEN NOT (
    (OLD.status = 'pending' AND NEW.status = 'running')
    OR (OLD.status = 'retrying' AND NEW.status = 'running')
    OR (OLD.status = 'running' AND NEW.status = 'completed')
    OR (OLD.status = 'running' AND NEW.status = 'retrying')
    OR (OLD.status = 'timeout' AND NEW.status = 'retrying')
    OR (OLD.status = 'zombie' AND NEW.status = 'retrying')
    OR (OLD.status = 'running' AND NEW.status = 'dead_letter')
    OR (OLD.status = 'timeout' AND NEW.status = 'dead_letter')
    OR (OLD.status = 'zombie' AND NEW.status = 'dead_letter')
    OR (OLD.status = 'running' AND NEW.status = 'failed')
    OR (OLD.status = 'timeout' AND NEW.status = 'failed')
    OR (OLD.status = 'zombie' AND NEW.status = 'failed')
    OR (OLD.status = 'running' AND NEW.status = 'pending')
    OR (OLD.status = 'timeout' AND NEW.status = 'pending')
    OR (OLD.status = 'zombie' AND NEW.status = 'pending')
    OR (OLD.status = 'running' AND NEW.status = 'timeout')
    OR (OLD.status = 'running' AND NEW.status = 'zombie')
    OR (OLD.status = 'timeout' AND NEW.status = 'zombie')
    OR (OLD.status = 'running' AND NEW.status = 'cancelled')
    OR (OLD.status = 'timeout' AND NEW.status = 'cancelled')
    OR (OLD.status = 'zombie' AND NEW.status = 'cancelled')
    OR (OLD.status = 'pending' AND NEW.status = 'cancelled')
    OR (OLD.status = 'retrying' AND NEW.status = 'cancelled')
    OR (OLD.status = 'dead_letter' AND NEW.status = 'cancelled')
    OR (OLD.status = 'dead_letter' AND NEW.status = 'pending')
    OR (OLD.status = 'failed' AND NEW.status = 'pending')
    OR (OLD.status = 'cancelled' AND NEW.status = 'pending')
    OR OLD.status = NEW.status
)
BEGIN SELECT RAISE(ABORT, 'no such move of a job'); END
"""

FAILURE_TYPES = (
    "'network', 'timeout', 'resource', 'permission', 'configuration', 'validation', "
    "'system', 'worker_lost', 'unknown'"
)

_EXECUTING = "status IN ('running', 'timeout', 'zombie')"
_DUE = (
    "CASE status WHEN 'retrying' THEN coalesce(next_retry_at, 0) WHEN 'pending' THEN scheduled_at "
    "END"
)

DERIVED = {
    "attempt": "CASE WHEN started_at IS NULL THEN 0 ELSE retry_count + 1 END",
    "ready": "CASE WHEN status = 'pending' AND scheduled_at IS NULL THEN 1 ELSE 0 END",
    "due_at": _DUE,
    "execution_over": f"CASE WHEN {_EXECUTING} THEN 0 ELSE 1 END",
}
"""How the columns that follow from others are filled in; a repair asks this too."""


class FenceAttempts(Migration):
    version = 4
    name = "fence_attempts"

    def up(self, db: sqlite3.Connection) -> None:
        """Rows that were executing count as attempt 1 of an owner that is gone: rescue them."""
        db.execute("DROP INDEX job_queue_pending")
        sources = dict(zip(OLD_COLUMNS, OLD_COLUMNS, strict=True)) | {
            "priority": "max(-1000, min(1000, priority))",
            "retry_count": "max(0, retry_count)",
            "max_retries": "CASE WHEN max_retries < 0 THEN NULL ELSE max_retries END",
            "failure_type": f"CASE WHEN failure_type IS NULL OR failure_type IN ({FAILURE_TYPES}) "
            "THEN failure_type ELSE 'unknown' END",
        }
        rebuild(db, "job_queue", TABLE, sources | DERIVED, [*INDEXES, BIRTHS, MOVES])

    def down(self, db: sqlite3.Connection) -> None:
        for name in ("job_queue_births", "job_queue_moves"):
            db.execute(f"DROP TRIGGER {name}")
        for index in INDEXES:
            db.execute(f"DROP INDEX {index.split(' ON ')[0].split()[-1]}")
        rebuild(db, "job_queue", OLD_TABLE, OLD_COLUMNS, [OLD_INDEX])
