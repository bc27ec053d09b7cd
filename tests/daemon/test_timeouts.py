"""Deadlines: what stops, what does not, and what becomes of the thread that would not."""

from tests.daemon.harness import House, overlaps

STUCK = """
@job("stuck", timeout=0.3)
def stuck(gate: str = "shut"):
    if current_attempt() == 1:
        this_is_where_it_sits(gate)
    return "second time"

def current_attempt():
    return jobd.current_job().attempt

def this_is_where_it_sits(gate):
    wait_at(gate)

@job("listens", timeout=0.3)
def listens():
    jobd.current_job().sleep(60)
"""


def test_a_job_that_heeds_its_deadline_is_retried(house: House) -> None:
    """Stopped by `sleep` at the deadline: timeout, then retrying, then again until none is left."""
    house.handlers(STUCK)
    daemon = house.start()
    job_id = house.enqueue("listens", max_retries=1)
    first = daemon.wait_for("job.timed_out", job_id=job_id, attempt=1)
    assert first["status"] == "timeout"
    daemon.wait_for("job.retry_scheduled", job_id=job_id, failure_type="timeout")
    ended = daemon.wait_for("job.dead_lettered", job_id=job_id)
    job = house.job(job_id)
    assert (job["status"], job["failure_type"], job["retry_count"], job["attempt"]) == (
        "dead_letter", "timeout", 1, 2)
    assert ended["attempt"] == 2
    assert daemon.events("job.zombified") == []
    assert [span.how for span in house.spans(job_id)] == ["Stopped", "Stopped"]
    assert all(0.25 < span.ended - span.began < 2 for span in house.spans(job_id))


def test_a_thread_that_does_not_stop_goes_timeout_zombie_dead_letter(house: House) -> None:
    """Its exact stack is kept, its place refilled, it never runs beside itself, retry refuses."""
    house.handlers(STUCK)
    gate = house.gate("shut")
    # Both wait before the start: one look at the queue sees both, and has room for one.
    job_id = house.enqueue("stuck")
    other = house.enqueue("quick", {"n": 1})
    daemon = house.start("--workers", "1")

    verdict = daemon.wait_for("job.timed_out", job_id=job_id)
    stack = house.attempts(job_id)[0]["stack"]
    assert "this_is_where_it_sits" in stack
    assert "in wait_at" in stack.strip().splitlines()[-2]
    lost = daemon.wait_for("job.zombified", job_id=job_id, after=verdict)
    assert house.status(job_id) == "zombie"
    done = daemon.wait_for("job.completed", job_id=other)
    assert done["worker"] != lost["worker"]

    parked = daemon.wait_for("job.dead_lettered", job_id=job_id, after=lost)
    job = house.job(job_id)
    assert (job["status"], job["execution_over"]) == ("dead_letter", 0)
    assert "still executing" in job["dead_letter_reason"]
    assert parked["reason"] == job["dead_letter_reason"]
    house.cli("retry", str(job_id), expect=1)
    assert "restart the daemon" in house.said
    assert house.cli_json("explain", str(job_id))["status"] == "dead_letter"
    assert len(house.spans(job_id)) == 1

    daemon.kill()
    again = house.start("--workers", "1")
    job = house.job(job_id)
    assert (job["status"], job["execution_over"]) == ("dead_letter", 1)
    house.cli("retry", str(job_id))
    again.wait_for("job.completed", job_id=job_id, attempt=2)
    assert [span.attempt for span in house.spans(job_id)] == [1, 2]
    gate.open()


def test_a_zombie_whose_thread_ends_after_all_is_decided_as_a_timeout(house: House) -> None:
    """Once the thread returns, late, its result does not count and the verdict is settled."""
    house.handlers(STUCK)
    gate = house.gate("shut")
    daemon = house.start("--workers", "1", timing__zombie_hold="30s")
    job_id = house.enqueue("stuck")
    daemon.wait_for("job.zombified", job_id=job_id)
    gate.open()
    late = daemon.wait_for("job.late_result", job_id=job_id, attempt=1)
    assert late["succeeded"] is True
    retried = daemon.wait_for("job.retry_scheduled", job_id=job_id)
    assert retried["failure_type"] == "timeout"
    daemon.wait_for("job.completed", job_id=job_id, attempt=2)
    job = house.job(job_id)
    assert (job["retry_count"], job["rescue_count"], job["result"]) == (1, 0, '"second time"')
    assert overlaps(house.spans(job_id), {}) == []


