"""Whether what is charged to a job is what happened to it: retries, rescues, dead letters."""

import signal
from collections import Counter
from collections.abc import Iterator

from tests.torture.evidence import Evidence, JobRow
from tests.torture.journal import BEGAN, ENDED, RETURNED
from tests.torture.plan import WORKERS

NO_FAILURE = (RETURNED, "Stopped", "Snooze")
RETRIES, RESCUES = 3, 3
STUCK = 5
"""Threads that may be stuck besides the workers: max_stuck_threads and the one too many."""


def retries_are_failures(e: Evidence) -> Iterator[str]:
    """No more retries are charged than the side file knows failures, nor than are allowed."""
    failed = Counter(n.job_id for n in e.noted(ENDED) if n.how not in NO_FAILURE)
    ended = {note.key for note in e.noted(ENDED)}
    unended = Counter(n.job_id for n in e.noted(BEGAN) if n.key not in ended)
    timed_out = Counter(row.job_id for row in e.attempts if row.timed_out_at is not None)
    for row in e.jobs.values():
        limit = RETRIES if row.max_retries is None else row.max_retries
        known = failed[row.id] + timed_out[row.id]
        if row.job_type == "exec" or row.isolation or row.job_type == "runs":
            known = max(row.attempt, unended[row.id])
        if row.retry_count > min(limit, known):
            yield (f"job {row.id} ({row.job_type}) is charged {row.retry_count} retries; "
                   f"{known} failures are known, {limit} allowed")


def the_steady_are_charged_nothing(e: Evidence) -> Iterator[str]:
    """A job that cannot fail has no retries, no failure but a lost worker, and completes."""
    for row in e.jobs.values():
        order = e.order_of(row)
        if not (row.tag.startswith("child:") or (order and order.steady)):
            continue
        if row.retry_count or row.failure_type not in (None, "worker_lost"):
            yield f"job {row.id} ({row.job_type}) cannot fail, and is charged {row.failure_type}"
        if row.status not in ("completed", "cancelled") and not _is_poison(row):
            yield f"job {row.id} ({row.job_type}) cannot fail, and is {row.status}"


def _is_poison(row: JobRow) -> bool:
    return row.status == "dead_letter" and row.failure_type == "worker_lost"


def rescues_are_deaths(e: Evidence) -> Iterator[str]:
    """A rescue is charged only for a daemon that was killed, and only for what it executed."""
    lost = [row for row in e.attempts if row.failure_type == "worker_lost"]
    by_job = Counter(row.job_id for row in lost)
    for row in lost:
        daemon = e.daemon(row.pid)
        if daemon is None or daemon.status != -signal.SIGKILL:
            how = "which never was" if daemon is None else f"which ended with {daemon.status}"
            yield (f"attempt {row.attempt} of job {row.job_id} was charged as lost with daemon "
                   f"{row.pid}, {how}")
    for job in e.jobs.values():
        if job.rescue_count > min(RESCUES, by_job[job.id]):
            yield f"job {job.id} was rescued {by_job[job.id]} times and charged {job.rescue_count}"
        if _is_poison(job) and by_job[job.id] <= RESCUES:
            yield f"job {job.id} is called poison after {by_job[job.id]} deaths"


def the_buffered_are_innocent(e: Evidence) -> Iterator[str]:
    """A death charges no more jobs than had a thread: the side file may lack a start, but only as
    many as there are workers."""
    began = {note.key for note in e.noted(BEGAN)}
    lost = [row for row in e.attempts if row.failure_type == "worker_lost"]
    for pid, count in Counter(row.pid for row in lost).items():
        if count > WORKERS + STUCK:
            yield f"the death of daemon {pid} was charged to {count} jobs"
    for pid, count in Counter(row.pid for row in lost if row.key not in began).items():
        if count > WORKERS:
            yield f"the death of daemon {pid} was charged to {count} jobs that never began"


CHECKS = (
    retries_are_failures, the_steady_are_charged_nothing, rescues_are_deaths,
    the_buffered_are_innocent,
)
