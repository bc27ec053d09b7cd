"""Which jobs may run now, and taking them: order, pauses, limits, due times, what is set aside."""

import json
import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from jobd.core.job import AttemptOutcome, Job, Settlement
from jobd.core.lifecycle import EXECUTING, FailureType, JobStatus
from jobd.store import claims, outcomes
from jobd.store.connection import Database
from jobd.store.news import news, next_due_at
from tests.store.conftest import NOW, OWNER, Rows, claim_ids, heads_of

UNCLAIMED: dict[str, Any] = {"attempt": 0, "worker_id": None}


def ids(heads: list[Job]) -> list[int]:
    return [head.id for head in heads]


def pause(db: sqlite3.Connection, name: str) -> None:
    db.execute("INSERT INTO queues (name, paused_at) VALUES (?, 1)", (name,))


def test_higher_priority_first_then_first_in_first_out(
    db: sqlite3.Connection, rows: Rows
) -> None:
    """Within a queue the line is sorted by priority, and by id where that is equal."""
    put = [rows.put(priority=p) for p in (0, 5, -1_000, 5, 1_000, 0)]
    expected = [put[i] for i in (4, 1, 3, 0, 5, 2)]
    assert ids(claims.heads(db, 9, {})) == expected
    assert ids(claims.heads(db, 3, {})) == expected[:3]
    assert claims.heads(db, 0, {}) == []


def test_queues_share_one_line(db: sqlite3.Connection, rows: Rows) -> None:
    """The best heads of all open queues come first, whatever their queue is called."""
    put = [rows.put(queue=q, priority=p) for q, p in
           [("b", 0), ("a", 0), ("c", 7), ("a", 7), ("b", 1)]]
    assert ids(claims.heads(db, 9, {})) == [put[i] for i in (2, 3, 4, 0, 1)]


def test_a_head_says_what_the_choice_needs(db: sqlite3.Connection, rows: Rows) -> None:
    """All that the claimed job will carry, as the row has it."""
    job_id = rows.put("retrying", queue="media", job_type="thumb", rescue_count=2)
    [head] = claims.heads(db, 1, {})
    assert head._replace(ready_at=None, bufferable=True) == heads_of(db, [job_id])[0]


FAILED = Settlement(0, 0, OWNER, AttemptOutcome.RETRYING, FailureType.UNKNOWN)
SNOOZED = replace(FAILED, outcome=AttemptOutcome.SNOOZED, failure_type=None)
LOST = replace(FAILED, failure_type=FailureType.WORKER_LOST)


@pytest.mark.parametrize(
    ("attempt", "counted", "kept", "ended", "bufferable"),
    [
        # by its counters
        (0, {}, [], True, True),
        (1, {"retry_count": 1}, [], True, True),
        (90, {"retry_count": 2, "snooze_count": 88}, [], True, True),
        (90, {"retry_count": 2, "snooze_count": 87}, [], True, False),
        (3, {"retry_count": 3, "rescue_count": 1}, [], True, False),
        # an operator's retry has set them back
        (1, {}, [FAILED], True, True),
        (3, {}, [FAILED, SNOOZED, FAILED], True, True),
        (2, {"retry_count": 1}, [FAILED, FAILED], True, True),
        # nothing is known of one of them: the last, the first, or how a verdict ended
        (1, {}, [], True, False),
        (3, {}, [FAILED, FAILED, None], True, False),
        (3, {}, [None, SNOOZED, FAILED], True, False),
        (3, {"snooze_count": 2}, [SNOOZED, None, SNOOZED], True, False),
        (1, {}, [FAILED], False, False),
        # one lost its worker
        (2, {}, [FAILED, LOST], True, False),
        (2, {}, [LOST, FAILED], True, False),
        # not worth counting
        (20, {}, [SNOOZED] * 20, True, True),
        (21, {}, [SNOOZED] * 21, True, False),
    ],
)
def test_a_job_is_bufferable_when_all_its_attempts_are_known_to_have_ended(
    db: sqlite3.Connection, rows: Rows, attempt: int, counted: dict[str, int],
    kept: list[Settlement | None], ended: bool, bufferable: bool,
) -> None:
    """Else it may have killed its daemon before its start was written, and might do so again."""
    job_id = rows.put(attempt=attempt, **counted)
    outcomes.keep_attempts(
        db, [replace(each, job_id=job_id, attempt=number)
             for number, each in enumerate(kept, 1) if each is not None], NOW, ended=ended,
    )
    [head] = claims.heads(db, 1, {})
    assert bool(head.bufferable) == bufferable