def test_the_late_return_of_a_parked_job_changes_nothing_but_the_proof(house: House) -> None:
    """job.late_result is recorded; the row is as before but for execution_over; retry works."""
    house.handlers(STUCK)
    gate = house.gate("shut")
    daemon = house.start("--workers", "1")
    job_id = house.enqueue("stuck")
    parked = daemon.wait_for("job.dead_lettered", job_id=job_id)
    before = house.job(job_id)
    gate.open()
    daemon.wait_for("job.late_result", job_id=job_id, after=parked)
    after = house.job(job_id)
    assert {key for key in after if after[key] != before[key]} == {"execution_over"}
    assert after["execution_over"] == 1
    kept = house.attempts(job_id)[0]
    assert kept["late_result"] == '"second time"'
    house.cli("retry", str(job_id))
    daemon.wait_for("job.completed", job_id=job_id, attempt=2)
    assert len(daemon.events("job.completed", job_id=job_id)) == 1


ASYNC = """
import asyncio

@job("slow_coroutine", timeout=0.3)
async def slow_coroutine():
    say("begun")
    await asyncio.sleep(60)

@job("coroutine")
async def coroutine(n: int = 0):
    helper = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    return n + 1

@job("endless")
async def endless():
    say("begun")
    while True:
        await asyncio.sleep(0.01)
"""


def test_a_coroutine_is_really_stopped_at_its_deadline(house: House) -> None:
    """An async handler is cancelled, not abandoned: no zombie, and the thread works on."""
    house.handlers(ASYNC)
    daemon = house.start("--workers", "1")
    job_id = house.enqueue("slow_coroutine", max_retries=0)
    after = house.enqueue("coroutine", {"n": 4})
    ended = daemon.wait_for("job.dead_lettered", job_id=job_id)
    done = daemon.wait_for("job.completed", job_id=after)
    assert ended["failure_type"] == "timeout"
    assert ended["worker"] == done["worker"]
    assert house.job(after)["result"] == "5"
    assert daemon.events("job.zombified") == []
    assert [span.how for span in house.spans(job_id)] == ["CancelledError"]


def test_a_coroutine_is_really_stopped_by_cancel_and_release(house: House) -> None:
    """cancel makes it cancelled, release pending, both without a zombie and without a charge."""
    house.handlers(ASYNC)
    daemon = house.start("--workers", "2")
    cancelled, released = house.enqueue("endless"), house.enqueue("endless")
    daemon.wait_for_all("job.logged", [cancelled, released])
    house.queue.cancel(cancelled)
    house.queue.release(released)
    daemon.wait_for("job.cancelled", job_id=cancelled)
    daemon.wait_for("job.released", job_id=released)
    daemon.wait_for("job.logged", job_id=released, attempt=2)
    job = house.job(released)
    assert (job["retry_count"], job["rescue_count"]) == (0, 0)
    assert house.status(cancelled) == "cancelled"
    assert daemon.events("job.zombified") == []


def test_more_stuck_threads_than_allowed_drain_the_daemon(house: House) -> None:
    """With max_stuck_threads = 1 the second zombie ends it with 75; the next start rescues both."""
    house.handlers(STUCK)
    house.gate("shut")
    daemon = house.start("--workers", "3", pool__max_stuck_threads=1)
    stuck = [house.enqueue("stuck"), house.enqueue("stuck")]
    finishing = house.enqueue("quick", {"n": 2})
    assert daemon.exit_status() == 75
    exhausted = daemon.wait_for("pool.exhausted")
    assert (exhausted["stuck"], exhausted["max_stuck_threads"]) == (2, 1)
    assert daemon.wait_for("daemon.drained")["left_running"] == stuck
    assert house.status(finishing) == "completed"
    again = house.start("--workers", "3")
    for job_id in stuck:
        again.wait_for("job.completed", job_id=job_id, attempt=2)
        job = house.job(job_id)
        # Its deadline had passed before the daemon went: a timeout, not a lost worker.
        assert (job["retry_count"], job["rescue_count"]) == (1, 0)


def test_no_stuck_thread_is_allowed_when_the_limit_is_zero(house: House) -> None:
    """max_stuck_threads = 0: the first zombie drains the daemon, exit 75."""
    house.handlers(STUCK)
    house.gate("shut")
    daemon = house.start("--workers", "2", pool__max_stuck_threads=0)
    house.enqueue("stuck")
    assert daemon.exit_status() == 75
    assert daemon.events("pool.exhausted")[0]["stuck"] == 1


def test_the_deadline_is_the_jobs_else_the_handlers_else_the_configurations(house: House) -> None:
    """Three jobs, three homes of the timeout; the nearest one counts."""
    house.handlers(STUCK)
    daemon = house.start(timing__timeout="400ms")
    of_job = house.enqueue("listens", timeout=0.1, max_retries=0)
    of_handler = house.enqueue("listens", max_retries=0)
    of_configuration = house.enqueue("patient", max_retries=0)
    limits = [daemon.wait_for("job.timed_out", job_id=i)["timeout_s"]
              for i in (of_job, of_handler, of_configuration)]
    assert limits == [0.1, 0.3, 0.4]
