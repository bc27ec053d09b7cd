"""Which daemons ran, their workers, the job types they could run, and what jobs leave behind."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobd.core.worker_health import HealthStatus


@dataclass(frozen=True, slots=True)
class DaemonIdentity:
    """One incarnation of the daemon: `id` is new at every start and owns the attempts it claims."""

    id: str
    pid: int
    boot_id: str | None
    version: str


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What one JobWorker is doing, as the `workers` table shows it."""

    name: str
    health_status: HealthStatus = HealthStatus.NORMAL
    job_id: int | None = None
    attempt: int | None = None
    job_started_at: int | None = None
    stuck_job_id: int | None = None


@dataclass(frozen=True, slots=True)
class JobType:
    """A job type as the daemon registered it."""

    name: str
    queue: str | None
    timeout_ms: int | None
    max_retries: int | None


def register(
    db: sqlite3.Connection,
    daemon: DaemonIdentity,
    job_types: Sequence[JobType],
    limits: Mapping[str, int | None],
    now: int,
) -> None:
    """A daemon has started: its row, the types it can run, its queues' limits; old workers go."""
    db.execute("UPDATE daemons SET stopped_at = seen_at WHERE stopped_at IS NULL")
    db.execute(
        "INSERT INTO daemons (id, pid, boot_id, version, started_at, seen_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (daemon.id, daemon.pid, daemon.boot_id, daemon.version, now, now),
    )
    db.execute("DELETE FROM workers")
    register_job_types(db, daemon.id, job_types, now)
    set_limits(db, limits)


def register_job_types(
    db: sqlite3.Connection, daemon_id: str, job_types: Sequence[JobType], now: int
) -> None:
    """Replace what the last daemon could run."""
    db.execute("DELETE FROM job_types")
    db.executemany(
        "INSERT INTO job_types (name, queue, timeout_ms, max_retries, daemon_id, registered_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        [(t.name, t.queue, t.timeout_ms, t.max_retries, daemon_id, now) for t in job_types],
    )


def set_limits(db: sqlite3.Connection, limits: Mapping[str, int | None]) -> None:
    """Show the concurrency limits in force in the `queues` table."""
    db.execute("UPDATE queues SET concurrency = NULL")
    db.executemany(
        "INSERT INTO queues (name, concurrency) VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET concurrency = excluded.concurrency",
        [(name, limit) for name, limit in limits.items() if limit is not None],
    )


def show_workers(
    db: sqlite3.Connection, daemon: DaemonIdentity, workers: Sequence[WorkerState], now: int
) -> None:
    """Write what the pool is doing; workers that are gone disappear."""
    db.execute("UPDATE daemons SET seen_at = ? WHERE id = ?", (now, daemon.id))
    db.execute(
        "DELETE FROM workers WHERE name NOT IN (SELECT value FROM json_each(?))",
        (json.dumps([worker.name for worker in workers]),),
    )
    db.executemany(
        """
        INSERT INTO workers (id, daemon_id, name, health_status, stuck_job_id, job_id, attempt,
            job_started_at, pid, boot_id, started_at, seen_at)
        VALUES (:id, :daemon_id, :name, :health_status, :stuck_job_id, :job_id, :attempt,
            :job_started_at, :pid, :boot_id, :now, :now)
        ON CONFLICT (id) DO UPDATE SET health_status = excluded.health_status,
            stuck_job_id = excluded.stuck_job_id, job_id = excluded.job_id,
            attempt = excluded.attempt, job_started_at = excluded.job_started_at,
            seen_at = excluded.seen_at
        """,
        [_worker_values(daemon, worker, now) for worker in workers],
    )


def _worker_values(daemon: DaemonIdentity, worker: WorkerState, now: int) -> dict[str, object]:
    return {
        "id": f"{daemon.id}/{worker.name}",
        "daemon_id": daemon.id,
        "name": worker.name,
        "health_status": str(worker.health_status),
        "stuck_job_id": worker.stuck_job_id,
        "job_id": worker.job_id,
        "attempt": worker.attempt,
        "job_started_at": worker.job_started_at,
        "pid": daemon.pid,
        "boot_id": daemon.boot_id,
        "now": now,
    }


