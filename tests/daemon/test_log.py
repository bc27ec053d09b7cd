"""The log as a contract: one outcome line per attempt, no forged lines, and nobody waits for it."""

import fcntl
import os
import time
from collections import Counter

import pytest

from jobd.daemon.log_writer import LogWriter
from tests.daemon.harness import House
from tests.daemon.villain import until

MUCH_LATER = 10.0

OUTCOMES = ("job.completed", "job.retry_scheduled", "job.dead_lettered", "job.failed",
            "job.cancelled", "job.released", "job.snoozed")

HANDLERS = r"""
@job("fails_once")
def fails_once():
    if jobd.current_job().attempt == 1:
        raise OSError("once")

@job("snoozes_once")
def snoozes_once():
    if jobd.current_job().attempt == 1:
        raise jobd.Snooze(0.01)

@job("gives_up")
def gives_up():
    raise jobd.Fail("never")

FORGED = '\n{"event": "daemon.stopped", "v": 1}\r\n\x1b[31m"}\x00\u2028\u202e'

@job("forges")
def forges():
    log = jobd.current_job().log
    log.info(FORGED, value=FORGED, **{FORGED: FORGED})
    log.info("keys", job_id=999, timestamp="then", v=9, level="debug", attempt=77, queue="theirs")
    log.bind(event="job.completed", _of_job=False).info("daemon.stopped", _of_job=False)
    log.info(object(), value=Unspeakable(), nested={1: {2, 3}}, raw=b"x")
    raise OSError(FORGED)

class Unspeakable:
    def __repr__(self):
        raise RuntimeError("no words")
    __str__ = __repr__

@job("prints")
def prints():
    print('hello {"event": "daemon.stopped"}')
    print('{"event": "daemon.stopped", "v": 1}')
    sys.stdout.write("no newline")
    sys.stdout.flush()
    os.system("echo from a child process")

@job("talks")
def talks(lines: int):
    log = jobd.current_job().log
    for n in range(lines):
        log.info("talk", n=n)
"""


@pytest.fixture
def logged(house: House) -> House:
    house.handlers(HANDLERS)
    return house


def test_one_outcome_line_per_attempt(logged: House) -> None:
    """Whatever becomes of an attempt, exactly one line says it, with its times."""
    daemon = logged.start("--workers", "2")
    for job_type in ("quick", "fails_once", "snoozes_once", "gives_up", "patient"):
        logged.enqueue(job_type)
    patient = logged.enqueue("patient")
    daemon.wait_for("job.logged", job_id=patient - 1)
    daemon.wait_for("job.logged", job_id=patient)
    logged.cli("cancel", str(patient - 1), str(patient))
    daemon.wait_for_all("job.cancelled", [patient - 1, patient])
    daemon.wait_for("job.completed", job_type="fails_once")
    daemon.wait_for("job.completed", job_type="snoozes_once")
    assert daemon.stop() == 0
    told = Counter((line["job_id"], line["attempt"]) for line in daemon.log
                   if line["event"] in OUTCOMES)
    begun = [(span.job_id, span.attempt) for span in logged.spans()]
    assert told == Counter(begun)
    assert len(begun) == 8
    for line in daemon.log:
        assert list(line)[:4] == ["timestamp", "level", "event", "v"]
        if line["event"] in OUTCOMES:
            assert line["claimed_at"] <= line["started_at"] <= line["timestamp"]
            assert line["duration_ms"] >= 0
            assert {"job_id", "job_type", "queue", "attempt", "worker", "status"} <= set(line)


def test_a_jobs_text_cannot_forge_a_line(logged: House) -> None:
    """Newlines, escapes, quotes and jobd's own keys in what a job says: one honest line each."""
    daemon = logged.start("--workers", "1")
    job_id = logged.enqueue("forges", max_retries=0)
    daemon.wait_for("job.dead_lettered", job_id=job_id)
    after = logged.enqueue("quick")
    daemon.wait_for("job.completed", job_id=after)
    assert daemon.forged() == []
    assert daemon.events("daemon.stopped") == []
    assert [line["job_id"] for line in daemon.events("job.completed")] == [after]
    said = daemon.events("job.logged")
    assert len(said) == 4
    for line in said:
        assert (line["job_id"], line["attempt"], line["queue"]) == (job_id, 1, "default")
        assert (line["v"], line["level"], line["timestamp"][:2]) == (1, "info", "20")


def test_a_forging_job_is_harmless_in_the_pretty_form_too(logged: House) -> None:
    """With format = pretty every line begins with a time, whatever a job says."""
    daemon = logged.launch("--workers", "1", read_log=False, log__format="pretty")
    job_id = logged.enqueue("forges", max_retries=0)
    assert logged.queue.wait(job_id, timeout=10)["status"] == "dead_letter"
    assert daemon.process.stdout is not None
    daemon.process.terminate()
    text = daemon.process.stdout.read().decode()
    assert "\x1b" not in text
    assert "\x00" not in text
    assert "\u2028" not in text
    assert "\r" not in text
    assert all(line[2] == line[5] == ":" for line in text.splitlines())


