"""A producer keeps the write-ahead log short while no daemon does."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jobd import Queue
from jobd.store.connection import WAL_LIMIT
from jobd.store.daemon_lock import DaemonLock
from jobd.store.producer_log import GROWN, GROWN_AFTER, UNSYNCED_BETWEEN


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    with Queue(tmp_path / "jobd.db", synchronous="normal") as opened:
        yield opened


def log_size(queue: Queue) -> int:
    return Path(f"{queue.path}-wal").stat().st_size


def test_the_log_stays_short_without_a_daemon(queue: Queue) -> None:
    """Many times what fits into the log is enqueued, and it is no longer than at the start."""
    for number in range(5 * UNSYNCED_BETWEEN):
        queue.enqueue("noop", {"number": number})
    assert log_size(queue) <= WAL_LIMIT


def test_large_transactions_count_for_more(queue: Queue) -> None:
    """After a hundred thousand jobs in ten calls the log is as long as one call needs."""
    longest = 0
    for _ in range(10):
        queue.enqueue_many([("noop", {})] * 10_000)
        longest = longest or log_size(queue)
    assert log_size(queue) <= 1.2 * longest


def test_large_payloads_count_for_more(queue: Queue) -> None:
    """Jobs of 100 kB leave the log no longer than small ones do."""
    longest = 0
    for number in range(200):
        queue.enqueue("noop", {"number": number, "text": "x" * 100_000})
        longest = max(longest, log_size(queue))
    assert longest <= WAL_LIMIT


def test_the_daemon_s_log_is_left_to_the_daemon(queue: Queue, tmp_path: Path) -> None:
    """While its lock is held no producer checkpoints."""
    lock = DaemonLock(queue.path)
    assert lock.acquire(blocking=False)
    for number in range(4 * UNSYNCED_BETWEEN):
        queue.enqueue("noop", {"number": number})
    lock.release()
    assert log_size(queue) > WAL_LIMIT


def test_a_log_that_cannot_be_cared_for_fails_no_call(queue: Queue) -> None:
    """The job is stored by then: here the second connection refuses a file with two names."""
    queue.path.with_name("another-name.db").hardlink_to(queue.path)
    ids = [queue.enqueue("noop") for _ in range(UNSYNCED_BETWEEN + 1)]
    assert ids[-1] == len(ids)


def test_a_reader_in_the_middle_delays_it_and_loses_nothing(queue: Queue) -> None:
    """With a snapshot held open the log grows; every job is there before and after."""
    with Queue(queue.path) as other:
        reader = other._opened().connection
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM job_queue").fetchone()
        ids = [queue.enqueue("noop", {}) for _ in range(2 * UNSYNCED_BETWEEN)]
        reader.execute("ROLLBACK")
        ids += [queue.enqueue("noop", {}) for _ in range(2 * UNSYNCED_BETWEEN)]
        assert reader.execute("SELECT count(*) FROM job_queue").fetchone() == (len(ids),)


def test_a_log_that_was_made_longer_loses_nothing(tmp_path: Path) -> None:
    """What is read after a crash ends where the commits end: the zeros behind them are no jobs."""
    with Queue(tmp_path / "jobd.db") as queue:
        ids = [queue.enqueue("noop") for _ in range(GROWN_AFTER + 1)]
        assert log_size(queue) == GROWN
        copy = tmp_path / "copy"
        copy.mkdir()
        for end in ("", "-wal"):  # as a power cut would leave them
            shutil.copy(f"{queue.path}{end}", copy / f"jobd.db{end}")
    with closing(sqlite3.connect(copy / "jobd.db")) as found:
        assert found.execute("SELECT count(*) FROM job_queue").fetchone() == (len(ids),)
        assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
