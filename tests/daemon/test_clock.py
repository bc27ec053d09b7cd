"""The wall clock is stepped under a running daemon: no false verdict, no wait for the old time."""

import os
import shutil
import sqlite3
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.daemon.harness import House, RunningDaemon

HOUR = 3600.0
TEN_YEARS = 10 * 365.25 * 24 * HOUR
COMPILER = shutil.which("cc") or shutil.which("gcc")

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler for the clock shim")

HANDLERS = """
@job("listens")
def listens():
    say("begun")
    jobd.current_job().sleep(60)

@job("fails_once")
def fails_once():
    if jobd.current_job().attempt == 1:
        raise OSError
"""


class WallClock:
    """The offset of a daemon's wall clock, which a test may step while it runs."""

    def __init__(self, file: Path, library: Path) -> None:
        self._file = file
        self._file.write_bytes(bytes(16))
        self.env = {"LD_PRELOAD": str(library), "CLOCK_SHIM": str(file)}

    def step_to(self, seconds: float) -> None:
        """One write of eight bytes, into the same file: its pages are mapped."""
        self._write(struct.pack("=q", round(seconds * 1e9)))

    def suspend(self, seconds: float) -> None:
        """As after a sleep of the machine: all clocks have gone on, but the monotonic one."""
        self._write(struct.pack("=qq", *[round(seconds * 1e9)] * 2))

    def _write(self, content: bytes) -> None:
        descriptor = os.open(self._file, os.O_WRONLY)
        os.pwrite(descriptor, content, 0)
        os.close(descriptor)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("shim") / "clock_shim.so"
    source = Path(__file__).with_name("clock_shim.c")
    assert COMPILER is not None
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", built, source], check=True)
    return built


@pytest.fixture
def wall(house: House, library: Path) -> Iterator[WallClock]:
    house.handlers(HANDLERS)
    return WallClock(house.root / "offset", library)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def a_timeout_is_still_given(house: House, daemon: RunningDaemon) -> None:
    job_id = house.enqueue("listens", timeout=0.2, max_retries=0)
    daemon.wait_for("job.timed_out", job_id=job_id, deadline=5)
    daemon.wait_for("job.dead_lettered", job_id=job_id, deadline=5)


def test_steps_make_no_false_verdict_and_stop_no_sweep(house: House, wall: WallClock) -> None:
    """Back an hour, ahead eight hours, ahead ten years, and right again: what runs goes on, a
    real timeout is still given, heartbeats come, nothing spins."""
    daemon = house.start("--workers", "3", env=wall.env)
    running = house.enqueue("listens", timeout=300)
    daemon.wait_for("job.logged", job_id=running)
    stepped, was = None, 0.0
    for seconds in (-HOUR, 8 * HOUR, TEN_YEARS, 0.0):
        wall.step_to(seconds)
        stepped = daemon.wait_for("clock.stepped", after=stepped)
        assert abs(stepped["moved_ms"] - 1000 * (seconds - was)) < 2000
        assert stepped["suspended_ms"] == 0
        was, before = seconds, cpu_seconds(daemon.pid)
        beat = daemon.wait_for("pool.health", after=stepped)
        a_timeout_is_still_given(house, daemon)
        beat = daemon.wait_for("pool.health", after=beat)
        daemon.wait_for("pool.health", after=beat)
        assert cpu_seconds(daemon.pid) - before < 0.8
    assert daemon.events("job.timed_out", job_id=running) == []
    assert daemon.events("job.zombified") == []
    assert len(daemon.events("clock.stepped")) == 4
    assert house.status(running) == "running"
    told = house.enqueue("listens")
    daemon.wait_for("job.logged", job_id=told)
    house.cli("cancel", str(told))
    daemon.wait_for("job.cancelled", job_id=told)


def test_a_step_to_and_fro_that_nobody_noticed_stops_no_sweep(
    house: House, wall: WallClock
) -> None:
    """A heartbeat fell into the moment in which the clock was an hour ahead: the next comes soon,
    and not in an hour."""
    daemon = house.start(env=wall.env, timing__heartbeat="100ms")
    beat = daemon.wait_for("pool.health")
    for _ in range(3):
        between = datetime.fromisoformat(beat["timestamp"]) + timedelta(seconds=HOUR / 2)
        wall.step_to(HOUR)
        while datetime.fromisoformat(beat["timestamp"]) < between:
            beat = daemon.wait_for("pool.health", after=beat)
        wall.step_to(0)
        while datetime.fromisoformat(beat["timestamp"]) > between:
            beat = daemon.wait_for("pool.health", after=beat, deadline=10)
    a_timeout_is_still_given(house, daemon)


def test_a_retry_after_a_step_back_waits_no_longer_than_its_own_delay(
    house: House, wall: WallClock
) -> None:
    """The clock goes back an hour while a retry waits: it still comes within its delay."""
    wall.step_to(HOUR)
    daemon = house.start(env=wall.env, retry__system__initial_delay="800ms")
    job_id = house.enqueue("fails_once")
    daemon.wait_for("job.retry_scheduled", job_id=job_id)
    wall.step_to(0)
    daemon.wait_for("clock.stepped")
    daemon.wait_for("job.completed", job_id=job_id, attempt=2, deadline=3)
    first, second = house.spans(job_id)
    assert first.ended is not None
    assert 0.7 < second.began - first.ended < 3


