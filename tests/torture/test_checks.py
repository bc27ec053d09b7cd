"""Each check finds a fabricated violation of its kind, and finds nothing in what is sound."""

import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.torture.checks import CHECKS, violations
from tests.torture.evidence import AttemptRow, Evidence, JobRow, Line, Note, changed
from tests.torture.plan import Order
from tests.torture.processes import Incarnation

KILLED, CALM, HOLDER = 10, 11, 12
STEADY = Order("0.1", "quick", {"tag": "0.1"}, steady=True)
FAILING = Order("0.2", "fails", {"tag": "0.2"}, fails=True)
BATCH = {"name": "0.b0", "status": "completed", "sealed_at": 5, "total_items": 2,
         "successful_items": 1, "failed_items": 0, "cancelled_items": 1, "counted_total": 2,
         "counted_successful": 1, "counted_failed": 0, "counted_cancelled": 1}
TIMED = Order("0.3", "hangs", {"tag": "0.3"}, {"timeout": 2.0})


def ack(job_id: int, tag: str, **more: Any) -> Line:
    return {"kind": "ack", "tag": tag, "id": job_id, "created": True, "called": 1.0, "at": 1.1,
            "unique_key": None, "request_id": None, **more}


def held() -> Line:
    """The answer of request "r" was job 2, found by the unique key of the same call."""
    return ack(2, "0.2", request_id="r", unique_key="key", created=False)


def intent(tag: str) -> Line:
    return {"kind": "intent", "tag": tag, "called": 1.0}


def asked(verb: str, job_id: int, status: str, at: float) -> list[Line]:
    line = {"verb": verb, "id": job_id, "called": at}
    return [{"kind": "asking", **line},
            {"kind": "request", **line, "at": at, "status": status, "changed": True}]


def event(name: str, job_id: int, attempt: int) -> str:
    return f'{{"event": "{name}", "job_id": {job_id}, "attempt": {attempt}}}'


def sound() -> Evidence:
    """A steady job, rescued once; one that failed once; one that timed out once; a parent."""
    calm = Incarnation(CALM, 4.0, "log.1", [(signal.SIGTERM, 30.0)], status=0, ended=31.0)
    dead = Incarnation(KILLED, 1.0, "log.0", [(signal.SIGKILL, 4.0)], status=-9, ended=4.1)
    return Evidence(
        orders={order.tag: order for order in (STEADY, FAILING, TIMED)},
        notes=[
            Note("S", 1, 1, KILLED, 2.0),
            Note("S", 1, 2, CALM, 5.0), Note("E", 1, 2, CALM, 5.5, "ok"),
            Note("S", 2, 1, CALM, 5.0), Note("E", 2, 1, CALM, 5.1, "OSError"),
            Note("S", 2, 2, CALM, 5.2), Note("E", 2, 2, CALM, 5.3, "ok"),
            Note("S", 3, 1, CALM, 6.0), Note("E", 3, 1, CALM, 8.5, "Stopped"),
            Note("S", 3, 2, CALM, 9.0), Note("E", 3, 2, CALM, 9.1, "ok"),
            Note("S", 4, 1, CALM, 9.0), Note("E", 4, 1, CALM, 9.1, "ok"),
            Note("S", 5, 1, CALM, 9.2), Note("E", 5, 1, CALM, 9.3, "ok"),
            Note("S", 6, 1, CALM, 9.2), Note("E", 6, 1, CALM, 9.3, "ok"),
        ],
        said=[*(intent(f"0.{n}") for n in range(1, 5)), *(ack(n, f"0.{n}") for n in range(1, 5))],
        jobs={
            1: JobRow(1, "0.1", attempt=2, rescue_count=1, result='{"attempt": 2}'),
            2: JobRow(2, "0.2", "fails", attempt=2, retry_count=1),
            3: JobRow(3, "0.3", "hangs", attempt=2, retry_count=1, timeout_ms=2000),
            4: JobRow(4, "0.4", "parent"),
            5: JobRow(5, "child:4:0"), 6: JobRow(6, "child:4:1"),
        },
        attempts=[
            AttemptRow(1, 1, "retrying", "worker_lost", f"{KILLED}-aa", 2000),
            AttemptRow(2, 1, "retrying", "system", f"{CALM}-bb", 5000),
            AttemptRow(3, 1, "retrying", "timeout", f"{CALM}-bb", 6000, timed_out_at=8000),
        ],
        daemons=[dead, calm],
        logs={KILLED: ['{"event": "daemon.started"}', '{"cut'],
              CALM: ['{"event": "daemon.started"}', event("job.completed", 1, 2)]},
        errors={KILLED: "", CALM: f"waiting: jobd pid {KILLED} is active", 0: ""},
        counts={"completed": 6, "pending": 0},
        batches=[BATCH],
    )


def note(*notes: Note) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, notes=[*e.notes, *notes])


def said(*lines: Line) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, said=[*e.said, *lines])


def row(job_id: int, **values: Any) -> Callable[[Evidence], Evidence]:
    return lambda e: changed(e, job_id, **values)


def attempt(kept: AttemptRow) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, attempts=[*e.attempts, kept])


