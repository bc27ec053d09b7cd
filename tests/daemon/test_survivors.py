"""Commands of a daemon that was killed: ended, rescued, run again, and never beside themselves."""

import os
import shutil
import signal
import time
from collections.abc import Iterator

import pytest

from tests.daemon.harness import House, RunningDaemon
from tests.daemon.villain import Villain, until

KILL_GRACE = 0.15
SLACK = 1.5
"""What the machine may add: twenty interpreters end on two cores; more where it is so busy that
they took long to start."""


@pytest.fixture
def villain(house: House) -> Iterator[Villain]:
    house.write_config(retry__worker_lost__initial_delay="10ms", timing__kill_grace="150ms")
    made = Villain(house)
    yield made
    made.put_away()


def restarted(house: House, villain: Villain, *args: str) -> tuple[RunningDaemon, float]:
    """Kill the daemon and start another; it, and how long anything of the first was left."""
    house.daemons[-1].kill()
    orphans = set(villain.left())
    assert orphans, "nothing outlived the daemon, so this proves nothing"
    daemon = house.start(*args)
    ready = time.monotonic()
    until(lambda: not orphans & set(villain.left()))
    return daemon, time.monotonic() - ready


def check_rescued(house: House, villain: Villain, ids: list[int]) -> None:
    jobs = [house.job(job_id) for job_id in ids]
    assert [(job["status"], job["attempt"], job["rescue_count"], job["execution_over"])
            for job in jobs] == [("completed", 2, 1, 1)] * len(ids)
    assert villain.overlaps() == []
    assert villain.left() == []


@pytest.mark.parametrize("kind", ["session", "deaf-session"])
def test_twenty_commands_of_a_killed_daemon_are_ended_and_run_again(
    house: House, villain: Villain, kind: str
) -> None:
    """Programs with children in sessions of their own: none is left in time, none overlaps."""
    first = house.start("--workers", "20")
    began = time.monotonic()
    ids = [villain.exec("once", kind, "sleep") for _ in range(20)]
    villain.wait_up(40)
    starting = time.monotonic() - began
    second, took = restarted(house, villain, "--workers", "4")
    assert took < KILL_GRACE + 1 + max(SLACK, 3 * starting)
    second.wait_for_all("job.completed", ids)
    check_rescued(house, villain, ids)
    assert first.pid != second.pid


def test_what_commands_of_a_killed_daemon_started_is_ended_before_the_next_attempt(
    house: House, villain: Villain
) -> None:
    """Children in the group, deaf ones, daemons without descriptors, one without environment."""
    kinds = ("child", "deaf-child", "daemon", "bare")
    house.start()
    ids = [villain.exec("once", kind, "sleep") for kind in kinds]
    villain.wait_up(2 * len(kinds))
    second, _ = restarted(house, villain)
    second.wait_for_all("job.completed", ids)
    check_rescued(house, villain, ids)


def test_a_database_behind_a_symbolic_link_makes_no_difference(
    house: House, villain: Villain
) -> None:
    """/proc names the lock by its real path, whatever path the daemon was given."""
    (house.root / "real").mkdir()
    (house.root / "link").symlink_to("real")
    house.db = house.root / "link" / "jobd.db"
    house.start()
    job_id = villain.exec("once", "bare", "sleep")
    villain.wait_up(2)
    second, _ = restarted(house, villain)
    second.wait_for("job.completed", job_id=job_id)
    check_rescued(house, villain, [job_id])


def test_an_attempt_whose_lock_is_held_is_not_over_though_nobody_is_found(
    house: House, villain: Villain
) -> None:
    """A survivor that changes its pid faster than /proc is read: no attempt runs beside it."""
    house.start()
    job_id = villain.exec("once", "chain", "sleep")
    villain.wait_up(2)
    house.daemons[-1].kill()
    os.kill(int(villain.notes("begin")[0][2]), signal.SIGKILL)
    assert house.wait_until_all_ended(house.start())
    assert villain.overlaps() == []
    assert house.job(job_id)["attempt"] == 2


def test_stopping_survivors_delays_neither_ready_nor_other_jobs(
    house: House, villain: Villain
) -> None:
    """While a program that ignores SIGTERM has its grace, the daemon is ready and works."""
    house.start(timing__kill_grace="1500ms")
    haunted = villain.exec("once", "deaf", "sleep")
    villain.wait_up(1)
    house.daemons[-1].kill()
    second = house.start()
    second.wait_for("job.completed", job_id=house.enqueue("quick"))
    second.wait_for("job.completed", job_id=int(house.cli("exec", "-q", "--", "true")))
    assert villain.left() == villain.ups()
    assert house.status(haunted) == "zombie"
    second.wait_for("job.completed", job_id=haunted)
    check_rescued(house, villain, [haunted])


LOCKER = """
import sqlite3
held = []

@job("locker")
def locker():
    if not (ROOT / "locked-once").exists():
        db = sqlite3.connect(ROOT / "jobd.db", timeout=10, isolation_level=None)
        query = "SELECT status FROM job_queue WHERE id = ?"
        if db.execute(query, [jobd.current_job().id + 1]).fetchone() == ("running",):
            db.execute("BEGIN IMMEDIATE")
            held.append(db)  # the transaction stays open when the handler has returned
            (ROOT / "locked").touch()
            (ROOT / "locked-once").touch()
"""


