"""One turn of the dispatcher beside a worker that goes on meanwhile, both played by the test."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

import jobd
from jobd.core.config import Config
from jobd.core.job import Ending, Failed, Failure, Succeeded
from jobd.core.lifecycle import FailureType
from jobd.core.registry import Handler
from jobd.daemon.attempt import Attempt, Ended
from jobd.daemon.checkpointer import Checkpointer
from jobd.daemon.crew import Crew, new_identity
from jobd.daemon.dispatcher import Dispatcher
from jobd.daemon.hand import Hand
from jobd.daemon.inbox import Inbox
from jobd.daemon.ledger import Ledger
from jobd.daemon.report import Report
from jobd.daemon.turn import Applied
from jobd.daemon.wakeup import Wakeup
from jobd.daemon.worker import JobWorker, WorkerPool
from jobd.store.claims import executing_by_queue
from jobd.store.connection import Database
from jobd.store.opening import open_database

NOW_MS, NOW = 1_800_000_000_000, 100.0
TOOK = 0.000_01
NOTHING = Succeeded(None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with jobd.Queue(tmp_path / "jobd.db") as queue:
        queue.enqueue_many([("noop", {})] * 3)
    return tmp_path / "jobd.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    found = open_database(path, now=NOW_MS)
    yield found
    found.close()


@dataclass
class Desk:
    """A dispatcher and the attempts it has in hand, with one worker, and none of the threads."""

    dispatcher: Dispatcher
    crew: Crew
    pool: WorkerPool
    hand: Hand
    report: Report
    now_ms: int = NOW_MS


@pytest.fixture
def desk(path: Path) -> Iterator[Desk]:
    crew = Crew({"noop": Handler("noop", lambda: None)}, Config(), new_identity(), lambda _: None)
    pool, report = WorkerPool(1, _no_worker), Report()
    hand = Hand(pool, crew)
    ledger = Ledger(crew.identity.id, crew.policy, lambda: 0.5)
    wakeup = Wakeup(path)
    with closing(wakeup), closing(open_database(path, now=NOW_MS)) as writer, \
            closing(open_database(path, now=NOW_MS)) as second:
        checkpointer = Checkpointer(writer, second, report)
        dispatcher = Dispatcher(writer, checkpointer, wakeup, hand, crew, ledger, report,
                                lambda: NOW, lambda: found.now_ms)
        found = Desk(dispatcher, crew, pool, hand, report)
        yield found


def _no_worker(_name: str, _inbox: Inbox) -> JobWorker:
    raise AssertionError("the test is the worker")


def begin(desk: Desk, attempt: Attempt) -> None:
    """Its worker takes it, and runs the handler."""
    assert desk.pool.inbox.get(SimpleQueue()) is attempt
    attempt.begin("JobWorker-1", 1, NOW_MS, NOW)


def end(desk: Desk, attempt: Attempt, ending: Ending = NOTHING) -> None:
    attempt.ended = True
    desk.dispatcher.ended(Ended(attempt, ending, TOOK))


def started(database: Database) -> list[int]:
    """The jobs that would be charged if the daemon died now."""
    rows = database.connection.execute(
        "SELECT id FROM job_queue WHERE status = 'running' AND started_at IS NOT NULL")
    return [job_id for (job_id,) in rows]


def test_no_more_jobs_are_on_disk_as_started_than_there_are_workers(
    desk: Desk, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker ends one job and begins the next while the dispatcher gathers what happened."""
    desk.dispatcher.turn(NOW)
    begin(desk, desk.hand.attempts[1])
    end(desk, desk.hand.attempts[1])
    desk.dispatcher.turn(NOW)
    begin(desk, desk.hand.attempts[2])
    desk.dispatcher.turn(NOW)
    assert started(database) == [2]
    assert list(desk.hand.buffered) == [3]

    gather = desk.hand.starts

    def meanwhile() -> list[Attempt]:
        end(desk, desk.hand.attempts[2])
        begin(desk, desk.hand.attempts[3])
        return gather()

    monkeypatch.setattr(desk.hand, "starts", meanwhile)
    desk.dispatcher.turn(NOW)
    assert started(database) == [3]
    assert executing_by_queue(database.connection) == {"default": 1}