@pytest.mark.parametrize(
    ("paused", "full", "open_queues"),
    [
        ([], [], "abc"),
        (["a"], [], "bc"),
        ([], ["b"], "ac"),
        (["a"], ["b"], "c"),
        (["c"], ["c"], "ab"),
        (["a", "b", "c"], [], ""),
        ([], ["a", "b", "c"], ""),
        (["x"], ["y"], "abc"),
    ],
)
def test_paused_and_full_queues_are_left_out(
    db: sqlite3.Connection, rows: Rows, paused: list[str], full: list[str], open_queues: str
) -> None:
    """Jobs of a queue that is paused or at its limit do not stand in the line."""
    for queue in "abc":
        rows.put(queue=queue)
    for queue in paused:
        pause(db, queue)
    found = claims.heads(db, 9, dict.fromkeys(full, 0))
    assert [head.queue for head in found] == list(open_queues)


def test_of_a_limited_queue_no_more_is_found_than_it_has_room_for(
    db: sqlite3.Connection, rows: Rows
) -> None:
    """So it hides nobody; a suspect takes no room, because it may be passed over."""
    narrow = [rows.put(queue="narrow", rescue_count=r) for r in (2, 0, 3, 0, 2, 0)]
    tight = [rows.put(queue="tight", priority=p) for p in (0, 5)]
    wide = [rows.put(queue="wide") for _ in range(3)]
    assert ids(claims.heads(db, 9, {"narrow": 2, "tight": 1})) == [
        tight[1], *narrow[:4], *wide]
    assert ids(claims.heads(db, 9, {"narrow": 3, "wide": 0})) == [tight[1], *narrow, tight[0]]
    assert ids(claims.heads(db, 3, {"narrow": 9})) == [tight[1], *narrow[:2]]


def test_a_resumed_queue_is_open(db: sqlite3.Connection, rows: Rows) -> None:
    """A row in `queues` without `paused_at` closes nothing."""
    rows.put(queue="a")
    db.execute("INSERT INTO queues (name, concurrency) VALUES ('a', 1)")
    assert len(claims.heads(db, 9, {})) == 1


@pytest.mark.parametrize("status", [s for s in JobStatus if s not in ("pending", "retrying")])
def test_only_waiting_jobs_stand_in_the_line(
    db: sqlite3.Connection, rows: Rows, status: str
) -> None:
    """Whatever executes or has ended is no head, and cannot be claimed by its id either."""
    job_id = rows.put(status)
    before = rows.get(job_id)
    assert claims.heads(db, 9, {}) == []
    assert claim_ids(db, [job_id], [], OWNER, NOW) == []
    assert rows.get(job_id) == before


@pytest.mark.parametrize(
    "columns",
    [{"ready": 0}, {"ready": 0, "due_at": NOW - 1}, {"ready": 0, "due_at": NOW + 1}],
    ids=["set aside", "due but not promoted", "later"],
)
def test_a_claim_of_what_is_not_ready_changes_nothing(
    db: sqlite3.Connection, rows: Rows, columns: dict[str, int]
) -> None:
    """Also by its id a job that may not run yet is not taken."""
    job_id = rows.put(**columns)
    before = rows.get(job_id)
    assert claims.heads(db, 9, {}) == []
    assert claim_ids(db, [job_id], [job_id], OWNER, NOW) == []
    assert rows.get(job_id) == before


