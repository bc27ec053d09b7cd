"""Reading what the health of everything is judged by, in one snapshot."""

import sqlite3

from jobd.core.health import HealthFacts
from jobd.core.presence import Presence
from jobd.store.batch_reading import IS_OPEN
from jobd.store.claims import next_in_line
from jobd.store.overview import at_work, daemons, dead_letters, workers
from jobd.store.reading import MANY, records, snapshot
from jobd.store.verbs import WITHOUT_HANDLER

COUNTED = 100_000

_ZOMBIES = f"""
    SELECT id, job_type, status FROM job_queue
    WHERE execution_over = 0 AND status NOT IN ('running', 'timeout') ORDER BY +id LIMIT {MANY}
"""

_WITHOUT_HANDLER = f"""
    SELECT job_type, sum(number) FROM (
        SELECT job_type, count(*) AS number FROM (
            SELECT job_type FROM job_queue WHERE {WITHOUT_HANDLER} LIMIT {COUNTED}
        ) GROUP BY job_type
        UNION ALL
        SELECT job_type, total_items - completed_items - cancelled_items FROM batch_jobs
        WHERE {IS_OPEN} AND job_type NOT IN (SELECT name FROM job_types)
            AND EXISTS (SELECT 1 FROM job_types)
    ) GROUP BY job_type ORDER BY sum(number) DESC
"""

_UNFINISHED = """
    SELECT EXISTS (SELECT 1 FROM job_queue WHERE ready = 1)
        OR EXISTS (SELECT 1 FROM job_queue WHERE ready = 0 AND due_at IS NOT NULL)
        OR EXISTS (SELECT 1 FROM job_queue WHERE execution_over = 0)
        OR EXISTS (
            SELECT 1 FROM batch_jobs WHERE status IN ('queued', 'processing')
                AND sealed_up_to > 0 AND total_items > completed_items + cancelled_items
        )
"""


def health_facts(
    db: sqlite3.Connection,
    now: int,
    *,
    presence: Presence,
    max_age_ms: int | None,
) -> HealthFacts:
    """What the database says now; of the daemon its lock says more (`presence`)."""
    with snapshot(db):
        return HealthFacts(
            now=now,
            presence=presence,
            daemon=next(iter(daemons(db)), None),
            workers=workers(db),
            busy=at_work(db),
            heads=next_in_line(db),
            zombies=records(db, _ZOMBIES),
            dead_letters=dead_letters(db),
            unfinished=bool(db.execute(_UNFINISHED).fetchone()[0]),
            without_handler=dict(db.execute(_WITHOUT_HANDLER).fetchall()),
            max_age_ms=max_age_ms,
        )
