"""Reading what goes on now, so cheaply that it can be done each second over a million jobs.

Nothing here walks over more than a bounded number of index entries or rows.
"""

import json
import sqlite3
from dataclasses import dataclass

from jobd.store.batch_reading import items_left
from jobd.store.claims import READY_SINCE
from jobd.store.overview import at_work, daemons, workers
from jobd.store.reading import Record, records, snapshot
from jobd.store.verbs import UNCOMMON, WITHOUT_HANDLER

COUNTED = 50_000
"""Jobs are counted so far in each status, and ready ones in all queues together."""
QUEUES_SHOWN = 100
LINES = 2_000
SHOWN = 300
FEW = 20
LOOKED_AT = 200

_NAMES = f"""
    WITH RECURSIVE ready(name) AS (
        SELECT min(queue) FROM job_queue WHERE ready = 1 AND queue >= ''
        UNION ALL
        SELECT (SELECT min(queue) FROM job_queue WHERE ready = 1 AND queue > ready.name)
        FROM ready WHERE ready.name IS NOT NULL LIMIT {QUEUES_SHOWN}
    ),
    executing(name) AS (
        SELECT queue FROM (SELECT queue FROM job_queue WHERE execution_over = 0 LIMIT {LINES})
    )
    SELECT name FROM ready WHERE name IS NOT NULL UNION SELECT name FROM executing
    UNION SELECT name FROM queues ORDER BY 1 LIMIT {QUEUES_SHOWN}
"""

_QUEUES = f"""
    WITH RECURSIVE named(name) AS (SELECT value FROM json_each(:names)),
    line(name, priority) AS (
        SELECT name, (SELECT max(priority) FROM job_queue WHERE ready = 1 AND queue = name)
        FROM named
        UNION ALL
        SELECT name, (
            SELECT max(priority) FROM job_queue
            WHERE ready = 1 AND queue = line.name AND priority < line.priority
        ) FROM line WHERE priority IS NOT NULL LIMIT {LINES}
    ),
    oldest(name, since) AS (
        SELECT line.name, min({READY_SINCE})
        FROM line CROSS JOIN job_queue ON id = (
            SELECT id FROM job_queue
            WHERE ready = 1 AND queue = line.name AND priority = line.priority
            ORDER BY id LIMIT 1
        ) WHERE line.priority IS NOT NULL GROUP BY line.name
    )
    SELECT named.name, (
            SELECT count(*) FROM (
                SELECT 1 FROM job_queue WHERE ready = 1 AND queue = named.name LIMIT :most
            )
        ) AS ready, (
            SELECT count(*) FROM job_queue WHERE execution_over = 0 AND queue = named.name
        ) AS running,
        since AS oldest_ready_at, concurrency, paused_at, paused_by
    FROM named LEFT JOIN oldest ON oldest.name = named.name
        LEFT JOIN queues ON queues.name = named.name
    ORDER BY named.name
"""

_RUNNING = f"""
    SELECT j.id, job_type, queue, status, j.attempt, claimed_at, started_at, worker_id, done, total,
        substr(message, 1, 200) AS message,
        (SELECT name FROM workers WHERE job_id = j.id AND attempt = j.attempt) AS worker,
        (SELECT health_status FROM workers
            WHERE job_id = j.id AND attempt = j.attempt) AS health_status
    FROM (SELECT * FROM job_queue WHERE execution_over = 0 LIMIT {SHOWN}) AS j
        LEFT JOIN job_progress AS p ON p.job_id = j.id AND p.attempt = j.attempt
    ORDER BY coalesce(started_at, claimed_at), j.id
"""

_DUE = f"""
    SELECT id, job_type, queue, status, due_at, retry_count, failure_type
    FROM job_queue WHERE ready = 0 AND due_at IS NOT NULL ORDER BY due_at LIMIT {FEW}
"""

_FAILURES = f"""
    SELECT job_id AS id, job_type, queue, a.attempt, outcome, a.failure_type,
        substr(a.error_message, 1, 300) AS error_message, a.ended_at
    FROM (SELECT * FROM job_attempts ORDER BY rowid DESC LIMIT {LOOKED_AT}) AS a
        JOIN job_queue ON job_queue.id = a.job_id
    WHERE outcome IN ('retrying', 'dead_letter', 'failed', 'timeout', 'zombie')
    LIMIT {FEW}
"""

_STATUSES = ("retrying", "dead_letter", "failed", "zombie", "timeout")

_COUNTS = " UNION ALL ".join(
    f"""SELECT '{status}', (SELECT count(*) FROM (
        SELECT 1 FROM job_queue WHERE status = '{status}' AND {UNCOMMON} LIMIT {COUNTED}))"""
    for status in _STATUSES
) + f"""
    UNION ALL SELECT 'waiting', (SELECT count(*) FROM (
        SELECT 1 FROM job_queue WHERE ready = 0 AND due_at IS NOT NULL LIMIT {COUNTED}))
    UNION ALL SELECT 'without_handler', (SELECT count(*) FROM (
        SELECT 1 FROM job_queue WHERE {WITHOUT_HANDLER} LIMIT {COUNTED}))
"""


@dataclass(frozen=True, slots=True)
class Live:
    """What goes on: times in ms, texts cut. `counted_to` is where the counting of ready jobs of a
    queue ended, COUNTED where that of the other numbers did."""

    daemon: Record | None
    workers: list[Record]
    queues: list[Record]
    counts: dict[str, int]
    running: list[Record]
    due: list[Record]
    failures: list[Record]
    counted_to: int
    at_work: int = 0
    batch_items: int = 0
    """What is left of batches that have not ended."""


def live(db: sqlite3.Connection) -> Live:
    """One state of the database, read in a few milliseconds."""
    with snapshot(db):
        names = [name for (name,) in db.execute(_NAMES).fetchall()]
        most = COUNTED // max(len(names), 1)
        return Live(
            daemon=next(iter(daemons(db)), None),
            workers=workers(db),
            queues=records(db, _QUEUES, {"names": json.dumps(names), "most": most}),
            counts=dict(db.execute(_COUNTS).fetchall()),
            running=records(db, _RUNNING),
            due=records(db, _DUE),
            failures=records(db, _FAILURES),
            counted_to=most,
            at_work=at_work(db),
            batch_items=items_left(db),
        )
