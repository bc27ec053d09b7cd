"""A stop loses nothing: what finishes, what is given back, what is left, and what comes of it."""

import signal

import pytest

from tests.daemon.harness import House, overlaps
from tests.daemon.villain import until

HANDLERS = """
@job("finishes_soon")
def finishes_soon():
    say("begun")
    jobd.current_job().stopping.wait(60)
    time.sleep(0.1)
    return "done"

@job("checks")
def checks():
    say("begun")
    me = jobd.current_job()
    me.stopping.wait(60)
    say("told", reason=str(me.stopping.reason))
    me.check()

@job("fails_on_stop")
def fails_on_stop():
    say("begun")
    jobd.current_job().stopping.wait(60)
    raise OSError("the stop upset it")

@job("stuck")
def stuck(gate: str):
    say("begun")
    wait_at(gate)
    return "at last"
"""


@pytest.fixture
def stopping(house: House) -> House:
    house.handlers(HANDLERS)
    return house


def test_sigterm_lets_jobs_finish_and_gives_back_what_heeds_it(stopping: House) -> None:
    """Outcomes within the grace are kept, Stopped is pending uncharged, waiting jobs untouched."""
    daemon = stopping.start("--workers", "3")
    finishing = stopping.enqueue("finishes_soon")
    given_back = stopping.enqueue("checks")
    failing = stopping.enqueue("fails_on_stop")
    daemon.wait_for_all("job.logged", [finishing, given_back, failing])
    never = stopping.enqueue("quick")
    assert daemon.stop() == 0
    drained = daemon.wait_for("daemon.drained")
    assert (drained["finished"], drained["given_back"], drained["left_running"]) == (2, 1, [])
    assert daemon.wait_for("job.logged", message="told")["reason"] == "stop"
    job = stopping.job(finishing)
    assert (job["status"], job["result"]) == ("completed", '"done"')
    job = stopping.job(given_back)
    assert (job["status"], job["attempt"], job["retry_count"], job["rescue_count"]) == (
        "pending", 1, 0, 0)
    job = stopping.job(failing)
    assert (job["status"], job["retry_count"]) == ("retrying", 1)
    job = stopping.job(never)
    assert (job["status"], job["attempt"]) == ("pending", 0)
    assert daemon.log[-1]["event"] == "daemon.stopped"
    assert daemon.log[-1]["exit_status"] == 0
    assert daemon.stderr == ""


def test_a_thread_that_does_not_end_is_pending_uncharged_at_the_next_start(
    stopping: House,
) -> None:
    """The row keeps stop_requested_at; once its process is gone it is pending, not charged."""
    gate = stopping.gate("shut")
    daemon = stopping.start("--workers", "1", timing__shutdown_grace="100ms")
    job_id = stopping.enqueue("stuck", {"gate": "shut"})
    daemon.wait_for("job.logged", job_id=job_id)
    assert daemon.stop() == 0
    assert daemon.wait_for("daemon.drained")["left_running"] == [job_id]
    job = stopping.job(job_id)
    assert (job["status"], job["execution_over"]) == ("running", 0)
    assert job["stop_requested_at"] is not None
    gate.open()
    again = stopping.start("--workers", "1")
    again.wait_for("job.completed", job_id=job_id, attempt=2)
    job = stopping.job(job_id)
    assert (job["retry_count"], job["rescue_count"], job["stop_requested_at"]) == (0, 0, None)
    assert again.events("job.retry_scheduled") == []
    assert [span.attempt for span in stopping.spans(job_id)] == [1, 2]


def test_what_another_daemon_left_is_not_counted_as_finished(stopping: House) -> None:
    """The drain report tells of this daemon's attempts: a rescue at its start is none."""
    stopping.gate("shut")
    first = stopping.start("--workers", "1")
    job_id = stopping.enqueue("stuck", {"gate": "shut"})
    first.wait_for("job.logged", job_id=job_id)
    first.kill()
    daemon = stopping.start("--workers", "1", timing__shutdown_grace="100ms")
    daemon.wait_for("job.logged", job_id=job_id)
    assert daemon.stop() == 0
    drained = daemon.wait_for("daemon.drained")
    assert (drained["finished"], drained["given_back"], drained["left_running"]) == (
        0, 0, [job_id])