def test_a_step_forward_makes_due_what_waits_for_a_time(house: House, wall: WallClock) -> None:
    """Due times follow the wall clock: a job for in an hour runs when the clock says so."""
    daemon = house.start(env=wall.env)
    job_id = house.enqueue("quick", delay="50m")
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    wall.step_to(HOUR)
    daemon.wait_for("job.completed", job_id=job_id, deadline=5)


def test_a_step_back_before_a_restart_keeps_no_retry_waiting(
    house: House, wall: WallClock
) -> None:
    """The clock was an hour ahead when the retry was planned, and right at the next start."""
    wall.step_to(HOUR)
    daemon = house.start(env=wall.env, retry__system__initial_delay="500ms")
    job_id = house.enqueue("fails_once")
    daemon.wait_for("job.retry_scheduled", job_id=job_id)
    daemon.kill()
    wall.step_to(0)
    again = house.start(env=wall.env)
    again.wait_for("job.completed", job_id=job_id, attempt=2, deadline=5)


def no_false_verdict(daemon: RunningDaemon, *running: int) -> None:
    for job_id in running:
        assert daemon.events("job.timed_out", job_id=job_id) == []
    assert daemon.events("job.zombified") == daemon.events("job.stray_found") == []


def no_negative_duration(daemon: RunningDaemon) -> None:
    """Whatever the wall clock did, nothing lasted less than no time."""
    for line in daemon.log:
        keys = [key for key in line if key.endswith("_ms") and key != "moved_ms"]
        assert all((line[key] or 0) >= 0 for key in keys), line


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_a_suspended_machine_is_told_from_a_step(
    house: House, wall: WallClock, isolation: str
) -> None:
    """It slept for eight hours: no verdict about that time, what became due runs at once, and
    `clock.stepped` says that it was a sleep."""
    daemon = house.start("--workers", "2", env=wall.env, pool__isolation=isolation)
    running = house.enqueue("listens", timeout=300)
    due = house.enqueue("quick", delay="3h")
    later = house.enqueue("quick", delay="9h")
    daemon.wait_for("job.logged", job_id=running)
    wall.suspend(8 * HOUR)
    stepped = daemon.wait_for("clock.stepped")
    assert abs(stepped["moved_ms"] - 8 * HOUR * 1000) < 2000
    assert abs(stepped["suspended_ms"] - 8 * HOUR * 1000) < 2000
    daemon.wait_for("job.completed", job_id=due)
    a_timeout_is_still_given(house, daemon)
    no_false_verdict(daemon, running)
    no_negative_duration(daemon)
    assert house.status(running) == "running"
    assert house.status(later) == "pending"


@pytest.mark.parametrize("year", [1970, 2001, 2099])
def test_a_wrong_year_at_boot(house: House, wall: WallClock, year: int) -> None:
    """Jobs run, fail, are retried and time out under it; then the clock is set right: no false
    verdict, retries come within their delay, what is for later waits for the right time."""
    now = time.time()
    wall.step_to((year - 1970) * 365.25 * 24 * HOUR - now + 60)
    daemon = house.start("--workers", "3", env=wall.env, retry__system__initial_delay="300ms")
    running = house.enqueue("listens", timeout=300)
    failing = house.enqueue("fails_once")
    later = house.enqueue("quick", delay="1h")
    daemon.wait_for("job.logged", job_id=running)
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    daemon.wait_for("job.completed", job_id=failing, attempt=2)
    a_timeout_is_still_given(house, daemon)
    if year < 2026:
        assert house.status(later) == "pending"
    else:
        daemon.wait_for("job.completed", job_id=later)  # by the clock it is due
    again = house.enqueue("fails_once")
    daemon.wait_for("job.retry_scheduled", job_id=again)
    wall.step_to(0)
    stepped = daemon.wait_for("clock.stepped")
    assert (stepped["moved_ms"] > 0) == (year < 2026)
    daemon.wait_for("job.completed", job_id=again, attempt=2)
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    no_false_verdict(daemon, running)
    no_negative_duration(daemon)
    assert house.status(later) == ("pending" if year < 2026 else "completed")
    assert daemon.stop() == 0


@pytest.mark.parametrize("change", ["2026-10-25T01:00:00Z", "2027-03-28T01:00:00Z"])
def test_the_change_of_summer_time_is_no_step(
    house: House, wall: WallClock, change: str
) -> None:
    """The local clocks go back, or ahead, an hour: the wall clock does not move, jobs that are
    due on either side of it run in time, each once, in order."""
    moment = datetime.fromisoformat(change).timestamp()
    wall.step_to(moment - time.time() - 2)
    daemon = house.start("--workers", "2", env={**wall.env, "TZ": "Europe/Berlin"},
                         retry__system__initial_delay="2s")
    running = house.enqueue("listens", timeout=60)
    ids = [house.enqueue("quick") for _ in range(2)]
    with closing(sqlite3.connect(house.db, isolation_level=None)) as db:
        for number, job_id in enumerate(ids):
            due = round(1000 * (moment + 0.3 + number * 0.3))
            db.execute("UPDATE job_queue SET scheduled_at = ?, due_at = ?, ready = 0 WHERE id = ?"
                       " AND status = 'pending'", (due, due, job_id))
    failing = house.enqueue("fails_once")
    daemon.wait_for_all("job.completed", [*ids, failing])
    assert daemon.events("clock.stepped") == []
    no_false_verdict(daemon, running)
    no_negative_duration(daemon)
    assert all(len(house.spans(job_id)) == 1 for job_id in ids)
    retried = daemon.events("job.retry_scheduled", job_id=failing)[0]
    done = daemon.events("job.completed", job_id=failing)[0]
    assert retried["next_retry_at"] <= done["started_at"]
