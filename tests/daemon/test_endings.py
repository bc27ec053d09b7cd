"""What comes out of a handler, and what it comes to."""

from datetime import datetime
from typing import Any

import pytest

from tests.daemon.harness import House

ENDINGS = """
class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")
    __repr__ = __str__

class Surrogate(Exception):
    def __str__(self):
        return "a\\udc80b\\x00c\\n\\x1b[31m"

def dig():
    return dig() + 1

def never_ends():
    yield
    raise GeneratorExit

WAYS = {
    "system_exit": lambda: sys.exit(3),
    "keyboard_interrupt": lambda: (_ for _ in ()).throw(KeyboardInterrupt),
    "generator_exit": lambda: (_ for _ in ()).throw(GeneratorExit),
    "recursion": dig,
    "memory": lambda: bytearray(1 << 60),
    "unspeakable": lambda: (_ for _ in ()).throw(Unspeakable()),
    "surrogate": lambda: (_ for _ in ()).throw(Surrogate()),
    "base": lambda: (_ for _ in ()).throw(BaseException("bare")),
}

@job("way_out")
def way_out(way: str):
    WAYS[way]()

@job("retry_soon")
def retry_soon(after: float):
    if jobd.current_job().attempt == 1:
        raise jobd.Retry("try later", after=after, failure_type="network")
    return "second"

@job("gives_up")
def gives_up():
    raise jobd.Fail("no such customer", failure_type="network")

@job("snoozes")
def snoozes(seconds: float):
    if jobd.current_job().attempt < 3:
        raise jobd.Snooze(seconds)

@job("stops_unasked")
def stops_unasked():
    if jobd.current_job().attempt == 1:
        raise jobd.Stopped

@job("returns")
def returns(what: str):
    return {"object": object(), "nan": float("nan"), "set": {1}, "bytes": b"x", "deep": deep(),
            "large": "x" * (1 << 20), "surrogate": chr(0xD800)}[what]

def deep():
    found = []
    for _ in range(70):
        found = [found]
    return found

@job("takes")
def takes(path: str, size: int = 256):
    return size

@job("raises_type_error")
def raises_type_error(n: int):
    return n + "text"
"""


@pytest.fixture
def endings(house: House) -> House:
    house.handlers(ENDINGS)
    return house


def milliseconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds() * 1000


def delayed(outcome: dict[str, Any], until: str) -> float:
    """Milliseconds from the handler's end, however late the outcome was written and logged."""
    return milliseconds_between(outcome["started_at"], outcome[until]) - outcome["duration_ms"]


def test_retry_comes_back_after_its_own_delay(endings: House) -> None:
    """`Retry(after=…)` beats the policy's backoff, is charged, and carries its type."""
    daemon = endings.start(retry__network__initial_delay="1h", retry__network__max_delay="1h")
    job_id = endings.enqueue("retry_soon", {"after": 0.4})
    failed = daemon.wait_for("job.retry_scheduled", job_id=job_id)
    assert (failed["failure_type"], failed["error"]) == ("network", "try later")
    assert delayed(failed, "next_retry_at") >= 399
    assert milliseconds_between(failed["timestamp"], failed["next_retry_at"]) <= 401
    done = daemon.wait_for("job.completed", job_id=job_id)
    assert done["started_at"] >= failed["next_retry_at"]
    assert milliseconds_between(failed["next_retry_at"], done["started_at"]) < 300
    assert endings.job(job_id)["retry_count"] == 1


def test_fail_skips_the_remaining_retries(endings: House) -> None:
    """`Fail` parks the job at once, with the message, though its type has retries."""
    daemon = endings.start()
    job_id = endings.enqueue("gives_up")
    parked = daemon.wait_for("job.dead_lettered", job_id=job_id)
    job = endings.job(job_id)
    assert (job["attempt"], job["retry_count"], job["failure_type"]) == (1, 0, "network")
    assert job["error_message"] == parked["error"] == "no such customer"
    assert "raise jobd.Fail" in job["last_error_traceback"]