def test_a_command_whose_start_was_not_yet_on_disk_is_ended_too(
    house: House, villain: Villain
) -> None:
    """Taken from the buffer while the database was locked: by its row it has never begun."""
    house.handlers(LOCKER)
    words = ("once", f"only-with={house.root}/locked", "sleep")
    pairs = [pair for _ in range(10)
             for pair in (("locker", {}), ("exec", {"argv": villain.argv(*words)}))]
    daemon, ids = house.start("--workers", "1"), []
    while not villain.ups():
        # Where the machine is so busy that jobs are not short, nothing is buffered: once more.
        ids += house.queue.enqueue_many([("quick", {})] * 400 + pairs)
        until(lambda: villain.ups() or house.all_ended())
    running = house.rows("SELECT id, started_at FROM job_queue WHERE status = 'running' AND id = ?",
                         int(villain.notes("up")[0][0]))
    assert [row["started_at"] for row in running] == [None]
    daemon.kill()
    (house.root / "locked").unlink()
    assert house.wait_until_all_ended(house.start("--workers", "1"))
    assert villain.overlaps() == []
    assert villain.left() == []
    assert {house.status(int(job_id)) for job_id in ids} == {"completed"}


def test_a_kill_while_survivors_are_being_ended_rescues_once(
    house: House, villain: Villain
) -> None:
    """A second daemon, killed in the survivors' grace, leaves them to the third; one rescue."""
    house.start(timing__kill_grace="1s")
    ids = [villain.exec("once", "deaf-session", "deaf", "sleep") for _ in range(3)]
    villain.wait_up(6)
    house.daemons[-1].kill()
    house.start()
    assert len(villain.left()) == 6
    third, _ = restarted(house, villain)
    third.wait_for_all("job.completed", ids)
    check_rescued(house, villain, ids)


@pytest.mark.parametrize(("verb", "status"), [("cancel", "cancelled"), ("release", "completed")])
def test_a_request_for_a_command_of_a_dead_daemon_waits_for_its_end(
    house: House, villain: Villain, verb: str, status: str
) -> None:
    """Asked while nobody runs: carried out by the next daemon, when nothing is left."""
    house.start()
    job_id = villain.exec("once", "deaf", "sleep")
    villain.wait_up(1)
    house.daemons[-1].kill()
    house.cli(verb, str(job_id))
    daemon = house.start()
    gone = daemon.wait_for("job.cancelled" if verb == "cancel" else "job.released", job_id=job_id)
    assert gone["attempt"] == 1
    assert house.wait_until_all_ended(daemon)
    job = house.job(job_id)
    assert (job["status"], job["rescue_count"], job["execution_over"]) == (status, 0, 1)
    assert villain.left() == villain.overlaps() == []


CANNOT_KILL = ("setpriv", "--bounding-set=-kill", "--inh-caps=-kill")


def start_unable_to_kill(house: House) -> RunningDaemon:
    """A daemon that may signal only processes of its own user."""
    argv = house.argv("run", "--handlers", "handlers", "--path", str(house.code))
    return house.run([*CANNOT_KILL, *argv], house.env).wait_ready()


def can_be_unable() -> bool:
    return os.geteuid() == 0 and shutil.which("setpriv") is not None


@pytest.mark.skipif(not can_be_unable(), reason="only root can start a process of another user")
@pytest.mark.parametrize("how", ["cancelled", "failed", "orphaned"])
def test_a_survivor_that_cannot_be_killed_keeps_its_job(
    house: House, villain: Villain, how: str
) -> None:
    """Zombie, then dead_letter naming the pid; no retry while it lives, a retry when it is gone."""
    daemon = start_unable_to_kill(house)
    last = ["ups=1", "exit=1"] if how == "failed" else ["sleep"]
    job_id = villain.exec("once", "stranger", *last)
    villain.wait_up(1 + (how != "failed"))
    (stranger,) = (int(pid) for pid in villain.ups() if os.stat(f"/proc/{pid}").st_uid)
    if how == "cancelled":
        house.cli("cancel", str(job_id))
    if how == "orphaned":
        daemon.kill()
        daemon = start_unable_to_kill(house)
    until(lambda: house.status(job_id) == "zombie")
    parked = daemon.wait_for("job.dead_lettered", job_id=job_id)
    for reason in (parked["reason"], house.job(job_id)["dead_letter_reason"]):
        assert reason.startswith("still executing")
        assert f"pid {stranger}" in reason
    assert house.job(job_id)["execution_over"] == 0
    house.cli("retry", str(job_id), expect=1)
    daemon.wait_for("job.completed", job_id=int(house.cli("exec", "-q", "--", "true")))
    os.kill(stranger, signal.SIGKILL)
    until(lambda: house.job(job_id)["execution_over"])
    house.cli("retry", str(job_id))
    daemon.wait_for("job.completed", job_id=job_id, attempt=2)
    assert villain.overlaps() == []
