"""009: ids of jobs are set aside, 256 at a time (store/job_ids.py)."""

import sqlite3

from jobd.store.migrations.migration import Migration

# A counter that is no multiple of 256 is the last id that was given.
NEWEST_GONE = """
CREATE TRIGGER job_queue_newest_gone AFTER DELETE ON job_queue
WHEN OLD.id > coalesce((SELECT max(id) FROM job_queue), 0)
BEGIN
    UPDATE sqlite_sequence SET seq = OLD.id + (OLD.id % 256 = 0)
    WHERE name = 'job_queue' AND seq % 256 = 0;
END
"""


class SetIdsAside(Migration):
    version = 9
    name = "set_ids_aside"

    def up(self, db: sqlite3.Connection) -> None:
        """A counter that says more than the newest job's id must not look like ids set aside."""
        db.execute(
            """UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'job_queue'
            AND seq % 256 = 0 AND seq > coalesce((SELECT max(id) FROM job_queue), 0)"""
        )
        db.execute(NEWEST_GONE)

    def down(self, db: sqlite3.Connection) -> None:
        """The counter is the last id again, as every jobd before takes it."""
        db.execute(
            """UPDATE sqlite_sequence SET seq = coalesce((SELECT max(id) FROM job_queue), seq)
            WHERE name = 'job_queue' AND seq % 256 = 0"""
        )
        db.execute("DROP TRIGGER job_queue_newest_gone")
