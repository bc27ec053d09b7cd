"""cancel, release and retry of a job that runs: the table of requests, seen from outside."""

import pytest

from tests.daemon.harness import House

OUTCOMES = {"cancel": ("job.cancelled", "cancelled"), "release": ("job.released", "pending")}

HANDLERS = """
@job("heeds")
def heeds():
    say("begun")
    jobd.current_job().sleep(60)

@job("finishes")
def finishes(gate: str):
    say("begun")
    jobd.current_job().stopping.wait(60)
    wait_at(gate)
    return "done anyway"

@job("fails_then")
def fails_then():
    say("begun")
    jobd.current_job().stopping.wait(60)
    raise OSError("upset by the stop")
"""


@pytest.fixture
def asked(house: House) -> House:
    house.handlers(HANDLERS)
    return house


def test_a_job_that_heeds_a_cancel_is_cancelled(asked: House) -> None:
    """`Stopped` after cancel: cancelled; asking again says that it has already ended."""
    daemon = asked.start()
    job_id = asked.enqueue("heeds")
    daemon.wait_for("job.logged", job_id=job_id)
    said = asked.cli("cancel", str(job_id))
    assert "told to stop" in said
    ended = daemon.wait_for("job.cancelled", job_id=job_id)
    assert ended["status"] == "cancelled"
    job = asked.job(job_id)
    assert (job["status"], job["execution_over"], job["retry_count"]) == ("cancelled", 1, 0)
    asked.cli("cancel", str(job_id), expect=1)
    assert "already ended" in asked.said


def test_a_job_that_heeds_a_release_is_pending_again(asked: House) -> None:
    """`Stopped` after release: pending, nothing charged, and it runs again."""
    daemon = asked.start()
    job_id = asked.enqueue("heeds")
    daemon.wait_for("job.logged", job_id=job_id)
    asked.cli("release", str(job_id))
    released = daemon.wait_for("job.released", job_id=job_id)
    assert released["status"] == "pending"
    daemon.wait_for("job.logged", job_id=job_id, attempt=2)
    job = asked.job(job_id)
    assert (job["retry_count"], job["rescue_count"], job["release_requested_at"]) == (0, 0, None)


def test_a_success_while_running_wins(asked: House) -> None:
    """A handler that returns has finished its work, whatever it was asked meanwhile."""
    asked.gate("open").open()
    daemon = asked.start()
    ids = {verb: asked.enqueue("finishes", {"gate": "open"}) for verb in ("cancel", "release")}
    daemon.wait_for_all("job.logged", list(ids.values()))
    for verb, job_id in ids.items():
        asked.cli(verb, str(job_id))
        daemon.wait_for("job.completed", job_id=job_id)
        job = asked.job(job_id)
        assert (job["status"], job["result"]) == ("completed", '"done anyway"')


def test_a_failure_after_the_request_is_settled_by_the_request(asked: House) -> None:
    """An attempt that fails after it was asked to stop charges nothing."""
    daemon = asked.start("--workers", "2")
    ids = {verb: asked.enqueue("fails_then") for verb in OUTCOMES}
    daemon.wait_for_all("job.logged", list(ids.values()))
    asked.cli("queue", "pause", "default")
    for verb, (event, status) in OUTCOMES.items():
        asked.cli(verb, str(ids[verb]))
        daemon.wait_for(event, job_id=ids[verb], status=status)
        job = asked.job(ids[verb])
        assert (job["status"], job["retry_count"]) == (status, 0)
    assert daemon.events("job.retry_scheduled") == []


