"""One true paragraph for every status and cause, and the command to type next."""

from typing import Any

import pytest

from jobd.core.explain import explain
from jobd.core.facts import Facts
from jobd.core.lifecycle import JobStatus
from jobd.core.problem import Problem, State
from jobd.core.why_waiting import is_next

NOW = 1_800_000_000_000
MINUTE = 60_000
DAEMON = {"id": "d1", "pid": 4711, "started_at": NOW - 9 * MINUTE, "seen_at": NOW - MINUTE,
          "stopped_at": None}
STACK = """\
  File "/usr/lib/python3.11/threading.py", line 1045, in _bootstrap_inner
    self.run()
  File "/srv/app/jobs.py", line 12, in fetch
    answer = sock.recv(1)
"""

JOB = {
    "id": 17, "job_type": "thumbnail", "queue": "media", "status": "pending", "priority": 0,
    "attempt": 0, "retry_count": 0, "rescue_count": 0, "snooze_count": 0, "worker_id": None,
    "ready": 1, "due_at": None, "execution_over": 1, "batch_id": None, "created_at": NOW - MINUTE,
    "scheduled_at": None, "next_retry_at": None, "claimed_at": None, "started_at": None,
    "timed_out_at": None, "completed_at": None, "cancel_requested_at": None,
    "release_requested_at": None, "stop_requested_at": None, "failure_type": None,
    "error_message": None, "dead_letter_reason": None, "moved_to_dead_letter_at": None,
}


def facts(job: dict[str, Any], **given: Any) -> Facts:
    """A live daemon with a handler and a free worker, unless told otherwise."""
    surroundings = {"daemon_alive": True, "daemon": DAEMON, "handled": True, "workers": 4,
                    "job_types": ("thumbnail",)}
    return Facts(now=NOW, job=JOB | job, **(surroundings | given))


def attempt(**values: Any) -> dict[str, Any]:
    return {"attempt": 1, "worker": "JobWorker-2", "stack": None} | values


PENDING: dict[str, Any] = {}
ITEM = {"ready": 0, "batch_id": 3}
BATCH = {"id": 3, "name": "films", "status": "processing", "ends_as": None, "end_reason": None,
         "sealed_up_to": 99, "paused_at": None, "paused_by": None, "concurrent_processing": None,
         "position": 7, "executing": 2, "before": 6}
LATER = {"ready": 0, "due_at": NOW + 10 * MINUTE, "scheduled_at": NOW + 10 * MINUTE}
RETRYING = {"status": "retrying", "attempt": 2, "retry_count": 2, "failure_type": "network",
            "error_message": "connection refused\nsecond line", "ready": 0,
            "due_at": NOW + MINUTE, "next_retry_at": NOW + MINUTE}
RUNNING = {"status": "running", "attempt": 1, "worker_id": "d1", "ready": 0, "execution_over": 0,
           "claimed_at": NOW - 2 * MINUTE, "started_at": NOW - 2 * MINUTE}
TIMEOUT = RUNNING | {"status": "timeout", "timed_out_at": NOW - 3_000}
ZOMBIE = RUNNING | {"status": "zombie"}
DEAD = {"status": "dead_letter", "attempt": 4, "failure_type": "network", "ready": 0,
        "error_message": "connection refused", "dead_letter_reason": "network: 3 of 3 retries used",
        "moved_to_dead_letter_at": NOW - MINUTE}
FAILED = {"status": "failed", "attempt": 1, "failure_type": "validation", "ready": 0,
          "error_message": "no such customer", "completed_at": NOW - MINUTE}
CANCELLED = {"status": "cancelled", "ready": 0, "completed_at": NOW - MINUTE}
COMPLETED = {"status": "completed", "attempt": 1, "ready": 0, "started_at": NOW - 90_000,
             "completed_at": NOW - MINUTE}
CANCEL_BY_ANN = {"verb": "cancel", "actor": "ann", "acted_at": NOW - MINUTE, "detail": None}
DOWN: dict[str, Any] = {"daemon_alive": False}
NEVER_RAN: dict[str, Any] = {"daemon_alive": False, "daemon": None}

FROZEN: dict[str, Any] = {
    "trouble": Problem(State.DOWN, "frozen_daemon", "The daemon is frozen.", "kill -CONT 4711")
}

