"""A full disk and a lock that another process holds: said, waited out, nothing lost."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd import errors
from tests.daemon.harness import House
from tests.faults.disk import fill, mounted

HANDLERS = """
@job("bulky")
def bulky(gate: str, size: int):
    say("at the gate")
    wait_at(gate)
    return "x" * size
"""

HOLDER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
db.execute("PRAGMA wal_autocheckpoint = 0")
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
db.execute("ROLLBACK")
"""


@pytest.fixture
def small_disk(house: House) -> Iterator[House]:
    """The house's database on a file system of twelve megabytes."""
    directory = house.root / "small"
    directory.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=12m", "tmpfs", str(directory)):
        house.db = directory / "jobd.db"
        house.handlers(HANDLERS)
        yield house
        house.put_away()


def test_a_full_disk_is_waited_out(small_disk: House) -> None:
    """store.full is said, outcomes are kept in memory, and all are stored once there is room."""
    gate = small_disk.gate("shut")
    daemon = small_disk.start("--workers", "8")
    ids = [small_disk.enqueue("bulky", {"gate": "shut", "size": 900_000}) for _ in range(8)]
    daemon.wait_for_all("job.logged", ids)
    filler = fill(small_disk.db.parent)
    gate.open()
    full = daemon.wait_for("store.full")
    assert str(small_disk.db) in full["error"]
    with pytest.raises(errors.DatabaseFull):
        small_disk.queue.enqueue_many([("quick", {"fill": "y" * 900_000})] * 7)
    assert daemon.process.poll() is None
    assert len(daemon.events("job.completed")) < len(ids)
    filler.unlink()
    daemon.wait_for("store.recovered")
    daemon.wait_for_all("job.completed", ids)
    assert [span.attempt for span in small_disk.spans()] == [1] * 8
    assert {len(small_disk.job(i)["result"]) for i in ids} == {900_002}
    assert small_disk.rows("SELECT count(*) FROM job_queue")[0][0] == 8
    daemon.wait_for("job.completed", job_id=small_disk.enqueue("quick"))
    assert [tuple(row) for row in small_disk.rows("PRAGMA integrity_check")] == [("ok",)]


def test_on_a_full_disk_the_file_that_cannot_be_written_is_named(small_disk: House) -> None:
    """The system names none when a write finds no room."""
    daemon = small_disk.start(metrics__interval="1s")
    filler = fill(small_disk.db.parent)
    failed = daemon.wait_for("metrics.failed")
    assert failed["file"] == f"{small_disk.db}.metrics"
    filler.unlink()
    assert daemon.stop() == 0


def test_a_daemon_can_be_stopped_while_the_disk_is_full(small_disk: House) -> None:
    """A stop does not wait for room for ever; what could not be stored runs again later."""
    gate = small_disk.gate("shut")
    daemon = small_disk.start("--workers", "8", timing__shutdown_grace="200ms")
    ids = [small_disk.enqueue("bulky", {"gate": "shut", "size": 900_000}) for _ in range(8)]
    daemon.wait_for_all("job.logged", ids)
    filler = fill(small_disk.db.parent)
    gate.open()
    daemon.wait_for("store.full")
    daemon.signal(signal.SIGTERM)
    status = daemon.exit_status(deadline=15)
    filler.unlink()
    assert small_disk.wait_until_all_ended(small_disk.start("--workers", "8"))
    assert {small_disk.status(job_id) for job_id in ids} == {"completed"}
    assert status == 75


def test_a_full_disk_during_a_checkpoint_is_not_fatal(small_disk: House) -> None:
    """Commits still fit into the WAL, moving them into the file does not: jobs go on."""
    gate = small_disk.gate("shut")
    daemon = small_disk.start("--workers", "3")
    ids = [small_disk.enqueue("bulky", {"gate": "shut", "size": 900_000}) for _ in range(3)]
    daemon.wait_for_all("job.logged", ids)
    filler = fill(small_disk.db.parent)
    gate.open()
    daemon.wait_for_all("job.completed", ids)
    quiet = daemon.log[-1]
    for _ in range(10):  # two seconds without a write: a checkpoint is tried meanwhile
        quiet = daemon.wait_for("pool.health", after=quiet)
    daemon.wait_for("job.completed", job_id=small_disk.enqueue("quick"))
    filler.unlink()
    daemon.wait_for("job.completed", job_id=small_disk.enqueue("quick"))
    assert daemon.stop() == 0
    assert [tuple(row) for row in small_disk.rows("PRAGMA integrity_check")] == [("ok",)]


class Holder:
    """Another process that holds the write lock until it is told to let go."""

    def __init__(self, db: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(db)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"held\n"

    def __enter__(self) -> "Holder":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=10)


def test_a_lock_held_by_another_process_is_waited_out(house: House) -> None:
    """store.locked is said with who holds it; then everything goes on, nothing is lost."""
    gate = house.gate("shut")
    daemon = house.start("--workers", "2")
    ids = [house.enqueue("gated", {"gate": "shut"}) for _ in range(2)]
    daemon.wait_for_all("job.logged", ids)
    with Holder(house.db) as holder:
        gate.open()
        locked = daemon.wait_for("store.locked")
        assert daemon.events("job.completed") == []
        beat = daemon.wait_for("pool.health", after=locked)
        daemon.wait_for("pool.health", after=beat)  # sweeps and heartbeats only read
    daemon.wait_for_all("job.completed", ids)
    assert [span.attempt for span in house.spans()] == [1, 1]
    assert locked["waited_s"] >= 1
    assert str(house.db) == locked["database"]
    assert locked["holder_pid"] == holder.process.pid


def test_a_daemon_can_be_stopped_while_the_database_is_locked(house: House) -> None:
    """The lock is held without end: SIGTERM still ends it, and the next start runs the job."""
    gate = house.gate("shut")
    daemon = house.start("--workers", "2", timing__shutdown_grace="200ms")
    job_id = house.enqueue("gated", {"gate": "shut"})
    daemon.wait_for("job.logged", job_id=job_id)
    with Holder(house.db):
        gate.open()
        daemon.wait_for("store.locked")
        daemon.signal(signal.SIGTERM)
        assert daemon.exit_status(deadline=15) == 75
        assert "Traceback" not in daemon.stderr
    again = house.start()
    again.wait_for("job.completed", job_id=job_id, attempt=2)


def test_a_start_waits_for_a_lock_too(house: House) -> None:
    """The database is locked when the daemon starts: it is ready once the lock is gone."""
    job_id = house.enqueue("quick")
    with Holder(house.db):
        daemon = house.launch()
        daemon.wait_for("store.locked")
        assert daemon.events("daemon.ready") == []
    daemon.wait_ready()
    daemon.wait_for("job.completed", job_id=job_id)
