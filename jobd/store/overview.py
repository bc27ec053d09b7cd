"""Reading the whole at a glance: counts, queues, workers, daemons, and what they can run."""

import sqlite3

from jobd.core.lifecycle import COMPLETED, PENDING, JobStatus
from jobd.core.worker_health import HealthStatus
from jobd.store.reading import MANY, Record, records
from jobd.store.verbs import UNCOMMON, UNFED, WITHOUT_HANDLER

RECENT = 5
COUNTED = 100_000

# One statement is one snapshot. Everything but the two common statuses is counted in a partial
# index that holds nothing else; completed is what remains of the whole.
_COUNTS = f"""
    SELECT 'every', count(*) FROM job_queue
    UNION ALL SELECT 'waiting', count(*) FROM job_queue WHERE ready = 1
    UNION ALL SELECT 'waiting', count(*) FROM job_queue WHERE ready = 0 AND due_at IS NOT NULL
    UNION ALL SELECT 'waiting', count(*) FROM job_queue WHERE {WITHOUT_HANDLER}
    UNION ALL SELECT 'waiting', count(*) FROM job_queue WHERE {UNFED}
    UNION ALL SELECT 'running', count(*) FROM job_queue
        WHERE execution_over = 0 AND status = 'running'
    UNION ALL SELECT status, count(*) FROM job_queue
        WHERE {UNCOMMON} GROUP BY status
"""

# The second term is the index's own, without which it would not be taken.
_DEAD_LETTERS = f"""
    SELECT count(*) FROM (
        SELECT 1 FROM job_queue WHERE status = 'dead_letter'
            AND {UNCOMMON} LIMIT ?
    )
"""

_QUEUES = f"""
    WITH found (name, ready, waiting, running, head) AS (
        SELECT queue, count(*), 0, 0, min(id) FROM job_queue WHERE ready = 1 GROUP BY queue
        UNION ALL SELECT queue, 0, count(*), 0, NULL FROM job_queue
            WHERE ready = 0 AND due_at IS NOT NULL GROUP BY queue
        UNION ALL SELECT queue, 0, count(*), 0, NULL FROM job_queue
            WHERE {WITHOUT_HANDLER} GROUP BY queue
        UNION ALL SELECT (SELECT queue FROM batch_jobs WHERE id = batch_id), 0, count(*), 0, NULL
            FROM job_queue WHERE {UNFED} GROUP BY batch_id
        UNION ALL SELECT queue, 0, 0, count(*), NULL FROM job_queue
            WHERE execution_over = 0 GROUP BY queue
        UNION ALL SELECT name, 0, 0, 0, NULL FROM queues
    ),
    summed AS (
        SELECT name, sum(ready) AS ready, sum(waiting) AS waiting, sum(running) AS running,
            max(head) AS head
        FROM found GROUP BY name ORDER BY name LIMIT {MANY}
    )
    SELECT summed.name, summed.ready, waiting, running,
        max(created_at, coalesce(scheduled_at, 0), coalesce(next_retry_at, 0)) AS oldest_ready_at,
        queues.paused_at, queues.paused_by, queues.concurrency
    FROM summed LEFT JOIN queues ON queues.name = summed.name
        LEFT JOIN job_queue ON job_queue.id = head
    ORDER BY summed.name
"""

# A worker's row may be older than the end of its job.
_WORKERS = f"""
    SELECT workers.*, job_queue.status AS job_status
    FROM workers LEFT JOIN job_queue ON job_queue.id = workers.job_id
        AND job_queue.attempt = workers.attempt AND job_queue.worker_id = workers.daemon_id
        AND job_queue.execution_over = 0
    ORDER BY length(name), name LIMIT {MANY}
"""
_IDLE: Record = dict.fromkeys(("job_id", "attempt", "job_started_at", "stuck_job_id")) | {
    "health_status": HealthStatus.NORMAL.value
}


def counts(db: sqlite3.Connection) -> dict[JobStatus, int]:
    """How many jobs are in each of the nine statuses."""
    found: dict[str, int] = {}
    for name, count in db.execute(_COUNTS).fetchall():
        found[name] = found.get(name, 0) + count
    every, waiting = found.pop("every"), found.pop("waiting")
    numbers = {status: found.get(status, 0) for status in JobStatus}
    numbers[PENDING] = waiting - numbers[JobStatus.RETRYING]
    numbers[COMPLETED] = every - sum(numbers.values())
    return numbers


def buffered(db: sqlite3.Connection) -> int:
    """How many running jobs are claimed, and no worker has taken them yet."""
    count: int = db.execute(
        "SELECT count(*) FROM job_queue "
        "WHERE execution_over = 0 AND status = 'running' AND started_at IS NULL"
    ).fetchone()[0]
    return count


def dead_letters(db: sqlite3.Connection) -> int:
    """How many jobs wait for a person, counted up to 100,000."""
    count: int = db.execute(_DEAD_LETTERS, (COUNTED,)).fetchone()[0]
    return count


def queues(db: sqlite3.Connection) -> list[Record]:
    """Every queue that holds live jobs, is paused or has a limit.

    `ready` jobs may be claimed now, `waiting` ones not yet; `running` counts every execution
    that is not over. `oldest_ready_at` is since when the oldest ready job might have run.
    """
    return records(db, _QUEUES)


def workers(db: sqlite3.Connection) -> list[Record]:
    """The workers of the last daemon, as it last wrote them, but for jobs that ended since.

    `job_status` is that of the job which the worker is on.
    """
    return [each if each["job_status"] else each | _IDLE for each in records(db, _WORKERS)]


def at_work(db: sqlite3.Connection) -> int:
    """How many jobs workers of the pool run now; a zombie's place there was filled anew."""
    count: int = db.execute(
        """SELECT count(*) FROM job_queue WHERE execution_over = 0
            AND status IN ('running', 'timeout') AND started_at IS NOT NULL"""
    ).fetchone()[0]
    return count


def daemons(db: sqlite3.Connection) -> list[Record]:
    """The daemons that ran last, newest first."""
    return records(db, f"SELECT * FROM daemons ORDER BY started_at DESC, rowid DESC LIMIT {RECENT}")


def job_types(db: sqlite3.Connection) -> list[Record]:
    """What the last daemon could run; empty when none has ever run."""
    return records(db, f"SELECT * FROM job_types ORDER BY name LIMIT {MANY}")