@pytest.mark.parametrize(
    ("direct", "started_at"), [(True, NOW), (False, None)], ids=["direct", "buffered"]
)
@pytest.mark.parametrize("status", ["pending", "retrying"])
def test_what_a_claim_sets(
    db: sqlite3.Connection, rows: Rows, status: str, direct: bool, started_at: int | None
) -> None:
    """The next attempt of this owner, executing, no longer ready; started only when direct."""
    job_id = rows.put(status, worker_id=None, completed_at=4)

    def claim() -> None:
        chosen = [[job_id], []] if direct else [[], [job_id]]
        assert len(claim_ids(db, *chosen, "daemon-2", NOW)) == 1

    expected = {
        "status": "running", "attempt": 4, "worker_id": "daemon-2", "claimed_at": NOW,
        "completed_at": None, "ready": 0, "execution_over": 0,
    }
    if direct:
        expected["started_at"] = started_at
    assert rows.change(job_id, claim) == expected


def test_a_claimed_job_is_complete(db: sqlite3.Connection, rows: Rows) -> None:
    """It carries everything that a worker needs."""
    values = {"job_type": "thumb", "queue": "media", "payload": '{"a":1}', "priority": 5,
              "retry_count": 1, "rescue_count": 2, "timeout_ms": 500, "isolation": "process"}
    job_id = rows.put("retrying", **values)
    [job] = claim_ids(db, [], [job_id], OWNER, NOW)
    assert {name: getattr(job, name) for name in values} == values
    assert (job.id, job.attempt) == (job_id, 4)


def test_a_long_payload_is_read_with_the_claim(db: sqlite3.Connection, rows: Rows) -> None:
    """The heads leave it out, the claimed job has it whole, and the others have their own."""
    long = json.dumps({"text": "x" * claims.SHORT_PAYLOAD})
    put = [rows.put(payload=text, **UNCLAIMED) for text in ('{"a":1}', long, '{"b":2}')]
    heads = claims.heads(db, 9, {})
    assert [head.payload for head in heads] == ['{"a":1}', "", '{"b":2}']
    claimed = claims.claim(db, heads[:1], heads[1:], OWNER, NOW)
    assert (claimed.direct, claimed.at) == (1, NOW)
    assert [(job.id, job.payload) for job in claimed.jobs] == list(
        zip(put, ['{"a":1}', long, '{"b":2}'], strict=True))


def test_claims_come_back_in_the_order_asked_for(db: sqlite3.Connection, rows: Rows) -> None:
    """Those for a worker first, then the buffered ones; what was gone is missing."""
    put = [rows.put() for _ in range(6)]
    gone = rows.put("running")
    direct, buffered = [put[4], gone, put[0]], [put[5], put[1], 999]
    claimed = claims.claim(db, heads_of(db, direct), heads_of(db, buffered), OWNER, NOW)
    assert [job.id for job in claimed.jobs] == [put[4], put[0], put[5], put[1]]
    assert claimed.direct == 2
    assert claim_ids(db, [], [], OWNER, NOW) == []


def test_no_job_is_claimed_twice(db: sqlite3.Connection, rows: Rows) -> None:
    """The second claim of the same id takes nothing."""
    job_id = rows.put(**UNCLAIMED)
    assert len(claim_ids(db, [job_id], [], "daemon-1", NOW)) == 1
    assert claim_ids(db, [job_id], [], "daemon-2", NOW) == []
    assert (rows.get(job_id)["attempt"], rows.get(job_id)["worker_id"]) == (1, "daemon-1")


def test_what_is_due_is_promoted(db: sqlite3.Connection, rows: Rows) -> None:
    """Rows whose time has come become ready; later ones and those set aside do not."""
    due = [rows.put(due_at=NOW), rows.put("retrying", due_at=NOW - 5)]
    later, aside = rows.put(due_at=NOW + 1), rows.put(ready=0)
    assert claims.promote_due(db, NOW) == 2
    assert claims.promote_due(db, NOW) == 0
    assert [(rows.get(i)["ready"], rows.get(i)["due_at"]) for i in due] == [(1, None)] * 2
    assert [(rows.get(i)["ready"], rows.get(i)["due_at"]) for i in (later, aside)] == [
        (0, NOW + 1), (0, None)
    ]


