"""Crowds of jobs that a file may hold beside those that are drained: they must cost nothing."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import jobd

AT_ONCE = 100_000


def queued(path: Path, rows: int) -> None:
    """As many again, behind those that count: less urgent."""
    _enqueue(path, rows, priority=-1)


def scheduled(path: Path, rows: int) -> None:
    """For a day that is far away."""
    _enqueue(path, rows, delay=1e7)


def paused(path: Path, rows: int) -> None:
    """Ready, in a queue that is paused."""
    _enqueue(path, rows, queue="paused")
    _execute(path, "INSERT INTO queues (name, paused_at) VALUES ('paused', 1)")


def full(path: Path, rows: int) -> None:
    """Ready, in a queue whose one place is taken for the whole time."""
    Path(path.parent, "jobd.limits").write_text("[queues.full]\nconcurrency = 1\n")
    with jobd.Queue(path) as queue:
        queue.enqueue("rests", {"number": -1, "sleep": 3600}, queue="full", priority=1000)
    _enqueue(path, rows, queue="full")


def finished(path: Path, rows: int) -> None:
    """Completed, and kept."""
    _enqueue(path, rows, queue="old")
    _execute(
        path,
        "UPDATE job_queue SET status = 'running', ready = 0, attempt = 1, worker_id = 'd', "
        "execution_over = 0, claimed_at = created_at, started_at = created_at WHERE queue = 'old'",
        "UPDATE job_queue SET status = 'completed', execution_over = 1, "
        "completed_at = created_at WHERE queue = 'old'",
    )


CROWDS: dict[str, Callable[[Path, int], None]] = {
    "queued": queued, "scheduled": scheduled, "paused": paused, "full": full,
    "finished": finished,
}


def _enqueue(path: Path, rows: int, **options: object) -> None:
    with jobd.Queue(path) as queue:
        for first in range(0, rows, AT_ONCE):
            count = min(AT_ONCE, rows - first)
            queue.enqueue_many([("noop", {"number": -1})] * count, **options)


def _execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        for statement in statements:
            db.execute(statement)
        db.execute("COMMIT")
