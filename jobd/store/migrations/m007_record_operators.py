"""007: what people did to jobs, queues and the schema."""

import sqlite3

from jobd.store.migrations.migration import Loss, Migration

ACTIONS = """
CREATE TABLE operator_actions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    acted_at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    verb TEXT NOT NULL,
    job_id INTEGER,
    migration INTEGER,
    detail TEXT,
    old_payload TEXT
) STRICT
"""

BY_JOB = "CREATE INDEX operator_actions_job ON operator_actions (job_id) WHERE job_id IS NOT NULL"


class RecordOperators(Migration):
    version = 7
    name = "record_operators"
    drops = ("operator_actions",)

    def up(self, db: sqlite3.Connection) -> None:
        db.execute(ACTIONS)
        db.execute(BY_JOB)

    def losses(self, db: sqlite3.Connection) -> list[Loss]:
        """What was done to jobs and queues; `schema_migrations` keeps the rest by itself."""
        count = db.execute(
            "SELECT count(*) FROM operator_actions WHERE migration IS NULL"
        ).fetchone()[0]
        return [Loss("operator_actions", count)] if count else []