def test_a_thousand_are_promoted_at_once(db: sqlite3.Connection) -> None:
    """The longest due come first, and a flood of due rows holds up no transaction."""
    db.execute("BEGIN")
    db.execute(
        """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
        INSERT INTO job_queue (job_type, created_at, due_at) SELECT 't', 1, 10000 - i FROM n"""
    )
    assert [claims.promote_due(db, NOW) for _ in range(4)] == [1_000, 1_000, 500, 0]
    db.execute("ROLLBACK")
    db.execute("BEGIN")
    for due in (30, 10, 20):
        db.execute(
            "INSERT INTO job_queue (job_type, created_at, due_at) VALUES ('t', 1, ?)", (due,)
        )
    assert next_due_at(db) == 10
    assert claims.promote_due(db, 20) == 2
    assert next_due_at(db) == 30
    db.execute("COMMIT")


def test_nothing_waits_for_a_time(db: sqlite3.Connection, rows: Rows) -> None:
    """Then there is no next due time."""
    rows.put()
    rows.put(ready=0)
    assert next_due_at(db) is None


def test_without_a_handler_a_job_is_set_aside_and_brought_back(
    db: sqlite3.Connection, rows: Rows
) -> None:
    """It keeps its status, leaves the line, and returns to it with a daemon that can run it."""
    mine, alien, later = rows.put(), rows.put(job_type="alien"), rows.put("retrying", job_type="a")
    before = rows.get(alien)
    claims.set_aside_without_handler(db, [alien, later])
    assert rows.get(alien) == {**before, "ready": 0}
    assert ids(claims.heads(db, 9, {})) == [mine]
    assert claims.bring_back_handled(db, ["t", "other"]) == 0
    assert claims.bring_back_handled(db, ["alien", "a"]) == 2
    assert claims.bring_back_handled(db, ["alien", "a"]) == 0
    assert rows.get(alien) == before


def test_only_what_was_set_aside_is_brought_back(db: sqlite3.Connection, rows: Rows) -> None:
    """Rows that wait for a time, execute or have ended stay as they are."""
    put = [rows.put(status) for status in JobStatus if status not in ("pending", "retrying")]
    put += [rows.put(due_at=NOW + 5), rows.put("retrying", due_at=NOW + 5)]
    before = [rows.get(job_id) for job_id in put]
    assert claims.bring_back_handled(db, ["t"]) == 0
    claims.set_aside_without_handler(db, put)
    assert [rows.get(job_id) for job_id in put] == before


def test_what_executes_counts_until_it_is_over(db: sqlite3.Connection, rows: Rows) -> None:
    """Zombies, and parked jobs that still execute, count towards their queue's limit."""
    for status in EXECUTING:
        rows.put(status, queue="a")
    rows.put("dead_letter", queue="a", execution_over=0)
    rows.put("dead_letter", queue="a")
    rows.put("running", queue="b")
    rows.put(queue="c")
    assert claims.executing_by_queue(db) == {"a": 4, "b": 1}


