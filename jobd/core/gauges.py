"""What the database and its files say of this moment, as measurements."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobd.core.prometheus import Family, Sample, by_label, gauge

Record = Mapping[str, Any]
Kind = tuple[str, str, str]
"""A status, a queue and a job type."""

MOST_KINDS = 2_000
OTHERS = "(others)"


@dataclass(frozen=True, slots=True)
class Gauges:
    """What was measured. `queues` and `workers` are records as the overview has them; ms, bytes."""

    now: int
    version: str
    sqlite: str
    schema_version: int
    daemon_alive: bool
    jobs: Mapping[Kind, int]
    queues: Sequence[Record]
    workers: Sequence[Record]
    database_bytes: int
    log_bytes: int
    free_bytes: int
    disk_free_bytes: int | None
    jobs_counted_at: int = field(default=0)
    batches: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """How many batches that have not ended there are of each status, and items of theirs."""
    daemon_moves: bool = True
    daemon_silent_ms: int | None = None


def families(found: Gauges) -> list[Family]:
    """The measurements."""
    alive = found.daemon_alive
    workers = found.workers if alive else ()
    health = Counter(str(each["health_status"]) for each in workers)
    busy = sum(each["job_id"] is not None for each in workers)
    info = {"version": found.version, "sqlite": found.sqlite, "schema": str(found.schema_version)}
    return [
        gauge("jobd_info", "Which jobd measured this.", [Sample(1, info)]),
        gauge("jobd_up", "Whether a daemon is active and does not stand still.",
              [Sample(int(alive and found.daemon_moves))]),
        gauge("jobd_sign_of_life_age_seconds", "Since when the daemon has given no sign of life.",
              [] if found.daemon_silent_ms is None else [Sample(found.daemon_silent_ms / 1000)]),
        gauge("jobd_jobs", "Jobs in the database.", _jobs(found.jobs)),
        gauge("jobd_jobs_counted_time_seconds", "When the jobs were counted.",
              [Sample((found.jobs_counted_at or found.now) / 1000)]),
        gauge("jobd_queue_ready_jobs", "Jobs that may be claimed now.",
              _of_queues(found.queues, "ready")),
        gauge("jobd_queue_executing_jobs", "Jobs whose execution is not over.",
              _of_queues(found.queues, "running")),
        gauge("jobd_queue_oldest_ready_seconds", "For how long the head might have run.",
              [Sample(max(0, found.now - each["oldest_ready_at"]) / 1000, _queue(each))
               for each in found.queues if each["oldest_ready_at"] is not None]),
        gauge("jobd_queue_paused", "Whether nothing is claimed from the queue.",
              [Sample(int(each["paused_at"] is not None), _queue(each)) for each in found.queues]),
        gauge("jobd_batches", "Batches that have not ended, by status.",
              by_label({status: count for status, (count, _) in found.batches.items()}, "status")),
        gauge("jobd_batch_items_left", "Items of these batches that have not ended, by status.",
              by_label({status: left for status, (_, left) in found.batches.items()}, "status")),
        gauge("jobd_workers", "Workers of the active daemon, by health.",
              by_label({"normal": 0, "potentially_stuck": 0, "unhealthy": 0} | health, "health")),
        gauge("jobd_workers_busy", "Workers that run a job.", [Sample(busy)]),
        gauge("jobd_stuck_threads", "Threads that do not stop; their places were filled anew.",
              [Sample(health["unhealthy"])]),
        gauge("jobd_database_bytes", "Size of the database file.", [Sample(found.database_bytes)]),
        gauge("jobd_database_free_bytes", "Room in the database file that is filled again.",
              [Sample(found.free_bytes)]),
        gauge("jobd_wal_bytes", "Size of the write-ahead log.", [Sample(found.log_bytes)]),
        gauge("jobd_disk_free_bytes", "Free space where the database lies.",
              [] if found.disk_free_bytes is None else [Sample(found.disk_free_bytes)]),
    ]


def _jobs(counts: Mapping[Kind, int]) -> list[Sample]:
    """The largest kinds by name, what is left of each status together."""
    largest = sorted(counts, key=lambda kind: -counts[kind])[:MOST_KINDS]
    merged: Counter[Kind] = Counter({kind: counts[kind] for kind in largest})
    for kind in counts.keys() - set(largest):
        merged[kind[0], OTHERS, OTHERS] += counts[kind]
    return [
        Sample(count, {"status": status, "queue": queue, "type": job_type})
        for (status, queue, job_type), count in sorted(merged.items())
    ]


def _of_queues(queues: Sequence[Record], column: str) -> list[Sample]:
    return [Sample(each[column], _queue(each)) for each in queues]


def _queue(record: Record) -> dict[str, str]:
    return {"queue": str(record["name"])}