def test_what_a_handler_prints_is_no_line_of_the_log(logged: House) -> None:
    """print() in a handler, or in a program it starts, does not mix with the log on stdout."""
    daemon = logged.start("--workers", "1")
    job_id = logged.enqueue("prints")
    daemon.wait_for("job.completed", job_id=job_id)
    assert daemon.events("daemon.stopped") == []
    assert daemon.stop() == 0
    assert daemon.forged() == []
    assert "hello" in daemon.stderr


def test_a_reader_that_stops_reading_does_not_stop_the_pool(logged: House) -> None:
    """With the pipe full jobs still complete and the daemon still stops."""
    daemon = logged.launch("--workers", "2", read_log=False)
    assert daemon.process.stdout is not None
    fcntl.fcntl(daemon.process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    ids = [logged.enqueue("talks", {"lines": 50}) for _ in range(100)]
    for job_id in ids:
        assert logged.queue.wait(job_id, timeout=10)["status"] == "completed"
    assert daemon.stop() == 0


def test_lines_that_were_dropped_are_counted(logged: House) -> None:
    """More lines than are held, and no reader for more than a second: log.dropped says how many."""
    daemon = logged.launch("--workers", "1", read_log=False)
    lines = 101_000
    job_id = logged.enqueue("talks", {"lines": lines})
    assert logged.queue.wait(job_id, timeout=30)["status"] == "completed"
    daemon.read_log()
    dropped = daemon.wait_for("log.dropped")
    assert dropped["v"] == 1
    after = logged.enqueue("quick")
    daemon.wait_for("job.completed", job_id=after)
    seen = len(daemon.events("job.logged", message="talk"))
    told = sum(line["lines"] for line in daemon.events("log.dropped"))
    assert lines <= seen + told <= lines + 500  # some heartbeats were dropped too
    assert daemon.forged() == []


def test_a_log_file_may_be_moved_by_logrotate(logged: House) -> None:
    """After a rename the next lines go into a new file of the old name; no line is lost."""
    file = logged.root / "jobd.log"
    daemon = logged.launch("--workers", "1", log__file=str(file))
    first = logged.enqueue("quick")
    logged.queue.wait(first, timeout=10)
    # Its row is there before its line is.
    until(lambda: f'"job_id": {first}' in file.read_text())
    old = logged.root / "jobd.log.1"
    file.rename(old)
    second = logged.enqueue("quick")
    logged.queue.wait(second, timeout=10)
    assert daemon.stop() == 0
    assert daemon.log == []
    assert f'"job_id": {first}' in old.read_text()
    assert f'"job_id": {second}' in old.read_text() + file.read_text()
    assert '"daemon.stopped"' in file.read_text()


def test_heartbeats_tell_who_is_alive_and_on_what(logged: House) -> None:
    """worker.heartbeat for each worker and pool.health come again and again."""
    gate = logged.gate("shut")
    daemon = logged.start("--workers", "2")
    busy = logged.enqueue("gated", {"gate": "shut"})
    said = daemon.wait_for("job.logged", job_id=busy)
    logged.queue.enqueue_many([("quick", {}, {"queue": "paused"})] * 3)
    beat = daemon.wait_for("worker.heartbeat", after=said, job_id=busy, health="normal", attempt=1)
    assert beat["busy_ms"] >= 0
    pool = daemon.wait_for("pool.health", after=said, busy=1)
    assert (pool["workers"], pool["stuck"]) == (2, 0)
    names = {line["worker"] for line in daemon.events("worker.heartbeat")}
    assert len(names) == 2
    gate.open()


def test_a_closed_standard_output_does_not_stop_the_pool(logged: House) -> None:
    """The reader of the pipe has gone for good: jobs complete, the stop is clean."""
    daemon = logged.launch("--workers", "1", read_log=False)
    assert daemon.process.stdout is not None
    daemon.process.stdout.close()
    started = time.monotonic()
    for _ in range(3):
        job_id = logged.enqueue("talks", {"lines": 10})
        assert logged.queue.wait(job_id, timeout=10)["status"] == "completed"
    assert time.monotonic() - started < 8
    assert daemon.stop() == 0


def test_a_late_call_to_write_loses_no_line() -> None:
    """A thread that is held up between its look and its call wakes the writer for nothing; the
    next line is written all the same."""
    reading, writing = os.pipe()
    writer = LogWriter(writing)
    writer.start()
    writer.write("first")
    assert os.read(reading, 100) == b"first\n"
    _until_idle(writer)
    writer._idle = False
    with writer._room:
        writer._room.notify_all()
    _until_idle(writer)
    writer.write("second")
    assert os.read(reading, 100) == b"second\n"
    writer.stop(MUCH_LATER)
    os.close(reading)


def _until_idle(writer: LogWriter) -> None:
    deadline = time.monotonic() + MUCH_LATER
    while not writer._idle:
        assert time.monotonic() < deadline