def logged(pid: int, *lines: str) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, logs={**e.logs, pid: [*lines, *e.logs[pid]]})


def without(job_id: int) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, jobs={k: v for k, v in e.jobs.items() if k != job_id})


def told(**values: Any) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, **values)


def ended(pid: int, **values: Any) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(
        e, daemons=[replace(d, **values) if d.pid == pid else d for d in e.daemons])


def keyed(later_start: float) -> Callable[[Evidence], Evidence]:
    """Jobs 1 and 2 were both made with one key, and job 1 started after job 2 was there."""
    key = {"unique_key": "key"}
    acks = [ack(1, "0.1", **key), ack(2, "0.2", **key, called=3.0, at=3.1)]
    rest = [ack(3, "0.3"), ack(4, "0.4"), *(intent(f"0.{n}") for n in range(1, 5))]
    return lambda e: replace(e, said=[*acks, *rest], notes=[
        Note("S", 1, 2, CALM, later_start) if n.key == (1, 2) and n.kind == "S" else n
        for n in e.notes])


def many_lost(count: int, *, began: bool) -> Callable[[Evidence], Evidence]:
    """So many more jobs were charged for the death of one daemon."""
    def fabricate(e: Evidence) -> Evidence:
        lost = [AttemptRow(100 + n, 1, "retrying", "worker_lost", f"{KILLED}-aa", 2000)
                for n in range(count)]
        starts = [Note("S", each.job_id, 1, KILLED, 2.0) for each in lost if began]
        return replace(e, attempts=[*e.attempts, *lost], notes=[*e.notes, *starts])
    return fabricate


