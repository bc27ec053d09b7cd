"""A daemon that lives and does not move, or is locked out: every face says so, and what to do."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobd import clock
from jobd.store import kernel_locks, presence
from jobd.store.daemon_lock import lock_path
from tests.daemon.harness import House, RunningDaemon
from tests.exposition import read


@contextmanager
def held(database: Path) -> Iterator[None]:
    """The write lock, held by this process."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=10)) as holder:
        holder.execute("PRAGMA wal_autocheckpoint = 0")
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")


def moves(house: House, daemon: RunningDaemon) -> None:
    """Wait until the lock's file has a new time."""
    beat = None
    while lock_path(house.db).stat().st_mtime < 1_000_000_000:
        beat = daemon.next_beat(beat)


def test_a_frozen_daemon_is_told_by_every_face(house: House) -> None:
    """SIGSTOP: health and doctor fail, the others name it, all say what wakes it; and it does."""
    daemon = house.start()
    daemon.wait_for("job.logged", job_id=(running := house.enqueue("patient")))
    waiting = house.enqueue("quick", delay=3_600)
    daemon.freeze()  # perhaps while it holds the write lock, so nothing can be enqueued from now on
    wake = f"kill -CONT {daemon.pid}"
    assert wake in house.cli("health", expect=69)
    assert wake in house.cli("doctor", expect=1)
    assert wake in house.cli("explain", str(waiting))
    assert wake in house.cli("explain", str(running))
    assert "stands still" in (status := house.cli("status"))
    assert wake in status
    (problem,) = house.cli_json("status")["problems"]
    assert (problem["cause"], problem["next_command"]) == ("frozen_daemon", wake)
    assert wake in (top := house.cli("top", "--once"))
    assert "FROZEN" in top
    house.cli("workers")
    assert "is frozen" in house.said
    assert read(house.cli("metrics"))["jobd_up"].value() == 0
    daemon.thaw()
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    house.cli("health")
    assert read(house.cli("metrics"))["jobd_up"].value() == 1


def test_a_daemon_that_moves_shows_it_by_its_lock_file(house: House) -> None:
    """Its time is set anew, with the heartbeat; an old one is all that tells where nothing else
    does, as from another container."""
    daemon = house.start()
    os.utime(lock_path(house.db), (1, 1))
    moves(house, daemon)
    house.cli("health")


def test_without_proc_the_age_of_the_last_sign_tells(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen daemon of which only the lock can be seen is silent."""
    daemon = house.start()
    waiting = house.enqueue("quick", delay=3_600)
    daemon.freeze()
    nowhere = house.root / "nowhere"
    nowhere.write_text("")
    monkeypatch.setattr(kernel_locks, "LIST", nowhere)
    monkeypatch.setattr(presence, "LIST", nowhere)
    os.utime(lock_path(house.db), (1, 1))
    assert "no sign of life" in house.cli("health", expect=69)
    assert "no sign of life" in house.cli("explain", str(waiting))
    daemon.thaw()
    moves(house, daemon)
    house.cli("health")


def test_a_frozen_control_group_is_told_with_what_thaws_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process itself looks like one that sleeps."""
    own = Path(f"/proc/{os.getpid()}/cgroup").read_text().splitlines()
    name = next((line[3:].strip("/") for line in own if line.startswith("0::")), None)
    if name is None:
        pytest.skip("this machine has no unified control groups")
    group = tmp_path / name
    group.mkdir(parents=True, exist_ok=True)
    (group / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    (group / "cgroup.freeze").write_text("1\n")
    monkeypatch.setattr(presence, "_GROUPS", tmp_path)
    halt, waker = presence._halted(os.getpid())
    assert (halt, str(group) in str(waker)) == (presence.Halt.FREEZER, True)


def test_a_write_lock_that_somebody_holds_is_told_with_the_holder(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pid and what it was started as, by health, doctor, status and explain."""
    monkeypatch.setattr(presence, "HELD_FOR", 0.2)
    daemon = house.start()
    waiting = house.enqueue("quick", delay=3_600)
    pid = os.getpid()
    with held(house.db):
        for words, status in (("health", 1), ("doctor", 1), ("status", 0),
                              (f"explain {waiting}", 0)):
            said = house.cli(*words.split(), expect=status)
            assert f"pid {pid} (" in " ".join(said.split()), words
            assert f"ps -fp {pid}" in said
    house.cli("health")
    assert daemon.stop() == 0


def test_a_producer_that_commits_again_and_again_locks_nobody_out(house: House) -> None:
    """Who lets go in between is not told of, however often it writes."""
    house.start()

    def write(_seconds: float) -> None:
        house.enqueue("quick")

    with pytest.MonkeyPatch.context() as patch:
        # The producer waits by the real clock, or it would write while it waits to write.
        patch.setattr(presence, "clock", SimpleNamespace(**vars(clock) | {"pause": write}))
        patch.setattr(presence, "write_lock_holder", lambda _: os.getpid())
        house.cli("health")


HANDLERS = """
@job("deaf", timeout=0.1)
def deaf(gate):
    wait_at(gate)
"""


def test_why_a_daemon_ended_by_itself_is_told_by_who_looks_for_it(house: House) -> None:
    """Too many threads that would not stop: not only that it is gone, and of the job not that its
    daemon died."""
    house.handlers(HANDLERS)
    house.gate("shut")
    daemon = house.start(pool__max_stuck_threads=0, timing__zombie_hold="1h")
    job_id = house.enqueue("deaf", {"gate": "shut"})
    assert daemon.exit_status() == 75
    why = "1 thread that would not stop, and pool.max_stuck_threads allows 0"
    for words, status in (("health", 69), ("doctor", 1), ("status", 0), (f"explain {job_id}", 0)):
        said = " ".join(house.cli(*words.split(), expect=status).split())
        assert f"pid {daemon.pid} ended with exit status 75, because it had {why}" in said, words
    assert "would not stop when told to" in " ".join(house.cli("explain", str(job_id)).split())
    assert "LEFT" in (top := house.cli("top", "--once"))
    assert "its daemon is gone" in top


def test_a_worker_is_shown_with_a_job_that_lasts_and_without_one_that_ended(house: House) -> None:
    """Long before its next heartbeat; and health counts as the log does."""
    log = str(house.root / "jobd.log")
    house.write_config(log__file=log, timing__heartbeat="1h", timing__sweep_interval="50ms")
    house.launch("--workers", "2")
    gate = house.gate("shut")
    job_id = house.enqueue("gated", {"gate": "shut"})
    while not any(worker["job_id"] == job_id for worker in house.cli_json("workers")):
        assert house.status(job_id) in ("pending", "running")
    gate.open()
    assert house.queue.wait(job_id, timeout=20)["status"] == "completed"
    assert [worker["job_id"] for worker in house.cli_json("workers")] == [None, None]
    assert "0 of 2 workers busy" in house.cli("health")
    assert "of 2 workers busy" in house.cli("health", "--from-log", log)


def test_a_daemon_that_starts_is_not_told_as_one_that_works(house: House) -> None:
    """It holds the lock, and has not said which jobs it can run: nothing is set aside yet."""
    house.gate("shut")
    (house.code / "slow.py").write_text(f"open({str(house.gates / 'shut')!r}).read()\n")
    job_id = house.enqueue("quick")
    daemon = house.launch(module="slow")
    while f"starts, pid {daemon.pid}" not in house.cli("status"):
        assert daemon.process.poll() is None, daemon.account()
    said = " ".join(house.cli("explain", str(job_id)).split())
    assert "has not begun to work" in said
    assert "set aside" not in said