CASES: list[tuple[str, dict[str, Any], dict[str, Any], list[str], str]] = [
    ("pending, ready, daemon down", PENDING, DOWN,
     ["Job 17 (thumbnail) waits in queue media.", "No daemon is active", "pid 4711", "1 min ago"],
     "jobd run"),
    *((f"{job.get('status', 'pending')}, frozen", job, FROZEN, ["The daemon is frozen."],
       "kill -CONT 4711") for job in (PENDING, LATER, RETRYING, RUNNING, TIMEOUT, ZOMBIE)),
    ("pending, no daemon ever", PENDING, NEVER_RAN, ["No daemon has run on this database yet"],
     "jobd run"),
    ("pending, ready, first", PENDING, {}, ["daemon is active", "it is first in queue media"],
     "jobd wait 17"),
    ("pending, ready, one before", PENDING, {"ahead": 1},
     ["1 job is before it in queue media"], "jobd wait 17"),
    ("pending, ready, many before", PENDING, {"ahead": 42},
     ["42 jobs are before it in queue media"], "jobd wait 17"),
    ("pending, scheduled", LATER, {}, ["is scheduled for 2027-", "(in 10 min)"], "jobd wait 17"),
    ("pending, scheduled, daemon down", LATER, DOWN,
     ["is scheduled for", "No daemon is active"], "jobd run"),
    ("pending, snoozed", LATER | {"snooze_count": 2}, {},
     ["sleeps until", "its handler asked to be called again then"], "jobd wait 17"),
    ("pending, paused", PENDING, {"paused_at": NOW - MINUTE, "paused_by": "ann"},
     ["Queue media was paused by ann", "1 min ago"], "jobd queue resume media"),
    ("pending, full, one holder", PENDING, {"concurrency": 1, "executing": [7]},
     ["concurrency limit of 1, held by job 7;"], "jobd explain 7"),
    ("pending, full, two holders", PENDING, {"concurrency": 2, "executing": [7, 9]},
     ["concurrency limit of 2, held by jobs 7 and 9;"], "jobd explain 7"),
    ("pending, below the limit", PENDING, {"concurrency": 2, "executing": [7]},
     ["takes it in its turn"], "jobd wait 17"),
    ("pending, no handler, near", {"ready": 0, "job_type": "thumbnial"},
     {"handled": False, "job_types": ("thumbnail", "mail")},
     ["set aside", "no handler for job type thumbnial", "It has one for thumbnail."], "jobd check"),
    ("pending, no handler at all", {"ready": 0}, {"handled": False, "job_types": ()},
     ["set aside", "pool.handlers"], "jobd check"),
    ("pending, overlooked", PENDING, {"overlooked": True},
     ["ready for 1 min", "does not take it"], "jobd wait 17"),
    ("pending, another suspect runs", {"rescue_count": 2}, {"suspect": 7, "busy": 4},
     ["lost with its daemon 2 times, and so was job 7, whose execution is not over"],
     "jobd explain 7"),
    ("pending, all busy", PENDING, {"busy": 4}, ["All 4 workers are busy"], "jobd workers"),
    ("pending, the one worker busy", PENDING, {"workers": 1, "busy": 1},
     ["The one worker is busy"], "jobd workers"),
    ("pending, not sealed", ITEM, {"batch": BATCH | {"sealed_up_to": 4}},
     ["item 7 of batch films (id 3)", "runs once all of them are in"], "jobd batch show films"),
    ("pending, batch paused", ITEM, {"batch": BATCH | {
        "status": "paused", "paused_by": "ann", "paused_at": NOW - MINUTE}},
     ["The batch was paused by ann", "1 min ago"], "jobd batch resume films"),
    ("pending, batch paused, later", ITEM | LATER, {"batch": BATCH | {"status": "paused"}},
     ["The batch was paused"], "jobd batch resume films"),
    ("pending, batch paused, queue full", ITEM, {
        "batch": BATCH | {"status": "paused"}, "concurrency": 1, "executing": [7]},
     ["The batch was paused"], "jobd batch resume films"),
    ("pending, not sealed, queue full", ITEM, {
        "batch": BATCH | {"sealed_up_to": 4}, "concurrency": 1, "executing": [7]},
     ["runs once all of them are in"], "jobd batch show films"),
    ("retrying, batch full, later", RETRYING | ITEM, {
        "batch": BATCH | {"concurrent_processing": 2}}, ["Retry 2 is due"], "jobd retry 17"),
    ("pending, batch full", ITEM, {"batch": BATCH | {"concurrent_processing": 2}},
     ["runs 2 items at once, and so many run; 6 items of its batch are before it"],
     "jobd batch show films"),
    ("pending, batch ends", ITEM, {"batch": BATCH | {
        "ends_as": "failed", "end_reason": "an item failed, and 1 stops it"}},
     ["is ending (an item failed, and 1 stops it): the item will be cancelled"],
     "jobd batch show films"),
    ("pending, its turn", ITEM, {"batch": BATCH | {"before": 0}},
     ["takes it in its turn; it is the next of its batch"], "jobd wait 17"),
    ("pending, its turn, all busy", ITEM, {"batch": BATCH, "busy": 4},
     ["All 4 workers are busy; 6 items of its batch are before it"], "jobd workers"),
    ("retrying, item, later", RETRYING | {"batch_id": 3}, {"batch": BATCH},
     ["Retry 2 is due", "(in 1 min)"], "jobd retry 17"),
    ("retrying, later", RETRYING, {"retry_limit": 3},
     ["Attempt 2 of job 17", "failed with network: connection refused.", "Retry 2 of 3 is due",
      "(in 1 min)"], "jobd retry 17"),
    ("retrying, lost worker", RETRYING | {"failure_type": "worker_lost", "rescue_count": 1},
     {"retry_limit": 3}, ["Rescue 1 of 3"], "jobd retry 17"),
    ("retrying, due", RETRYING | {"ready": 1, "due_at": None, "next_retry_at": NOW - 1}, {},
     ["Retry 2 is due now.", "first in queue media"], "jobd wait 17"),
    ("retrying, daemon down", RETRYING, DOWN, ["failed with network", "No daemon is active"],
     "jobd run"),
    ("running", RUNNING, {"attempts": [attempt()]},
     ["has been running on JobWorker-2 of daemon pid 4711 for 2 min (attempt 1).",
      "It has no timeout."], "jobd wait 17"),
    ("running, timeout left", RUNNING, {"timeout_ms": 5 * MINUTE},
     ["Its timeout of 5 min leaves it 3 min."], "jobd wait 17"),
    ("running, timeout over", RUNNING, {"timeout_ms": MINUTE},
     ["Its timeout of 1 min is over; the next sweep tells it to stop."], "jobd wait 17"),
    ("running, progress", RUNNING,
     {"progress": {"attempt": 1, "done": 3.0, "total": 10.0, "message": "pages",
                   "reported_at": NOW - 2_000}},
     ["It reported 3 of 10 (pages) 2 s ago."], "jobd wait 17"),
    ("running, its worker is not well", RUNNING, {"worker_health": "potentially_stuck"},
     ["Its worker may be stuck: it was told to stop and has not yet, or it reports no progress."],
     "jobd logs 17"),
    ("running, buffered", RUNNING | {"started_at": None}, {},
     ["claimed for attempt 1", "buffered", "no worker has taken it"], "jobd workers"),
    ("running, cancel asked", RUNNING | {"cancel_requested_at": NOW - MINUTE},
     {"actions": [CANCEL_BY_ANN]},
     ["Its cancellation was asked for by ann 1 min ago; it becomes cancelled as soon as"],
     "jobd wait 17"),
    ("running, release asked", RUNNING | {"release_requested_at": NOW - MINUTE}, {},
     ["Its release was asked for at 2027-", "it goes back to pending"], "jobd wait 17"),
    ("running, told to stop", RUNNING | {"stop_requested_at": NOW - MINUTE}, {},
     ["The daemon told it to stop at"], "jobd wait 17"),
    ("running, daemon dead", RUNNING, DOWN,
     ["was running (attempt 1). Its daemon is gone. No daemon is active", "settles what was left"],
     "jobd run"),
    ("running, another daemon alive", RUNNING | {"worker_id": "d0"}, {},
     ["Its daemon is gone; the active one settles it"], "jobd explain 17"),
    ("timeout", TIMEOUT, {"timeout_ms": MINUTE, "attempts": [attempt(stack=STACK)]},
     ["passed its timeout of 1 min", "(3 s ago)", "told to stop", "may still be executing",
      'It hung at: File "/srv/app/jobs.py", line 12, in fetch: answer = sock.recv(1).'],
     "jobd show 17"),
    ("timeout, no stack", TIMEOUT, {}, ["told to stop", "it becomes zombie"], "jobd show 17"),
    ("timeout, cancel asked", TIMEOUT | {"cancel_requested_at": NOW}, {},
     ["it becomes cancelled as soon as its execution is over"], "jobd show 17"),
    ("timeout, daemon dead", TIMEOUT, DOWN, ["passed its timeout", "Its daemon is gone."],
     "jobd run"),
    ("zombie, would not stop", ZOMBIE, {"attempts": [attempt(stack=STACK)]},
     ["would not stop", "sock.recv(1)", "5 min (timing.zombie_hold)", "restarting the daemon"],
     "jobd show 17"),
    ("zombie, would not stop, daemon gone", ZOMBIE | {"timed_out_at": NOW - 3_000}, DOWN,
     ["it passed its timeout", "would not stop when told to", "Its daemon is gone"], "jobd run"),
    ("pending, the last daemon said why it ended", PENDING, DOWN | {"last_words": "it fell"},
     ["was last seen 1 min ago; it fell): start one."], "jobd run"),
    ("pending, the last start was refused", PENDING,
     DOWN | {"last_words": "pid 9 ended with exit status 78, because it is wrong"},
     ["because it is wrong): start one once that is mended."], "jobd run"),
    ("pending, the service is down", PENDING, DOWN | {"starter": "sudo systemctl start jobd"},
     ["start one."], "sudo systemctl start jobd"),
    ("zombie, daemon died", ZOMBIE, DOWN, ["its daemon ended while it ran"], "jobd run"),
    ("dead_letter", DEAD, {},
     ["parked as dead_letter at 2027-", "(1 min ago): network: 3 of 3 retries used.",
      "Its last failure: network: connection refused. 4 attempts were made."], "jobd retry 17"),
    ("dead_letter, still executing", DEAD | {"execution_over": 0}, {},
     ["may still be executing", "restart the daemon"], "systemctl restart jobd"),
    ("dead_letter, still executing, started by hand", DEAD | {"execution_over": 0},
     {"restarter": "kill 4711"}, ["restart the daemon"], "kill 4711"),
    ("dead_letter, still executing, daemon down", DEAD | {"execution_over": 0}, DOWN,
     ["may still be executing", "No daemon is active"], "jobd run"),
    ("dead_letter, key taken", DEAD, {"key_holder": 23},
     ["Its unique key is held by job 23"], "jobd explain 23"),
    ("failed", FAILED, {},
     ["failed at 2027-", "with validation: no such customer.", "1 attempt was made",
      "no further retry"], "jobd retry 17"),
    ("cancelled, never ran", CANCELLED, {"actions": [CANCEL_BY_ANN]},
     ["was cancelled by ann 1 min ago before it ever ran."], "jobd retry 17"),
    ("cancelled after attempts", CANCELLED | {"attempt": 2}, {},
     ["was cancelled at 2027-", "after 2 attempts."], "jobd retry 17"),
    ("completed", COMPLETED, {},
     ["completed at 2027-", "(1 min ago), after 30 s on attempt 1."], "jobd show 17"),
]


