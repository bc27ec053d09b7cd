"""What the torture found, each as a test of its own."""

import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jobd import Queue
from jobd.core.config import Config
from jobd.core.new_job import new_job
from jobd.daemon.batch_feed import BatchFeed
from jobd.daemon.frames import Frames
from jobd.daemon.hand import Hand
from jobd.daemon.kept_code import BEGIN, handed
from jobd.daemon.run_process import _settings
from jobd.store import opening
from jobd.store.enqueue import enqueue
from jobd.store.migrations import MIGRATIONS
from jobd.store.schema import build
from tests.daemon.harness import House

TRIES = 8
"""Starts that are stopped at once; each may hit the moment between a claim and its hand-over."""


def test_an_isolated_child_ends_silently_when_its_daemon_dies_while_it_imports() -> None:
    """Nobody is left to be told that it is ready: no traceback in the log's other stream."""
    (work, its_work), (control, its_control) = socket.socketpair(), socket.socketpair()
    Frames(work).send("jobd.db", "1-aa", sys.path, [], _settings(Config()))
    work.close()
    ends = (handed(), its_work.fileno(), its_control.fileno())
    with its_work, its_control, control, open(ends[0], "rb"):
        done = subprocess.run(
            [sys.executable, "-P", "-c", BEGIN, *map(str, ends)], pass_fds=ends,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False,
        )
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_a_stop_during_the_first_claim_charges_nothing(tmp_path: Path) -> None:
    """SIGTERM comes while a starting daemon claims: what it claimed is back in line, uncharged."""
    with House(tmp_path) as house:
        house.handlers("")
        ids = [house.enqueue("patient") for _ in range(4)]
        for _ in range(TRIES):
            daemon = house.launch()
            daemon.wait_for("daemon.started")
            assert daemon.stop() == 0
        house.start().stop()
        kept = house.rows("SELECT job_id, failure_type FROM job_attempts WHERE failure_type <> ''")
        assert [tuple(row) for row in kept] == []
        assert {house.job(job_id)["rescue_count"] for job_id in ids} == {0}


def test_a_claim_that_is_just_committed_is_known() -> None:
    """The sweep for strays never sees a job that executes by the database and is not known."""
    db = build(MIGRATIONS)
    job_id = enqueue(db, new_job("quick", {}, {}, 1, 1_000), 1)
    crew: Any = SimpleNamespace(queue_room=lambda _: {}, handlers={"quick"},
                                attempts=lambda claimed, _: [
                                    SimpleNamespace(job=job) for job in claimed.jobs])
    pool: Any = SimpleNamespace(size=1, stuck_count=lambda: 0, hand_over=lambda _: None,
                                wake=lambda _: None)
    hand = Hand(pool, crew)
    claimed, _ = hand.claim(db, [], 0.0, BatchFeed(crew), "1-aa", 2)
    before = hand.known()
    hand.take(db, claimed, 0.0)
    assert before == hand.known() == {job_id}
    db.close()


def test_a_second_sigterm_in_the_last_moment_changes_nothing(tmp_path: Path) -> None:
    """It comes while the daemon writes its last lines: the exit status is the documented one."""
    with House(tmp_path) as house:
        house.handlers("")
        for _ in range(TRIES):
            daemon = house.start()
            daemon.signal(signal.SIGTERM)
            daemon.wait_for("daemon.drained")
            daemon.signal(signal.SIGTERM)
            assert daemon.exit_status() == 0


def test_a_new_database_that_another_process_is_making_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its maker may take the lock in the middle of our opening, for longer than one try."""
    path, admit = tmp_path / "jobd.db", opening._admit
    maker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    done = threading.Timer(0.5, lambda: maker.execute("ROLLBACK"))

    def admit_late(*args: Any) -> None:
        if not done.is_alive() and not done.finished.is_set():
            maker.execute("BEGIN EXCLUSIVE")
            done.start()
        admit(*args)

    monkeypatch.setattr(opening, "_admit", admit_late)
    with Queue(path) as queue:
        assert queue.enqueue("quick") == 1
    done.join()
    maker.close()
