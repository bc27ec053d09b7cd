"""The wall clock is stepped under a running daemon: no false verdict, no wait for the old time."""

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
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
        self.step_to(0)
        self.env = {"LD_PRELOAD": str(library), "CLOCK_SHIM": str(file)}

    def step_to(self, seconds: float) -> None:
        """One write of eight bytes, into the same file: its pages are mapped."""
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT)
        os.pwrite(descriptor, struct.pack("=q", round(seconds * 1e9)), 0)
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
    """Back an hour, ahead an hour, ahead ten years, and right again: what runs goes on, a real
    timeout is still given, heartbeats come, nothing spins."""
    daemon = house.start("--workers", "3", env=wall.env)
    running = house.enqueue("listens", timeout=300)
    daemon.wait_for("job.logged", job_id=running)
    stepped, was = None, 0.0
    for seconds in (-HOUR, HOUR, TEN_YEARS, 0.0):
        wall.step_to(seconds)
        stepped = daemon.wait_for("clock.stepped", after=stepped)
        assert abs(stepped["moved_ms"] - 1000 * (seconds - was)) < 2000
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

