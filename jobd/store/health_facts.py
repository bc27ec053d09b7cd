"""Reading what the health of everything is judged by, in one snapshot."""

import sqlite3

from jobd.core.health import HealthFacts
from jobd.store.claims import next_in_line
from jobd.store.overview import daemons, dead_letters, workers
from jobd.store.reading import MANY, records, snapshot
from jobd.store.verbs import WITHOUT_HANDLER

COUNTED = 100_000

_ZOMBIES = f"""
    SELECT id, job_type, status FROM job_queue
    WHERE execution_over = 0 AND status NOT IN ('running', 'timeout') ORDER BY id LIMIT {MANY}
"""

_WITHOUT_HANDLER = f"""
    SELECT job_type, count(*) FROM (
        SELECT job_type FROM job_queue
        WHERE {WITHOUT_HANDLER} LIMIT {COUNTED}
    ) GROUP BY job_type ORDER BY count(*) DESC
"""


def health_facts(
    db: sqlite3.Connection,
    now: int,
    *,
    daemon_alive: bool,
    daemon_pid: int | None,
    max_age_ms: int | None,
) -> HealthFacts:
    """What the database says now; whether a daemon is alive only its lock can say."""
    with snapshot(db):
        return HealthFacts(
            now=now,
            daemon_alive=daemon_alive,
            daemon_pid=daemon_pid,
            daemon=next(iter(daemons(db)), None),
            workers=workers(db),
            heads=next_in_line(db),
            zombies=records(db, _ZOMBIES),
            dead_letters=dead_letters(db),
            without_handler=dict(db.execute(_WITHOUT_HANDLER).fetchall()),
            max_age_ms=max_age_ms,
        )