def test_who_has_ended_amid_a_turn_holds_no_place_in_the_buffer(
    desk: Desk, path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do others begin on disk in his stead: only his own end makes his worker free there."""
    with jobd.Queue(path) as queue:
        queue.enqueue_many([("noop", {})] * 20)
    for job_id in (1, 2, 3):
        desk.dispatcher.turn(NOW)
        begin(desk, desk.hand.attempts[job_id])
        end(desk, desk.hand.attempts[job_id])
    desk.dispatcher.turn(NOW)
    desk.dispatcher.turn(NOW)
    first, *waiting = desk.hand.attempts
    assert len(waiting) == 3, "as many as were finished just now wait behind the running one"
    begin(desk, desk.hand.attempts[first])
    desk.dispatcher.turn(NOW)
    apply = Ledger.apply

    def meanwhile(*arguments: Any) -> Applied:
        for job_id in (first, *waiting):
            if job_id != first:
                begin(desk, desk.hand.attempts[job_id])
            end(desk, desk.hand.attempts[job_id])
        return apply(*arguments)

    monkeypatch.setattr(Ledger, "apply", meanwhile)
    desk.dispatcher.submit(lambda _db, _now: None)
    desk.dispatcher.turn(NOW)
    assert len(desk.hand.attempts) - len(waiting) - 1 == 3
    assert len(started(database)) == 1


def test_a_job_that_is_given_back_loses_its_turn_to_no_later_one(
    desk: Desk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never began, so it may wait in the buffer again, while the one worker is not free."""
    with jobd.Queue(path) as queue:
        queue.enqueue_many([("noop", {})] * 20)
    for job_id in (1, 2):
        desk.dispatcher.turn(NOW)
        begin(desk, desk.hand.attempts[job_id])
        end(desk, desk.hand.attempts[job_id])
    desk.dispatcher.turn(NOW)
    begin(desk, desk.hand.attempts[3])
    desk.dispatcher.turn(NOW)
    waiting = list(desk.hand.buffered)
    for number in (2, 3):
        monkeypatch.setattr(desk.hand, "held_too_long", lambda _running: list(waiting))
        desk.dispatcher.turn(NOW)
        assert list(desk.hand.buffered) == waiting == [4, 5]
        assert {each.job.attempt for each in desk.hand.buffered.values()} == {number}


def test_a_suspect_begins_in_the_turn_in_which_another_ends(
    desk: Desk, database: Database
) -> None:
    """It waits for that one alone, and for no next look."""
    database.connection.execute("UPDATE job_queue SET rescue_count = 2")
    desk.dispatcher.turn(NOW)
    assert list(desk.hand.attempts) == [1]
    begin(desk, desk.hand.attempts[1])
    end(desk, desk.hand.attempts[1])
    desk.dispatcher.turn(NOW)
    assert list(desk.hand.attempts) == [2]


def test_when_a_suspect_keeps_others_out_there_is_one_more_look(
    desk: Desk, database: Database
) -> None:
    """They stood in their batches' places, which the next items may have; and no look more."""
    desk.pool.size = 2
    database.connection.execute("UPDATE job_queue SET rescue_count = 2")
    desk.dispatcher.turn(NOW)
    assert (list(desk.hand.attempts), desk.hand.must_look_on(NOW)) == ([1], True)
    desk.dispatcher.turn(NOW)
    assert (list(desk.hand.attempts), desk.hand.must_look_on(NOW)) == ([1], False)


def test_a_job_that_ended_makes_room_in_the_buffer_at_once(desk: Desk) -> None:
    """As many wait as were finished just now, and the next turn comes before they are used up."""
    desk.dispatcher.turn(NOW)
    assert (list(desk.hand.attempts), desk.hand.lasts(NOW)) == ([1], 0)
    begin(desk, desk.hand.attempts[1])
    end(desk, desk.hand.attempts[1])
    desk.dispatcher.turn(NOW)
    assert list(desk.hand.attempts) == [2, 3]
    assert desk.hand.lasts(NOW) == pytest.approx(2 * TOOK)
    assert desk.hand.lasts(NOW + 1) == 0, "what was finished a second ago says nothing"


@pytest.mark.parametrize(("exhausted", "cancelled", "status"), [
    ("dead_letter", False, "dead_letter"), ("failed", False, "failed"),
    ("dead_letter", True, "cancelled"),
])
def test_a_buffered_job_that_ends_at_once_has_its_start_in_its_row(
    desk: Desk, database: Database, exhausted: str, cancelled: bool, status: str
) -> None:
    """Also when it did not succeed: nobody has written before the end that it began."""
    failed = Failed(Failure(FailureType.UNKNOWN, "at once", final=True))
    policies = desk.crew.config.retry
    policy = replace(policies[FailureType.UNKNOWN], exhausted=exhausted)
    desk.crew.config = replace(Config(), retry={**policies, FailureType.UNKNOWN: policy})
    desk.dispatcher.turn(NOW)
    for job_id, ending in ((1, NOTHING), (2, NOTHING), (3, failed)):
        begin(desk, desk.hand.attempts[job_id])
        end(desk, desk.hand.attempts[job_id], ending)
        if job_id == 1:
            desk.dispatcher.turn(NOW)
            assert list(desk.hand.buffered) == [3]
    if cancelled:
        database.connection.execute("UPDATE job_queue SET cancel_requested_at = 1 WHERE id = 3")
    desk.dispatcher.turn(NOW)
    row = database.connection.execute(
        "SELECT status, started_at FROM job_queue WHERE id = 3").fetchone()
    assert tuple(row) == (status, NOW_MS)


def test_jobs_without_a_handler_are_passed_at_once_while_there_is_room(
    desk: Desk, path: Path
) -> None:
    """At first three are looked at, then all; with the only worker busy there is no hurry."""
    with jobd.Queue(path) as queue:
        queue.enqueue_many([("nobody", {})] * 30, priority=5)
    desk.dispatcher.turn(NOW)
    assert (list(desk.hand.attempts), desk.hand.must_look_on(NOW)) == ([], True)
    desk.dispatcher.turn(NOW)
    assert (list(desk.hand.attempts), desk.hand.must_look_on(NOW)) == ([1], False)


def test_what_is_written_has_the_time_of_the_lock_and_not_of_the_wait_for_it(
    desk: Desk, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a job would be claimed before the one was made that let it wait."""
    other = database.connection
    other.execute("BEGIN IMMEDIATE")

    def locked(_waited: float, _path: Path) -> None:
        desk.now_ms = NOW_MS + 700
        other.execute("COMMIT")

    monkeypatch.setattr(desk.report, "locked", locked)
    desk.dispatcher.turn(NOW)
    claimed = database.connection.execute("SELECT max(claimed_at) FROM job_queue").fetchone()[0]
    assert claimed == NOW_MS + 700
