"""Reading all that an explanation of one job needs, in one snapshot."""

import sqlite3
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from jobd.core.claiming import SUSPECT
from jobd.core.config import Config
from jobd.core.facts import Facts
from jobd.core.health import IN_THE_POOL
from jobd.core.lifecycle import FailureType
from jobd.core.presence import Presence, troubles
from jobd.core.problem import Problem
from jobd.core.retry import Policy, retry_limit
from jobd.core.why_in_batch import COUNTED
from jobd.core.worker_health import HealthStatus
from jobd.store.overview import daemons, job_types, workers
from jobd.store.reading import Record, actions, attempts, job, progress, records, snapshot
from jobd.store.verbs import UNFED

HOLDERS = 100


def facts(
    db: sqlite3.Connection,
    job_id: int,
    now: int,
    *,
    seen: Presence,
    config: Config,
    obstacle: Problem | None = None,
) -> Facts | None:
    """What is known about a job now, or None when there is no such job.

    Whether a daemon is alive and moves the database cannot say, so the caller does; `config`
    gives what neither the job nor its handler says.
    """
    with snapshot(db):
        found = job(db, job_id)
        if found is None:
            return None
        types = {each["name"]: each for each in job_types(db)}
        handler = types.get(found["job_type"])
        queue = _queue(db, found["queue"])
        daemon = next(iter(daemons(db)), None)
        pool = workers(db)
        return Facts(
            now=now,
            job=found,
            daemon_alive=seen.alive,
            daemon=daemon,
            trouble=next(iter(troubles(seen, daemon)), None),
            last_words=seen.last_words,
            starter=seen.start,
            restarter=seen.restart,
            obstacle=obstacle,
            handled=handler is not None,
            job_types=tuple(types),
            ahead=_ahead(db, found),
            executing=_executing(db, found, max(HOLDERS, queue["concurrency"] or 0)),
            concurrency=queue["concurrency"],
            paused_at=queue["paused_at"],
            paused_by=queue["paused_by"],
            suspect=_suspect(db, found, daemon),
            workers=sum(each["job_status"] in IN_THE_POOL for each in pool),
            busy=_busy(db),
            worker_health=_worker_health(pool, job_id),
            batch=_batch(db, found),
            attempts=attempts(db, job_id),
            actions=actions(db, job_id),
            progress=progress(db, job_id),
            timeout_ms=_timeout_ms(found, handler, config),
            retry_limit=_retry_limit(found, handler, config),
            zombie_hold_ms=round(1000 * config.timing.zombie_hold),
            key_holder=_key_holder(db, found),
        )


def _timeout_ms(found: Record, handler: Record | None, config: Config) -> int | None:
    own = found["timeout_ms"] or (handler and handler["timeout_ms"])
    default = config.timing.timeout
    return own or (None if default is None else round(1000 * default))


def _retry_limit(found: Record, handler: Record | None, config: Config) -> int:
    """As `decide` counts it, but for what a handler says of single failure types."""
    policy = Policy(config.retry, handler["max_retries"] if handler else None)
    counts: Any = SimpleNamespace(**found)
    return retry_limit(counts, FailureType(found["failure_type"] or "unknown"), policy)


def _queue(db: sqlite3.Connection, name: str) -> Record:
    found = records(db, "SELECT * FROM queues WHERE name = ?", (name,))
    return found[0] if found else {"concurrency": None, "paused_at": None, "paused_by": None}


def _ahead(db: sqlite3.Connection, found: Record) -> int:
    """How many ready jobs of the same queue are claimed before this one."""
    return _count(
        db,
        """SELECT count(*) FROM job_queue WHERE ready = 1 AND queue = :queue
            AND (priority > :priority OR priority = :priority AND id < :id)""",
        found,
    )


def _executing(db: sqlite3.Connection, found: Record, most: int) -> list[int]:
    """Jobs of the same queue whose execution is not over: they count towards its limit."""
    rows = db.execute(
        """SELECT id FROM job_queue WHERE execution_over = 0 AND queue = :queue AND id <> :id
        ORDER BY id LIMIT :most""",
        {**found, "most": most},
    ).fetchall()
    return [job_id for (job_id,) in rows]


def _suspect(db: sqlite3.Connection, found: Record, daemon: Record | None) -> int | None:
    """Another suspect that the newest daemon has in hand, where the job is one too."""
    if daemon is None or found["rescue_count"] < SUSPECT:
        return None
    row = db.execute(
        f"""SELECT id FROM job_queue WHERE execution_over = 0 AND rescue_count >= {SUSPECT}
            AND worker_id = ? AND id <> ? LIMIT 1""",
        (daemon["id"], found["id"]),
    ).fetchone()
    return None if row is None else int(row[0])


def _busy(db: sqlite3.Connection) -> int:
    """How many workers a job holds: a zombie's place in the pool has been filled anew."""
    return _count(
        db,
        """SELECT count(*) FROM job_queue
        WHERE execution_over = 0 AND status IN ('running', 'timeout')""",
    )


def _worker_health(pool: Sequence[Record], job_id: int) -> str:
    found = (each["health_status"] for each in pool if each["job_id"] == job_id)
    return next(found, HealthStatus.NORMAL)


def _batch(db: sqlite3.Connection, found: Record) -> Record | None:
    """The batch of an item, and its place in it."""
    rows = records(
        db,
        f"""SELECT b.*, i.position,
            (SELECT count(*) FROM job_queue WHERE execution_over = 0 AND batch_id = b.id)
                AS executing,
            (SELECT count(*) FROM (
                SELECT 1 FROM job_queue WHERE {UNFED} AND batch_id = b.id AND id < :id
                LIMIT {COUNTED}
            )) AS before
        FROM batch_items AS i JOIN batch_jobs AS b ON b.id = i.batch_job_id
        WHERE i.job_id = :id""",
        found,
    )
    return rows[0] if rows else None


def _key_holder(db: sqlite3.Connection, found: Record) -> int | None:
    row = db.execute(
        """SELECT id FROM job_queue WHERE unique_key IS NOT NULL AND unique_key = :unique_key
            AND status IN ('pending', 'running', 'timeout', 'zombie', 'retrying')
            AND id <> :id""",
        found,
    ).fetchone()
    return None if row is None else int(row[0])


def _count(db: sqlite3.Connection, query: str, values: Record | None = None) -> int:
    number: int = db.execute(query, values or {}).fetchone()[0]
    return number
