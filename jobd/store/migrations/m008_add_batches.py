"""008: batches, whose items are jobs."""

import sqlite3

from jobd.store.migrations.migration import Migration

BATCH_JOBS = """
CREATE TABLE batch_jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    job_type TEXT NOT NULL,
    queue TEXT NOT NULL DEFAULT 'default',
    status TEXT NOT NULL DEFAULT 'queued' CHECK (
        status IN ('queued', 'processing', 'paused', 'completed', 'failed', 'cancelled')
    ),
    priority INTEGER NOT NULL DEFAULT 0 CHECK (priority BETWEEN -1000 AND 1000),
    total_items INTEGER NOT NULL DEFAULT 0,
    completed_items INTEGER NOT NULL DEFAULT 0,
    successful_items INTEGER NOT NULL DEFAULT 0,
    failed_items INTEGER NOT NULL DEFAULT 0,
    failed_before INTEGER NOT NULL DEFAULT 0 CHECK (failed_before >= 0),
    cancelled_items INTEGER NOT NULL DEFAULT 0,
    tier TEXT,
    shared_parameters TEXT NOT NULL DEFAULT '{}',
    concurrent_processing INTEGER CHECK (concurrent_processing > 0),
    error_handling TEXT NOT NULL DEFAULT 'continue' CHECK (
        error_handling IN ('continue', 'stop', 'limit')
    ),
    stop_after INTEGER CHECK (stop_after > 0),
    stop_after_percent REAL CHECK (stop_after_percent > 0),
    timeout_ms INTEGER CHECK (timeout_ms > 0),
    max_retries INTEGER CHECK (max_retries >= 0),
    isolation TEXT CHECK (isolation IN ('thread', 'process')),
    on_success TEXT,
    on_failure TEXT,
    on_end TEXT,
    run INTEGER NOT NULL DEFAULT 1 CHECK (run > 0),
    ends_as TEXT CHECK (ends_as IN ('failed', 'cancelled')),
    end_reason TEXT,
    sealed_at INTEGER,
    sealed_up_to INTEGER NOT NULL DEFAULT 0,
    created_by TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    started_at INTEGER,
    paused_at INTEGER,
    paused_by TEXT,
    completed_at INTEGER,
    estimated_time_remaining INTEGER,
    active_ms INTEGER NOT NULL DEFAULT 0,
    pace TEXT NOT NULL DEFAULT '[]',
    CHECK (completed_items = successful_items + failed_items),
    CHECK (min(total_items, successful_items, failed_items, cancelled_items) >= 0)
) STRICT
"""

BATCH_ITEMS = """
CREATE TABLE batch_items (
    job_id INTEGER PRIMARY KEY REFERENCES job_queue (id),
    batch_job_id INTEGER NOT NULL REFERENCES batch_jobs (id),
    position INTEGER NOT NULL,
    topic TEXT,
    tier TEXT,
    parameters TEXT,
    progress REAL,
    estimated_time INTEGER,
    created_at INTEGER NOT NULL
) STRICT
"""

BATCH_CHECKPOINTS = """
CREATE TABLE batch_checkpoints (
    job_id INTEGER PRIMARY KEY REFERENCES job_queue (id),
    attempt INTEGER NOT NULL,
    state TEXT NOT NULL,
    saved_at INTEGER NOT NULL
) STRICT
"""

# Items wait for what their batch allows and not for a handler: they have an index of their own.
OLD_WITHOUT_HANDLER = """CREATE INDEX job_queue_without_handler ON job_queue (job_type)
    WHERE ready = 0 AND due_at IS NULL AND status IN ('pending', 'retrying')"""

INDEXES = (
    """CREATE INDEX job_queue_without_handler ON job_queue (job_type)
    WHERE ready = 0 AND due_at IS NULL AND status IN ('pending', 'retrying')
    AND batch_id IS NULL""",
    """CREATE INDEX job_queue_batch_waiting ON job_queue (batch_id, due_at)
    WHERE batch_id IS NOT NULL AND status IN ('pending', 'retrying')""",
    """CREATE UNIQUE INDEX batch_jobs_open_name ON batch_jobs (name)
    WHERE status IN ('queued', 'processing', 'paused')""",
    "CREATE INDEX batch_jobs_name ON batch_jobs (name)",
    "CREATE UNIQUE INDEX batch_items_position ON batch_items (batch_job_id, position)",
)