def test_a_job_that_ignores_the_request_is_a_zombie_that_keeps_it(asked: House) -> None:
    """Not over after kill_grace: zombie; when its thread ends at last, the request is done."""
    gate = asked.gate("shut")
    daemon = asked.start("--workers", "2", timing__zombie_hold="30s")
    ids = {verb: asked.enqueue("finishes", {"gate": "shut"}) for verb in OUTCOMES}
    daemon.wait_for_all("job.logged", list(ids.values()))
    asked.cli("queue", "pause", "default")
    for verb, job_id in ids.items():
        asked.cli(verb, str(job_id))
        assert daemon.wait_for("job.zombified", job_id=job_id)["reason"] == verb
        job = asked.job(job_id)
        assert (job["status"], job["execution_over"]) == ("zombie", 0)
        assert job[f"{verb}_requested_at"] is not None
    gate.open()
    for verb, (event, status) in OUTCOMES.items():
        daemon.wait_for("job.late_result", job_id=ids[verb])
        daemon.wait_for(event, job_id=ids[verb], status=status)
        job = asked.job(ids[verb])
        assert (job["status"], job["execution_over"], job["result"]) == (status, 1, None)
        assert (job["retry_count"], job["rescue_count"]) == (0, 0)


def test_a_cancel_stored_on_a_zombie_is_done_when_its_daemon_dies(asked: House) -> None:
    """The stored request comes first at the next start: cancelled, nothing charged."""
    asked.gate("shut")
    daemon = asked.start("--workers", "1", timing__zombie_hold="30s")
    job_id = asked.enqueue("finishes", {"gate": "shut"})
    daemon.wait_for("job.logged", job_id=job_id)
    asked.cli("cancel", str(job_id))
    daemon.wait_for("job.zombified", job_id=job_id)
    daemon.kill()
    again = asked.start()
    again.wait_for("job.cancelled", job_id=job_id)
    job = asked.job(job_id)
    assert (job["status"], job["execution_over"], job["attempt"]) == ("cancelled", 1, 1)


def test_cancel_after_release_wins(asked: House) -> None:
    """Both asked of one attempt: it ends cancelled."""
    gate = asked.gate("shut")
    daemon = asked.start("--workers", "1")
    job_id = asked.enqueue("finishes", {"gate": "shut"})
    daemon.wait_for("job.logged", job_id=job_id)
    asked.cli("release", str(job_id))
    asked.cli("cancel", str(job_id))
    daemon.wait_for("job.zombified", job_id=job_id)
    gate.open()
    daemon.wait_for("job.cancelled", job_id=job_id)
    assert asked.status(job_id) == "cancelled"


def test_retry_of_a_running_job_is_refused(asked: House) -> None:
    """Exit 1 with the way out; the job runs on."""
    daemon = asked.start()
    job_id = asked.enqueue("heeds")
    daemon.wait_for("job.logged", job_id=job_id)
    asked.cli("retry", str(job_id), expect=1)
    assert "cancel or release it" in asked.said
    assert asked.status(job_id) == "running"
    assert len(asked.spans(job_id)) == 1


def test_retry_of_a_waiting_retry_makes_it_due_now(asked: House) -> None:
    """`jobd retry` of a retrying job does not wait for its backoff."""
    asked.handlers("""
@job("second_time")
def second_time():
    if jobd.current_job().attempt == 1:
        raise OSError
""")
    daemon = asked.start(retry__system__initial_delay="1h", retry__system__max_delay="1h")
    job_id = asked.enqueue("second_time")
    daemon.wait_for("job.retry_scheduled", job_id=job_id)
    asked.cli("retry", str(job_id))
    daemon.wait_for("job.completed", job_id=job_id, attempt=2)


def test_requests_of_jobs_that_have_ended_and_of_none(asked: House) -> None:
    """completed refuses all three; dead_letter refuses release; no job says so; all exit 1."""
    daemon = asked.start()
    done = asked.enqueue("quick")
    daemon.wait_for("job.completed", job_id=done)
    for verb in ("cancel", "release", "retry"):
        asked.cli(verb, str(done), expect=1)
        assert f"job {done} (completed)" in asked.said
    asked.cli("cancel", "999", expect=1)
    assert "no job 999" in asked.said
    assert asked.status(done) == "completed"
