"""Two daemons on one database: one is active, the others wait for the lock, whatever happens."""

import signal
import time

from tests.daemon.harness import House, overlaps

UNTIL_TOLD = """
def until_told():
    say("begun")
    while not (ROOT / "go").exists():
        time.sleep(0.01)

@job("timed", timeout=2)
def timed():
    until_told()

@job("stubborn")
def stubborn():
    until_told()
"""


def test_a_frozen_daemon_stays_the_owner_and_judges_no_time_it_slept(house: House) -> None:
    """SIGSTOP for longer than every limit: the waiting one does nothing, no false verdict after."""
    house.handlers(UNTIL_TOLD)
    active = house.start(timing__kill_grace="1500ms")
    second = house.launch()
    assert second.wait_stderr("waiting") == f"waiting: jobd pid {active.pid} is active"
    timed, told = house.enqueue("timed"), house.enqueue("stubborn")
    active.wait_for_all("job.logged", [timed, told])
    due_meanwhile = house.enqueue("patient", delay=1.0)
    house.queue.cancel(told)
    active.freeze()
    assert second.stays_silent(2.5)  # longer than timeout, kill_grace, zombie_hold and heartbeat
    last = active.log[-1]
    active.thaw()
    # Several sweeps look at both before they may end.
    beat = active.wait_for("pool.health", after=last)
    active.wait_for("pool.health", after=beat)
    assert (house.status(timed), house.status(told)) == ("running", "running")
    (house.root / "go").touch()
    active.wait_for("job.completed", job_id=timed, attempt=1)
    active.wait_for("job.completed", job_id=told, attempt=1)  # a success while running wins
    active.wait_for("job.logged", job_id=due_meanwhile)
    for event in ("job.timed_out", "job.zombified", "clock.stepped", "job.stray_found"):
        assert active.events(event) == []
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


def test_waiting_daemons_can_be_ended_by_a_signal(house: House) -> None:
    """While one waits for the lock SIGTERM or SIGINT ends it, without a traceback."""
    active = house.start()
    waiting = {number: house.launch() for number in (signal.SIGTERM, signal.SIGINT)}
    for number, daemon in waiting.items():
        daemon.wait_stderr("waiting")
        daemon.signal(number)
        daemon.exit_status(deadline=5)
        assert "Traceback" not in daemon.stderr
    assert active.process.poll() is None


def test_no_wait_exits_69_and_names_the_active_one(house: House) -> None:
    """`jobd run --no-wait` beside an active daemon says which one and exits 69."""
    active = house.start()
    second = house.launch("--no-wait")
    assert second.exit_status() == 69
    assert f"jobd pid {active.pid} is active" in second.stderr
    assert second.log == []
