"""Two daemons on one database: one is active, the others wait for the lock, whatever happens."""

import signal
import threading
import time

import pytest

from tests.daemon.harness import House, overlaps

LONG_ENOUGH = """
@job("on_the_way", timeout=1.5)
def on_the_way(seconds: float):
    say("begun")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)

@job("stubborn")
def stubborn(seconds: float):
    on_the_way.function.__wrapped__(seconds)
"""


def freeze_past_every_window(house: House, seconds: float) -> None:
    threading.Event().wait(seconds)


def test_a_frozen_daemon_stays_the_owner_and_judges_no_time_it_slept(house: House) -> None:
    """SIGSTOP for longer than every limit: the waiting one does nothing, no false verdict after."""
    house.handlers(LONG_ENOUGH)
    active = house.start(timing__kill_grace="800ms")
    timed = house.enqueue("on_the_way", {"seconds": 0.7})
    told = house.enqueue("stubborn", {"seconds": 0.7})
    waiting_job = house.enqueue("patient", delay=1.0)
    for job_id in (timed, told):
        active.wait_for("job.logged", job_id=job_id)
    second = house.launch()
    assert second.wait_stderr("waiting") == f"waiting: jobd pid {active.pid} is active"
    house.queue.cancel(told)
    active.freeze()
    freeze_past_every_window(house, 2.2)
    assert second.log == []
    active.thaw()
    active.wait_for("job.completed", job_id=timed)
    ended = active.wait_for("job.completed", job_id=told)  # a success while running wins
    active.wait_for("job.logged", job_id=waiting_job)
    assert active.events("job.timed_out") == active.events("job.zombified") == []
    assert active.events("clock.stepped") == []
    assert ended["attempt"] == 1
    assert second.log == []
    assert second.process.poll() is None


def test_the_waiting_daemon_takes_over_when_the_active_one_dies(house: House) -> None:
    """The kernel frees the lock at the death; the job in hand is rescued, with no overlap."""
    gate = house.gate("shut")
    active = house.start()
    job_id = house.enqueue("gated", {"gate": "shut"})
    active.wait_for("job.logged", job_id=job_id)
    second = house.launch()
    second.wait_stderr("waiting")
    active.freeze()
    died = time.monotonic()
    active.kill()
    gate.open()
    second.wait_ready()
    second.wait_for("job.completed", job_id=job_id, attempt=2)
    rescued = second.events("job.retry_scheduled", job_id=job_id)
    assert [line["failure_type"] for line in rescued] == ["worker_lost"]
    assert overlaps(house.spans(), {active.pid: died}) == []
    assert house.job(job_id)["rescue_count"] == 1


def test_a_waiting_daemon_takes_over_after_a_clean_stop(house: House) -> None:
    """A stop of the active one is a hand-over: the second is ready at once."""
    active = house.start()
    second = house.launch()
    second.wait_stderr("waiting")
    assert active.stop() == 0
    second.wait_ready()
    job_id = house.enqueue("quick", {"n": 7})
    second.wait_for("job.completed", job_id=job_id)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_waiting_daemon_can_be_ended_by_a_signal(house: House, number: int) -> None:
    """While it waits for the lock a signal ends it, without a traceback."""
    active = house.start()
    second = house.launch()
    second.wait_stderr("waiting")
    second.signal(number)
    second.exit_status(deadline=5)
    assert "Traceback" not in second.stderr
    assert active.process.poll() is None


def test_no_wait_exits_69_and_names_the_active_one(house: House) -> None:
    """`jobd run --no-wait` beside an active daemon says which one and exits 69."""
    active = house.start()
    second = house.launch("--no-wait")
    assert second.exit_status() == 69
    assert f"jobd pid {active.pid} is active" in second.stderr
    assert second.log == []
