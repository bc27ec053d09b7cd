"""006: who ran, which workers it had, what it could run, and which queues are paused."""

import sqlite3

from jobd.store.migrations.migration import Migration

DAEMONS = """
CREATE TABLE daemons (
    id TEXT PRIMARY KEY,
    pid INTEGER NOT NULL,
    boot_id TEXT,
    version TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    stopped_at INTEGER
) STRICT
"""

WORKERS = """
CREATE TABLE workers (
    id TEXT PRIMARY KEY,
    daemon_id TEXT NOT NULL REFERENCES daemons (id),
    name TEXT NOT NULL,
    health_status TEXT NOT NULL DEFAULT 'normal' CHECK (
        health_status IN ('normal', 'potentially_stuck', 'unhealthy')
    ),
    stuck_job_id INTEGER,
    job_id INTEGER,
    attempt INTEGER,
    job_started_at INTEGER,
    pid INTEGER NOT NULL,
    boot_id TEXT,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT
"""

QUEUES = """
CREATE TABLE queues (
    name TEXT PRIMARY KEY,
    concurrency INTEGER CHECK (concurrency > 0),
    paused_at INTEGER,
    paused_by TEXT
) STRICT
"""

JOB_TYPES = """
CREATE TABLE job_types (
    name TEXT PRIMARY KEY,
    queue TEXT,
    timeout_ms INTEGER,
    max_retries INTEGER,
    daemon_id TEXT NOT NULL,
    registered_at INTEGER NOT NULL
) STRICT
"""

STUCK = "CREATE INDEX workers_stuck_job ON workers (stuck_job_id) WHERE stuck_job_id IS NOT NULL"


class KnowDaemons(Migration):
    version = 6
    name = "know_daemons"
    drops = ("job_types", "queues", "workers", "daemons")
    written_anew = ("job_types", "workers", "daemons")

    def up(self, db: sqlite3.Connection) -> None:
        for statement in (DAEMONS, WORKERS, QUEUES, JOB_TYPES, STUCK):
            db.execute(statement)