GIVE_BACK: list[tuple[str, dict[str, Any], dict[str, Any] | None, bool]] = [
    # why                          the held job                 another row         goes back
    ("nothing",                    {},                          None,                    False),
    ("a cancel",                   {"cancel_requested_at": 1},  None,                    True),
    ("a release",                  {"release_requested_at": 1}, None,                    True),
    ("a pause",                    {"queue": "paused"},         None,                    True),
    ("overtaken",                  {},                          {"priority": 6},         True),
    ("not by an equal",            {},                          {"priority": 5},         False),
    ("not by a lower",             {},                          {"priority": 4},         False),
    ("not by another queue",       {},                          {"priority": 6, "queue": "b"},
     False),
    ("not by one that is not due", {},                          {"priority": 6, "due_at": NOW},
     False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("held", "other", "expected"), [row[1:] for row in GIVE_BACK], ids=[r[0] for r in GIVE_BACK]
)
def test_which_buffered_jobs_go_back(
    db: sqlite3.Connection,
    rows: Rows,
    held: dict[str, Any],
    other: dict[str, Any] | None,
    expected: bool,
) -> None:
    """One that was overtaken, whose queue is paused, or that was asked to stop."""
    pause(db, "paused")
    job_id, innocent = rows.put("running", **{"priority": 5} | held), rows.put("running", queue="z")
    if other is not None:
        rows.put(**other)
    found = news(db, OWNER, [innocent, job_id]).to_give_back
    assert found == ([job_id] if expected else [])
    assert news(db, OWNER, []).to_give_back == []


@pytest.mark.parametrize(
    ("due", "delay", "expected"),
    [
        (NOW + 1_000, 1_000, NOW + 1_000),
        (NOW + 1_001, 1_000, NOW + 1_000),
        (NOW + 3_600_000, 1_000, NOW + 1_000),
        (NOW + 500, 1_000, NOW + 500),
        (NOW - 500, 1_000, NOW - 500),
        (NOW + 3_600_000, None, NOW + 3_600_000),
    ],
)
def test_no_retry_waits_longer_than_its_own_delay(
    db: sqlite3.Connection, rows: Rows, due: int, delay: int | None, expected: int
) -> None:
    """After the wall clock stepped back, a retry is due at most its delay from now."""
    job_id = rows.put("retrying", due_at=due, next_retry_at=due, retry_delay_ms=delay)
    assert claims.clamp_retries(db, NOW) == int(expected != due)
    assert (rows.get(job_id)["due_at"], rows.get(job_id)["next_retry_at"]) == (expected, expected)


def test_only_retries_are_clamped(db: sqlite3.Connection, rows: Rows) -> None:
    """What a person scheduled keeps its time; what is ready stays ready."""
    put = [
        rows.put(due_at=NOW + 9_000, scheduled_at=NOW + 9_000, retry_delay_ms=1),
        rows.put("retrying", next_retry_at=NOW + 9_000, retry_delay_ms=1),
        rows.put("running", next_retry_at=NOW + 9_000, retry_delay_ms=1),
    ]
    before = [rows.get(job_id) for job_id in put]
    assert claims.clamp_retries(db, NOW) == 0
    assert [rows.get(job_id) for job_id in put] == before


def test_the_depth_and_the_oldest_head(db: sqlite3.Connection, rows: Rows) -> None:
    """How many are ready, and since when the head of the line waits that waits longest."""
    assert claims.depth(db) == (0, None)
    rows.put(queue="a", created_at=50)
    rows.put(queue="b", created_at=30)
    rows.put("running", created_at=1)
    rows.put(due_at=NOW, created_at=2)
    assert claims.depth(db) == (2, 30)


def test_a_paused_queue_has_no_head(db: sqlite3.Connection, rows: Rows) -> None:
    """Its jobs count as ready, but nobody waits for its head to move."""
    rows.put(queue="a", created_at=50)
    rows.put(queue="b", created_at=30)
    pause(db, "b")
    assert claims.depth(db) == (2, 50)


@pytest.fixture
def many_queues(rows: Rows) -> list[int]:
    """Two ready jobs in each of 30 queues."""
    return [rows.put(queue=f"q{n % 30:02}") for n in range(60)]


def test_of_the_only_queue_no_more_is_read_than_it_has_room_for(
    db: sqlite3.Connection, rows: Rows
) -> None:
    """Else a limit of one would read the whole line for each job."""
    found = [rows.put(queue="a") for _ in range(20)]
    assert ids(claims.heads(db, 20, {"a": 2, "b": 9})) == found[:2]


def test_many_queues_take_one_statement(database: Database, many_queues: list[int]) -> None:
    """The heads of any number of queues are found by one SELECT, which looks for them as well."""
    seen: list[str] = []
    database.connection.set_trace_callback(seen.append)
    assert ids(claims.heads(database.connection, 60, {})) == many_queues
    full = {f"q{n:02}": 0 for n in range(1, 30)}
    assert ids(claims.heads(database.connection, 60, full)) == [many_queues[0], many_queues[30]]
    assert len(seen) == 2
    assert json.dumps(full) in seen[1]
