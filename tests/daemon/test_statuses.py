"""Each of the nine statuses by real use, as the command line shows it."""

from tests.daemon.harness import House

STUCK = """
@job("stuck", timeout=0.2)
def stuck(gate: str = "shut"):
    wait_at(gate)

@job("breaks")
def breaks():
    raise OSError("broken")

@job("refuses")
def refuses():
    raise jobd.Fail("no such customer", failure_type="validation")
"""


def listed(house: House, status: str) -> list[int]:
    found = house.cli_json("list", "--status", status)
    assert {job["status"] for job in found} <= {status}
    return sorted(job["id"] for job in found)


def test_pending_running_completed_and_cancelled(house: House) -> None:
    """A job waits, one runs, one completes, one is called off."""
    daemon = house.start("--workers", "2")
    gate = house.gate("shut")
    completed = int(house.cli("enqueue", "quick", "--payload", '{"n": 5}', "-q"))
    running = int(house.cli("enqueue", "gated", "--payload", '{"gate": "shut"}', "-q"))
    pending = int(house.cli("enqueue", "quick", "--in", "1h", "-q"))
    cancelled = int(house.cli("enqueue", "quick", "--in", "1h", "-q"))
    house.cli("cancel", str(cancelled))
    daemon.wait_for("job.completed", job_id=completed)
    daemon.wait_for("job.logged", job_id=running)
    assert listed(house, "completed") == [completed]
    assert listed(house, "running") == [running]
    assert listed(house, "pending") == [pending]
    assert listed(house, "cancelled") == [cancelled]
    gate.open()
    daemon.wait_for("job.completed", job_id=running)
    shown = house.cli_json("show", str(running))
    assert (shown["status"], shown["result"]) == ("completed", "through")


def test_retrying_failed_and_dead_letter(house: House) -> None:
    """A failure waits for its retry, one whose policy gives up failed, one is parked."""
    house.handlers(STUCK)
    daemon = house.start(retry__system__initial_delay="1h", retry__system__max_delay="1h",
                         retry__unknown__exhausted="failed")
    retrying = house.enqueue("breaks")
    parked = house.enqueue("refuses")
    daemon.wait_for("job.retry_scheduled", job_id=retrying)
    daemon.wait_for("job.dead_lettered", job_id=parked)
    assert listed(house, "retrying") == [retrying]
    assert listed(house, "dead_letter") == [parked]
    assert daemon.stop() == 0
    daemon = house.start(retry__system__max_retries=0, retry__system__exhausted="failed")
    failed = house.enqueue("breaks")
    daemon.wait_for("job.failed", job_id=failed)
    assert listed(house, "failed") == [failed]
    house.cli("retry", str(retrying))
    daemon.wait_for("job.failed", job_id=retrying)
    assert listed(house, "failed") == [retrying, failed]


def test_timeout_and_zombie(house: House) -> None:
    """A thread that does not stop is shown as timeout until kill_grace is over, then as zombie."""
    house.handlers(STUCK)
    gate = house.gate("shut")
    daemon = house.start(timing__kill_grace="800ms", timing__zombie_hold="30s")
    job_id = house.enqueue("stuck")
    daemon.wait_for("job.timed_out", job_id=job_id)
    assert listed(house, "timeout") == [job_id]
    daemon.wait_for("job.zombified", job_id=job_id)
    assert listed(house, "zombie") == [job_id]
    counted = house.cli_json("status")["jobs"]
    assert counted["zombie"] == 1
    assert sorted(counted) == sorted(
        ["pending", "running", "timeout", "zombie", "retrying", "completed", "failed",
         "dead_letter", "cancelled"])
    gate.open()
    daemon.wait_for("job.late_result", job_id=job_id)