@pytest.mark.parametrize(
    ("job", "given", "parts", "command"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_cause_is_named_with_its_command(
    job: dict[str, Any], given: dict[str, Any], parts: list[str], command: str
) -> None:
    """The paragraph says what is so, and the command is the one that helps."""
    found = explain(facts(job, **given))
    for part in parts:
        assert part in found.text
    assert found.next_command == command


@pytest.mark.parametrize(
    ("job", "given"), [case[1:3] for case in CASES], ids=[case[0] for case in CASES]
)
def test_paragraph_is_made_of_whole_sentences(job: dict[str, Any], given: dict[str, Any]) -> None:
    """It begins with a capital, ends with a full stop, and has no gap from an empty part."""
    text = explain(facts(job, **given)).text
    assert text[0].isupper()
    assert text.endswith(".")
    assert "  " not in text
    assert ".." not in text
    assert "None" not in text


@pytest.mark.parametrize("status", JobStatus)
def test_every_status_has_an_explanation(status: JobStatus) -> None:
    """Whatever little is recorded of a job, there is a paragraph for it."""
    assert explain(facts({"status": str(status), "ready": 0})).text


@pytest.mark.parametrize("status", JobStatus)
def test_every_status_is_in_the_table_of_cases(status: JobStatus) -> None:
    """A tenth status would need a case of its own here."""
    assert status in {case[1].get("status", "pending") for case in CASES}


@pytest.mark.parametrize("given", [
    {"busy": 4}, {"ahead": 1}, {"paused_at": NOW}, {"handled": False}, {"daemon_alive": False},
    {"concurrency": 1, "executing": [3]}, FROZEN, {"workers": 0}, {"suspect": 7},
])
def test_a_job_with_something_in_its_way_is_not_next(given: dict[str, Any]) -> None:
    """Nor one that has become ready a moment ago; everything else should have been taken."""
    assert is_next(facts(PENDING))
    assert not is_next(facts(PENDING, **given))
    assert not is_next(facts({"created_at": NOW - 1_000}))
