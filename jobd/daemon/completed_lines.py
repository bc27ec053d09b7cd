"""The line of a job that completed: the only one that is written for every job.

structlog takes longer to make it than the database takes for the job, so where lines are JSON it is
filled into a form. It is the same line, key for key; a test compares the two.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from jobd import clock
from jobd.daemon.attempt import Ended
from jobd.log import CONTRACT_VERSION, json_lines

Completed = Iterable[tuple[Ended, Sequence[int]]]
"""Attempts that completed, and the jobs that each has put in with its own end."""

_FORM = (
    f'{{"timestamp": "%s", "level": "info", "event": "job.completed", "v": {CONTRACT_VERSION}, '
    '"job_id": %d, "job_type": %s, "queue": %s, "attempt": %d, "worker": %s, '
    '"status": "completed", "claimed_at": %s, "started_at": %s, "duration_ms": %s%s}'
)
_quoted = lru_cache(maxsize=1024)(json.dumps)
_time = lru_cache(maxsize=1024)(lambda at_ms: json.dumps(clock.iso(at_ms)))


def log_completed(log: Any, completed: Completed) -> None:
    """One `job.completed` for each, on `log`, whatever its form and level are."""
    if not log.is_enabled_for(logging.INFO):
        return
    write = json_lines()
    if write is None:
        for ended, enqueued in completed:
            _tell(log, ended, enqueued)
        return
    stamp = clock.iso(clock.now_ms())
    # All are made before the first is written, which wakes the thread that writes them.
    for line in [_line(stamp, ended, enqueued) for ended, enqueued in completed]:
        write(line)


def _tell(log: Any, ended: Ended, enqueued: Sequence[int]) -> None:
    attempt, job = ended.attempt, ended.attempt.job
    extra = {"enqueued": enqueued} if enqueued else {}
    log.info(
        "job.completed", job_id=job.id, job_type=job.job_type, queue=job.queue,
        attempt=job.attempt, worker=attempt.worker, status="completed",
        claimed_at=clock.iso(attempt.claimed_at), started_at=clock.iso(attempt.started_at),
        duration_ms=round(ended.duration * 1000, 3), **extra,
    )


def _line(stamp: str | None, ended: Ended, enqueued: Sequence[int]) -> str:
    attempt, job = ended.attempt, ended.attempt.job
    extra = f', "enqueued": {json.dumps(enqueued)}' if enqueued else ""
    return _FORM % (
        stamp, job.id, _quoted(job.job_type), _quoted(job.queue), job.attempt,
        _quoted(attempt.worker), _time(attempt.claimed_at), _time(attempt.started_at),
        round(ended.duration * 1000, 3), extra,
    )