def seen(db: sqlite3.Connection, daemon: DaemonIdentity, now: int) -> None:
    """The daemon is there: the smallest write there is."""
    db.execute("UPDATE daemons SET seen_at = ? WHERE id = ?", (now, daemon.id))


def sign_off(db: sqlite3.Connection, daemon: DaemonIdentity, now: int) -> None:
    """The daemon stops: say when, and take its workers off the list."""
    db.execute(
        "UPDATE daemons SET seen_at = :now, stopped_at = :now WHERE id = :id",
        {"now": now, "id": daemon.id},
    )
    db.execute("DELETE FROM workers WHERE daemon_id = ?", (daemon.id,))


def save_checkpoints(
    db: sqlite3.Connection, checkpoints: Sequence[tuple[int, int, str]], now: int
) -> list[int]:
    """Keep (job id, attempt, JSON state) of attempts that still run; returns the ids kept."""
    values = {"rows": json.dumps(list(checkpoints)), "now": now}
    kept = db.execute(_SAVE.format(table="job_checkpoints", whose="IS NULL"), values).fetchall()
    if len(kept) < len(checkpoints):
        of_items = _SAVE.format(table="batch_checkpoints", whose="IS NOT NULL")
        kept += db.execute(of_items, values).fetchall()
    return [job_id for (job_id,) in kept]


_SAVE = """
    INSERT INTO {table} (job_id, attempt, state, saved_at)
    SELECT j.id, j.attempt, json_extract(value, '$[2]'), :now
    FROM json_each(:rows) JOIN job_queue AS j ON j.id = json_extract(value, '$[0]')
        AND j.attempt = json_extract(value, '$[1]') AND j.execution_over = 0
    WHERE j.batch_id {whose}
    ON CONFLICT (job_id) DO UPDATE SET attempt = excluded.attempt, state = excluded.state,
        saved_at = excluded.saved_at
    RETURNING job_id
"""


def save_progress(
    db: sqlite3.Connection,
    reports: Sequence[tuple[int, int, float, float | None, str]],
    now: int,
) -> None:
    """Keep the latest (job id, attempt, done, total, message) of each job; of an item also which
    part of it is done."""
    packed = json.dumps(list(reports))
    db.execute(
        """UPDATE batch_items SET progress = max(0.0, min(1.0,
            json_extract(value, '$[2]') / nullif(json_extract(value, '$[3]'), 0.0)
        )) FROM json_each(?) WHERE job_id = json_extract(value, '$[0]')""",
        (packed,),
    )
    db.execute(
        """
        INSERT INTO job_progress (job_id, attempt, done, total, message, reported_at)
        SELECT j.id, j.attempt, json_extract(value, '$[2]'), json_extract(value, '$[3]'),
            json_extract(value, '$[4]'), :now
        FROM json_each(:rows) JOIN job_queue AS j ON j.id = json_extract(value, '$[0]')
            AND j.attempt = json_extract(value, '$[1]')
        WHERE true
        ON CONFLICT (job_id) DO UPDATE SET attempt = excluded.attempt, done = excluded.done,
            total = excluded.total, message = excluded.message,
            reported_at = excluded.reported_at
        """,
        {"rows": packed, "now": now},
    )


def checkpoints_of(db: sqlite3.Connection, job_ids: Sequence[int]) -> dict[int, str]:
    """The JSON state each of these jobs last saved."""
    return dict(
        db.execute(
            """SELECT job_id, state FROM job_checkpoints
            WHERE job_id IN (SELECT value FROM json_each(:ids))
            UNION ALL SELECT job_id, state FROM batch_checkpoints
            WHERE job_id IN (SELECT value FROM json_each(:ids))""",
            {"ids": json.dumps(list(job_ids))},
        )
    )