def test_a_second_signal_skips_the_grace(stopping: House) -> None:
    """With a grace of a minute the second SIGTERM ends it now, exit 0."""
    stopping.gate("shut")
    daemon = stopping.start("--workers", "1", timing__shutdown_grace="60s")
    job_id = stopping.enqueue("stuck", {"gate": "shut"})
    daemon.wait_for("job.logged", job_id=job_id)
    daemon.signal(signal.SIGTERM)
    daemon.wait_for("daemon.stopping")
    assert daemon.process.poll() is None
    daemon.signal(signal.SIGTERM)
    assert daemon.exit_status(deadline=5) == 0
    assert daemon.wait_for("daemon.drained")["left_running"] == [job_id]
    assert stopping.job(job_id)["stop_requested_at"] is not None


def test_a_daemon_that_stops_is_no_excuse_for_a_job_that_waits(stopping: House) -> None:
    """Whoever asks is told that it claims no more, and whom it waits for."""
    stopping.gate("shut")
    daemon = stopping.start("--workers", "1", timing__shutdown_grace="60s")
    daemon.wait_for("job.logged", job_id=stopping.enqueue("stuck", {"gate": "shut"}))
    daemon.signal(signal.SIGTERM)
    waits = str(stopping.enqueue("quick"))
    until(lambda: "is stopping" in stopping.cli_json("explain", waits)["text"])
    assert [each["cause"] for each in stopping.cli_json("health", expect=1)["problems"]] == \
        ["stopping"]
    assert "is stopping" in stopping.cli("top", "--once")
    daemon.signal(signal.SIGTERM)
    assert daemon.exit_status(deadline=5) == 0
    assert "is stopping" not in stopping.cli_json("explain", waits)["text"]


def test_two_signals_at_once_are_two_signals(stopping: House) -> None:
    """SIGTERM and SIGINT that arrive together end it without the grace."""
    stopping.gate("shut")
    daemon = stopping.start("--workers", "1", timing__shutdown_grace="60s")
    job_id = stopping.enqueue("stuck", {"gate": "shut"})
    daemon.wait_for("job.logged", job_id=job_id)
    daemon.freeze()
    daemon.signal(signal.SIGTERM)
    daemon.signal(signal.SIGINT)
    daemon.thaw()
    assert daemon.exit_status(deadline=5) == 0


def test_an_idle_daemon_stops_at_once(stopping: House) -> None:
    """Nothing in hand: no grace is waited for, whatever it is."""
    daemon = stopping.start(timing__shutdown_grace="60s")
    daemon.signal(signal.SIGTERM)
    assert daemon.exit_status(deadline=5) == 0
    names = [line["event"] for line in daemon.log if line["event"].startswith("daemon.")]
    assert names == ["daemon.started", "daemon.ready", "daemon.stopping", "daemon.drained",
                     "daemon.stopped"]


def test_a_buffer_full_of_jobs_is_given_back_at_a_stop(stopping: House) -> None:
    """Stopped amid thousands of short jobs: nothing is left running, nothing runs twice."""
    ids = [int(i) for i in stopping.queue.enqueue_many([("quick", {"n": n}) for n in range(3000)])]
    daemon = stopping.start("--workers", "2")
    daemon.wait_for("job.completed", job_id=ids[300])
    assert daemon.stop() == 0
    found = {row["status"]: row["n"] for row in stopping.rows(
        "SELECT status, count(*) AS n FROM job_queue GROUP BY status")}
    assert set(found) == {"completed", "pending"}
    assert stopping.rows("SELECT id FROM job_queue WHERE execution_over = 0") == []
    drained = daemon.wait_for("daemon.drained")
    assert drained["left_running"] == []
    assert drained["finished"] == found["completed"]
    assert stopping.wait_until_all_ended(stopping.start("--workers", "2"))
    spans = stopping.spans()
    assert len(spans) == len(ids)
    assert overlaps(spans, {}) == []
