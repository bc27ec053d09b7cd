"""normal, potentially_stuck, unhealthy: what a worker is called, and with which job."""

import pytest

from tests.daemon.harness import House

HANDLERS = """
@job("reports")
def reports(gate: str):
    jobd.current_job().progress(1, 2)
    say("reported")
    wait_at(gate)
    jobd.current_job().progress(2, 2)
    say("went on")
    wait_at(gate + "-2")

@job("overlong", timeout=0.2)
def overlong(gate: str):
    wait_at(gate)
"""


@pytest.fixture
def watched(house: House) -> House:
    house.handlers(HANDLERS)
    return house


def test_a_handler_that_stops_reporting_may_be_stuck(watched: House) -> None:
    """Only after timing.stuck_after, and no longer than until it reports again."""
    gate, second = watched.gate("a"), watched.gate("a-2")
    daemon = watched.start(timing__stuck_after="600ms")
    job_id = watched.enqueue("reports", {"gate": "a"})
    said = daemon.wait_for("job.logged", message="reported")
    normal = daemon.wait_for("worker.heartbeat", after=said, job_id=job_id)
    assert (normal["health"], normal["stuck_job_id"]) == ("normal", None)
    stuck = daemon.wait_for("worker.heartbeat", job_id=job_id, health="potentially_stuck")
    assert stuck["stuck_job_id"] == job_id
    gate.open()
    well = daemon.wait_for("worker.heartbeat", after=stuck, job_id=job_id, health="normal")
    assert well["stuck_job_id"] is None
    second.open()


def test_a_handler_that_reports_nothing_is_not_suspected(watched: House) -> None:
    """Silence says something only of who reports progress."""
    gate = watched.gate("shut")
    daemon = watched.start(timing__stuck_after="100ms")
    job_id = watched.enqueue("gated", {"gate": "shut"})
    beat = daemon.wait_for("worker.heartbeat", job_id=job_id)
    for _ in range(3):
        beat = daemon.wait_for("worker.heartbeat", after=beat, job_id=job_id)
        assert beat["health"] == "normal"
    gate.open()


def test_a_job_that_does_not_stop_makes_its_worker_unhealthy(watched: House) -> None:
    """Told to stop it is potentially stuck; after kill_grace unhealthy; `jobd workers` shows it."""
    gate = watched.gate("shut")
    daemon = watched.start(timing__kill_grace="1s", timing__zombie_hold="1h")
    job_id = watched.enqueue("overlong", {"gate": "shut"})
    told = daemon.wait_for("worker.heartbeat", job_id=job_id, health="potentially_stuck")
    bad = daemon.wait_for("worker.heartbeat", after=told, job_id=job_id, health="unhealthy")
    assert (told["stuck_job_id"], bad["stuck_job_id"]) == (job_id, job_id)
    daemon.wait_for("pool.health", after=bad)
    shown = {each["stuck_job_id"]: each for each in watched.cli_json("workers")}
    assert shown[job_id]["health_status"] == "unhealthy"
    assert {each["health_status"] for each in shown.values()} == {"unhealthy", "normal"}
    gate.open()
    late = daemon.wait_for("job.late_result", job_id=job_id)
    daemon.wait_for("pool.health", after=daemon.wait_for("pool.health", after=late))
    assert {each["health_status"] for each in watched.cli_json("workers")} == {"normal"}


def test_the_table_tells_before_the_next_heartbeat(watched: House) -> None:
    """The sweep that finds a worker unhealthy writes it, however long the heartbeat is away."""
    watched.gate("shut")
    daemon = watched.start(timing__heartbeat="1h", timing__zombie_hold="1h")
    job_id = watched.enqueue("overlong", {"gate": "shut"})
    daemon.wait_for("alert.raised", cause="unhealthy_worker", job_id=job_id)
    watched.queue.wait(watched.enqueue("quick"), timeout=20)
    found = {each["stuck_job_id"]: each["health_status"] for each in watched.cli_json("workers")}
    assert found[job_id] == "unhealthy"