ITEM_STATUS = """
CREATE VIEW batch_item_status AS
SELECT i.batch_job_id, i.position, i.job_id, i.topic, i.tier,
    CASE j.status
        WHEN 'pending' THEN 'queued'
        WHEN 'running' THEN 'processing'
        WHEN 'timeout' THEN 'processing'
        WHEN 'zombie' THEN 'processing'
        WHEN 'retrying' THEN 'queued'
        WHEN 'completed' THEN 'completed'
        WHEN 'failed' THEN 'failed'
        WHEN 'dead_letter' THEN 'failed'
        WHEN 'cancelled' THEN 'cancelled'
    END AS status,
    j.status AS job_status, j.attempt, j.retry_count, j.failure_type, j.error_message,
    j.dead_letter_reason, coalesce(i.parameters, j.payload) AS parameters, j.result,
    i.progress, i.estimated_time, i.created_at, j.claimed_at, j.started_at,
    coalesce(j.completed_at, j.moved_to_dead_letter_at) AS ended_at
FROM batch_items AS i JOIN job_queue AS j ON j.id = i.job_id
"""

COUNTS = """
CREATE TRIGGER job_queue_batch_counts AFTER UPDATE OF status ON job_queue
WHEN NEW.batch_id IS NOT NULL AND OLD.status <> NEW.status AND NOT (
    (NEW.status = 'pending' OR NEW.status = 'running' OR NEW.status = 'timeout'
        OR NEW.status = 'zombie' OR NEW.status = 'retrying')
    AND (OLD.status = 'pending' OR OLD.status = 'running' OR OLD.status = 'timeout'
        OR OLD.status = 'zombie' OR OLD.status = 'retrying')
)
BEGIN
    UPDATE batch_jobs SET
        successful_items = successful_items + (NEW.status = 'completed')
            - (OLD.status = 'completed'),
        failed_items = failed_items + (NEW.status = 'failed' OR NEW.status = 'dead_letter')
            - (OLD.status = 'failed' OR OLD.status = 'dead_letter'),
        completed_items = completed_items + (NEW.status = 'completed' OR NEW.status = 'failed'
            OR NEW.status = 'dead_letter') - (OLD.status = 'completed' OR OLD.status = 'failed'
            OR OLD.status = 'dead_letter'),
        cancelled_items = cancelled_items + (NEW.status = 'cancelled')
            - (OLD.status = 'cancelled')
    WHERE id = NEW.batch_id;
    DELETE FROM batch_checkpoints WHERE job_id = NEW.id AND NEW.status = 'completed';
END
"""

GONE = """
CREATE TRIGGER job_queue_batch_gone AFTER DELETE ON job_queue WHEN OLD.batch_id IS NOT NULL
BEGIN
    UPDATE batch_jobs SET
        total_items = total_items - 1,
        successful_items = successful_items - (OLD.status = 'completed'),
        failed_items = failed_items - (OLD.status = 'failed' OR OLD.status = 'dead_letter'),
        completed_items = completed_items - (OLD.status = 'completed' OR OLD.status = 'failed'
            OR OLD.status = 'dead_letter'),
        cancelled_items = cancelled_items - (OLD.status = 'cancelled')
    WHERE id = OLD.batch_id;
END
"""


class AddBatches(Migration):
    version = 8
    name = "add_batches"
    drops = ("batch_checkpoints", "batch_items", "batch_jobs")

    def up(self, db: sqlite3.Connection) -> None:
        """No batch existed before: a row that names one is an ordinary job."""
        db.execute("UPDATE job_queue SET batch_id = NULL WHERE batch_id IS NOT NULL")
        for table in (BATCH_JOBS, BATCH_ITEMS, BATCH_CHECKPOINTS):
            db.execute(table)
        db.execute("DROP INDEX job_queue_without_handler")
        for statement in (*INDEXES, ITEM_STATUS, COUNTS, GONE):
            db.execute(statement)

    def down(self, db: sqlite3.Connection) -> None:
        """Items that have not ended stay, as ordinary jobs, and the next daemon runs them."""
        db.execute("DROP VIEW batch_item_status")
        for trigger in ("job_queue_batch_counts", "job_queue_batch_gone"):
            db.execute(f"DROP TRIGGER {trigger}")
        for index in ("job_queue_without_handler", "job_queue_batch_waiting"):
            db.execute(f"DROP INDEX {index}")
        db.execute("UPDATE job_queue SET batch_id = NULL WHERE batch_id IS NOT NULL")
        db.execute(OLD_WITHOUT_HANDLER)
        super().down(db)