def test_snooze_comes_back_later_and_charges_nothing(endings: House) -> None:
    """`Snooze` makes it pending until then; attempt grows, the counts do not."""
    daemon = endings.start()
    job_id = endings.enqueue("snoozes", {"seconds": 0.2})
    daemon.wait_for("job.completed", job_id=job_id, attempt=3)
    snoozed = daemon.events("job.snoozed", job_id=job_id)
    assert [line["attempt"] for line in snoozed] == [1, 2]
    assert {line["status"] for line in snoozed} == {"pending"}
    for line in snoozed:
        assert delayed(line, "scheduled_at") >= 199
        assert milliseconds_between(line["timestamp"], line["scheduled_at"]) <= 201
    job = endings.job(job_id)
    assert (job["retry_count"], job["rescue_count"], job["snooze_count"]) == (0, 0, 2)


def test_stopped_unasked_is_an_ordinary_failure(endings: House) -> None:
    """A handler that raises `Stopped` though nobody asked has failed, and is charged."""
    daemon = endings.start()
    job_id = endings.enqueue("stops_unasked")
    failed = daemon.wait_for("job.retry_scheduled", job_id=job_id)
    assert failed["failure_type"] == "unknown"
    daemon.wait_for("job.completed", job_id=job_id, attempt=2)
    assert endings.job(job_id)["retry_count"] == 1


def test_no_way_out_of_a_handler_ends_its_worker(endings: House) -> None:
    """SystemExit and all its kin are failed attempts; the one worker works on."""
    expected = {"system_exit": "system", "keyboard_interrupt": "system",
                "generator_exit": "system", "memory": "resource", "recursion": "unknown",
                "unspeakable": "unknown", "surrogate": "unknown", "base": "unknown"}
    daemon = endings.start("--workers", "1")
    ids = {way: endings.enqueue("way_out", {"way": way}, max_retries=0) for way in expected}
    done = daemon.wait_for("job.completed", job_id=endings.enqueue("quick"))
    ended = {way: daemon.wait_for("job.dead_lettered", job_id=i) for way, i in ids.items()}
    assert {way: line["failure_type"] for way, line in ended.items()} == expected
    assert {line["worker"] for line in ended.values()} == {done["worker"]}
    for job_id in ids.values():
        endings.cli_json("show", str(job_id))


def test_a_result_that_is_not_json_is_a_validation_failure(endings: House) -> None:
    """It is parked with the reason, and not tried again."""
    daemon = endings.start("--workers", "1", limits__max_result=1 << 16)
    for what in ("object", "nan", "set", "bytes", "deep", "large", "surrogate"):
        job_id = endings.enqueue("returns", {"what": what})
        parked = daemon.wait_for("job.dead_lettered", job_id=job_id)
        assert (what, parked["failure_type"]) == (what, "validation")
        assert "result" in parked["error"]
        assert endings.job(job_id)["attempt"] == 1


def test_a_payload_that_does_not_fit_the_handler_is_a_validation_failure(endings: House) -> None:
    """Missing and unknown arguments are named; the handler never began."""
    daemon = endings.start()
    missing = endings.enqueue("takes")
    unknown = endings.enqueue("takes", {"path": "a", "colour": "red"})
    fits = endings.enqueue("takes", {"path": "a"})
    daemon.wait_for("job.completed", job_id=fits)
    for job_id, name in ((missing, "path"), (unknown, "colour")):
        parked = daemon.wait_for("job.dead_lettered", job_id=job_id)
        assert parked["failure_type"] == "validation"
        assert name in parked["error"]
        assert endings.job(job_id)["attempt"] == 1


def test_a_type_error_inside_the_handler_is_its_own(endings: House) -> None:
    """A TypeError of a handler whose payload fits keeps its own message and type."""
    daemon = endings.start()
    job_id = endings.enqueue("raises_type_error", {"n": 1}, max_retries=0)
    parked = daemon.wait_for("job.dead_lettered", job_id=job_id)
    assert parked["error"].startswith("TypeError: unsupported operand")
    assert "n + \"text\"" in endings.job(job_id)["last_error_traceback"]