FABRICATED: list[tuple[str, str, Callable[[Evidence], Evidence]]] = [
    ("nothing_is_lost", "an acknowledged job is gone", without(2)),
    ("nothing_is_lost", "an id is another job", row(2, tag="0.9")),
    ("nothing_is_invented", "never ordered", row(2, tag="7.7")),
    ("nothing_is_invented", "there twice", row(2, tag="0.1")),
    ("every_job_ends", "still running", row(2, status="running", execution_over=0)),
    ("every_job_ends", "parked, said to execute", row(2, status="dead_letter", execution_over=0)),
    ("every_job_ends", "did not settle", told(unsettled=["job 2"])),
    ("a_transaction_is_whole", "half a call",
     lambda e: said(intent("0.4.0"), intent("0.4.1"))(row(4, tag="0.4.0")(e))),
    ("children_come_with_success", "a child is missing", without(6)),
    ("children_come_with_success", "children of a failure", row(4, status="dead_letter")),
    ("children_come_with_success", "children of no parent", row(4, job_type="quick")),
    ("a_key_is_held_once", "seen live twice", told(seen=[{"two live with": "key", "ids": "1,2"}])),
    ("a_key_is_held_once", "made while the first was live", keyed(5.0)),
    ("a_request_is_one_job", "two ids", said(ack(1, "0.1", request_id="r"),
                                             ack(2, "0.2", request_id="r"))),
    ("a_request_is_one_job", "its own job, and one it made",
     lambda e: said(ack(1, "0.1", request_id="r"), held())(
         row(2, unique_key="key", request_id="r")(e))),
    ("a_request_is_one_job", "a job without its key",
     said(ack(1, "0.1", request_id="r"), held())),
    ("cancelled_means_asked", "unasked", row(2, status="cancelled")),
    ("cancelled_means_asked", "completed after a cancel", said(*asked("cancel", 2, "pending", 20))),
    ("cancelled_means_asked", "started after a cancel",
     lambda e: said(*asked("cancel", 2, "retrying", 5.15))(row(2, status="cancelled")(e))),
    ("nothing_goes_back", "an attempt number fell", told(seen=[{"went back": 1}])),
    ("counts_add_up", "status counts wrong", told(counts={"completed": 5})),
    ("batches_count_truly", "a counter drifted", told(batches=[BATCH | {"failed_items": 1}])),
    ("every_batch_ends", "still open", told(batches=[BATCH | {"status": "processing"}])),
    ("every_batch_ends", "never sealed", told(batches=[BATCH | {"sealed_at": None}])),
    ("a_start_is_an_attempt", "of no job", note(Note("S", 99, 1, CALM, 3.0))),
    ("a_start_is_an_attempt", "beyond the last", note(Note("S", 2, 3, CALM, 5.4))),
    ("a_start_is_an_attempt", "more starts than attempts", row(2, attempt=1)),
    ("an_attempt_begins_once", "twice", note(Note("S", 2, 2, CALM, 5.35))),
    ("completed_means_done", "never began", row(2, attempt=3)),
    ("completed_means_done", "failed", row(2, attempt=1)),
    ("none_overlap", "the lock was held", note(Note("X", 2, 2, CALM, 5.2))),
    ("none_overlap", "by their times", note(Note("E", 2, 1, CALM, 5.25, "OSError"))),
    ("none_overlap", "the first one's daemon lived", ended(KILLED, signals=[(9, 5.1)])),
    ("the_fence_holds", "an old attempt's result", row(1, result='{"attempt": 1}')),
    ("the_fence_holds", "completed twice by the log", logged(KILLED, event("job.completed", 1, 1))),
    ("the_fence_holds", "not the last attempt", logged(CALM, event("job.completed", 2, 1))),
    ("a_verdict_stands", "completed after a verdict",
     attempt(AttemptRow(3, 2, "timeout", "timeout", f"{CALM}-bb", 9000, timed_out_at=9050))),
    ("no_success_is_dropped", "returned, and failed", row(1, status="dead_letter")),
    ("deadlines_are_true", "far too early",
     attempt(AttemptRow(3, 2, "retrying", "timeout", f"{CALM}-bb", 9000, timed_out_at=9050))),
    ("deadlines_are_true", "frozen most of it", ended(CALM, frozen=[(6.1, 8.4)])),
    ("checkpoints_are_durable", "went back", note(Note("C", 1, 1, KILLED, 2.5, "3"),
                                                  Note("R", 1, 2, CALM, 5.0, "2"))),
    ("a_narrow_queue_runs_one", "two at once",
     lambda e: row(3, queue="narrow")(row(4, queue="narrow")(e))),
    ("retries_are_failures", "charged too much", row(2, retry_count=2)),
    ("retries_are_failures", "more than allowed", row(2, max_retries=0)),
    ("the_steady_are_charged_nothing", "a retry", row(1, retry_count=1)),
    ("the_steady_are_charged_nothing", "parked", row(1, status="dead_letter")),
    ("rescues_are_deaths", "its daemon lived",
     attempt(AttemptRow(4, 1, "retrying", "worker_lost", f"{CALM}-bb", 9000))),
    ("rescues_are_deaths", "its daemon never was",
     attempt(AttemptRow(4, 1, "retrying", "worker_lost", "999-bb", 9000))),
    ("rescues_are_deaths", "charged too much", row(1, rescue_count=2)),
    ("rescues_are_deaths", "poison too soon",
     row(1, status="dead_letter", failure_type="worker_lost")),
    ("the_buffered_are_innocent", "charged and never began", many_lost(5, began=False)),
    ("the_buffered_are_innocent", "more than ran", many_lost(9, began=True)),
    ("daemons_end_as_documented", "an unknown status", ended(CALM, status=1)),
    ("daemons_end_as_documented", "0, and not asked", ended(CALM, signals=[])),
    ("daemons_end_as_documented", "killed by another", ended(KILLED, signals=[])),
    ("daemons_end_as_documented", "SIGTERM ended a working one", ended(CALM, status=-15)),
    ("the_log_is_whole", "a broken line", logged(CALM, '{"event"')),
    ("nothing_is_wrong_by_the_log", "a refused row",
     logged(CALM, event("store.row_refused", 1, 2))),
    ("nothing_is_wrong_by_the_log", "a traceback", told(errors={CALM: "Traceback (most …"})),
    ("an_attempt_has_one_outcome", "two", logged(KILLED, event("job.released", 1, 2))),
    ("what_is_logged_is_durable", "not there", logged(KILLED, event("job.failed", 2, 3))),
    ("the_database_is_sound", "not ok", told(integrity=["row 5 missing from index"])),
    ("the_schema_fits", "drift", told(schema="job_queue: no index")),
    ("nobody_is_left", "a marked process", told(leftovers=["pid 5"])),
    ("producers_are_served", "a call failed",
     said({"kind": "error", "verb": "enqueue", "error": "locked"})),
]


@pytest.mark.parametrize(("check", "what", "fabricate"), FABRICATED,
                         ids=[f"{check}: {what}" for check, what, _ in FABRICATED])
def test_a_check_finds_what_it_is_for(
    check: str, what: str, fabricate: Callable[[Evidence], Evidence]
) -> None:
    """A violation that is put into sound evidence is found by its check."""
    assert check in {found.check for found in violations(fabricate(sound()))}


def test_the_sound_is_found_sound() -> None:
    """Evidence in which everything holds violates nothing."""
    assert [str(found) for found in violations(sound())] == []


def test_every_check_has_a_fabricated_violation() -> None:
    """No check is without a proof that it can find something."""
    assert {check for check, _, _ in FABRICATED} == set(CHECKS)


def test_the_holder_of_a_key_is_not_the_request_s_job() -> None:
    """A call with both keys may get the key's holder first, and its own job when it is repeated."""
    e = said(held(), ack(1, "0.1", request_id="r"))(row(2, unique_key="key")(sound()))
    assert list(CHECKS["a_request_is_one_job"](e)) == []


def test_a_key_may_be_held_again_once_it_is_free() -> None:
    """The second job with a key is no violation when the first never started after it was made."""
    assert list(CHECKS["a_key_is_held_once"](keyed(2.5)(sound()))) == []


def test_a_daemon_that_is_stopped_twice_stands_still_once() -> None:
    """It goes on when it is let go, however often it was stopped before."""
    twice = ended(CALM, frozen=[(6.1, 6.8), (6.2, 6.8)])(sound())
    assert list(CHECKS["deadlines_are_true"](twice)) == []
