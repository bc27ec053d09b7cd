"""Batches in the store: all items or none, true counters, one end for each run."""

import random
import re
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from jobd.core.batch import NewItem, new_batch
from jobd.core.batch_status import ITEM_STATUS
from jobd.core.lifecycle import JobStatus, Request, arrows
from jobd.errors import NotFound, Refused
from jobd.store import (
    batch_feed,
    batch_moves,
    batch_reading,
    batch_requests,
    batch_retention,
    batches,
    claims,
    completion,
    daemons,
    requests,
)
from jobd.store.batch_lock import batch_lock, is_worked_on
from jobd.store.connection import Database
from jobd.store.news import news
from tests.store.conftest import NOW, OWNER, Rows

A_BATCH = {"on_end": "told"}


@pytest.fixture
def db(database: Database) -> sqlite3.Connection:
    """Everything happens in one transaction; none of this is about committing."""
    database.connection.execute("BEGIN")
    return database.connection


def made(db: sqlite3.Connection, items: int = 5, name: str = "b", **options: Any) -> int:
    """A sealed batch; its id."""
    batch = batches.create(db, new_batch(name, "t", **A_BATCH | options), NOW, "ann")
    batches.add(db, batch, [NewItem(f'{{"n":{n}}}', topic=f"item {n}") for n in range(items)], NOW)
    batches.seal(db, batch, NOW)
    return batch


def heads(db: sqlite3.Connection, limit: int = 100) -> list[int]:
    return [head.id for each in batch_feed.open_batches(db) if each.goes_on
            for head in batch_feed.heads(db, each, limit)]


def run(db: sqlite3.Connection, job_id: int) -> None:
    """Claim this job."""
    wanted = [each for batch in batch_feed.open_batches(db)
              for each in batch_feed.heads(db, batch, 1_000) if each.id == job_id]
    assert len(claims.claim(db, wanted, [], OWNER, NOW).jobs) == 1


def complete(db: sqlite3.Connection, job_id: int) -> None:
    run(db, job_id)
    done = (job_id, _attempt(db, job_id), OWNER, "1", NOW)
    assert completion.complete(db, [done], NOW) == [job_id]


def fail(db: sqlite3.Connection, job_id: int, status: str = "dead_letter") -> None:
    run(db, job_id)
    db.execute("UPDATE job_queue SET status = ?, execution_over = 1 WHERE id = ?", (status, job_id))


def _attempt(db: sqlite3.Connection, job_id: int) -> int:
    return int(db.execute("SELECT attempt FROM job_queue WHERE id = ?", (job_id,)).fetchone()[0])


def counters(db: sqlite3.Connection, batch: int) -> tuple[int, ...]:
    row = batch_reading.get(db, batch)
    return tuple(row[f"{each}_items"] for each in
                 ("total", "completed", "successful", "failed", "cancelled"))


def counted(db: sqlite3.Connection, batch: int) -> tuple[int, ...]:
    """What a count says."""
    found = Counter(status for (status,) in db.execute(
        "SELECT status FROM batch_item_status WHERE batch_job_id = ?", (batch,)
    ))
    done, failed = found["completed"], found["failed"]
    return sum(found.values()), done + failed, done, failed, found["cancelled"]


def told(db: sqlite3.Connection) -> int:
    """How often the callback was enqueued."""
    return int(db.execute("SELECT count(*) FROM job_queue WHERE job_type = 'told'").fetchone()[0])


def test_items_are_jobs_in_input_order_that_are_never_ready(
    db: sqlite3.Connection, rows: Rows
) -> None:
    """They stand in no queue's line, and their batch hands them out in order."""
    batch = made(db)
    items = batch_reading.items(db, batch)
    assert [(each["position"], each["topic"]) for each in items] == [
        (number + 1, f"item {number}") for number in range(5)
    ]
    assert heads(db) == [each["job_id"] for each in items]
    assert claims.heads(db, 10, {}) == []
    assert claims.bring_back_handled(db, ["t"]) == 0
    assert counters(db, batch) == counted(db, batch) == (5, 0, 0, 0, 0)


def test_nothing_of_an_unsealed_batch_runs(db: sqlite3.Connection) -> None:
    """Neither while it is made nor, of what is appended, until that is sealed."""
    batch = batches.create(db, new_batch("b", "t"), NOW, "ann")
    batches.add(db, batch, [NewItem("{}")] * 3, NOW)
    assert heads(db) == []
    batches.seal(db, batch, NOW)
    before = heads(db)
    batches.open_up(db, batch, NOW)
    batches.add(db, batch, [NewItem("{}")] * 2, NOW)
    assert heads(db) == before
    batches.seal(db, batch, NOW)
    assert len(heads(db)) == 5


def test_what_was_not_sealed_is_taken_out_and_nothing_else(db: sqlite3.Connection) -> None:
    """A batch that was never sealed is gone, with its name; an append leaves what was before."""
    batch = batches.create(db, new_batch("b", "t"), NOW, "ann")
    batches.add(db, batch, [NewItem("{}")] * 700, NOW)
    requests.request(db, Request.CANCEL, 1, NOW, "ann")
    assert [batches.take_out(db, batch, NOW) for _ in range(2)] == [False, True]
    assert db.execute("SELECT count(*) FROM job_queue").fetchone() == (0,)
    with pytest.raises(NotFound):
        batch_reading.get(db, batch)
    again = made(db, 4)
    batches.open_up(db, again, NOW)
    batches.add(db, again, [NewItem("{}")] * 3, NOW)
    assert batches.take_out(db, again, NOW)
    assert counters(db, again) == counted(db, again) == (4, 0, 0, 0, 0)
    assert len(heads(db)) == 4


def test_a_name_is_free_once_its_batch_has_ended(db: sqlite3.Connection) -> None:
    """Of all that had it the open one is meant, else the newest."""
    first = made(db, 0)
    second = made(db, 1)
    with pytest.raises(Refused, match=f"batch b \\(id {second}\\) exists"):
        made(db, 1)
    assert batch_reading.get(db, first)["status"] == "completed"
    found = batch_reading.find(db, "b")
    assert found is not None
    assert found["id"] == second


def test_the_last_item_ends_its_batch_once_for_each_run(db: sqlite3.Connection) -> None:
    """The callback is enqueued with that, and again only after failed items were brought back."""
    batch = made(db, 3)
    one, two, three = heads(db)
    complete(db, one)
    fail(db, two)
    assert batch_moves.finish(db, batch, NOW) is None
    complete(db, three)
    ended = batch_moves.finish(db, batch, NOW)
    assert ended is not None
    assert (ended.batch["status"], told(db)) == ("completed", 1)
    assert batch_moves.finish(db, batch, NOW) is None
    batch_requests.retry(db, batch, NOW, "ann", cancelled=False)
    assert batch_requests.retry_slice(db, batch, 0, cancelled=False) == (two, 1)
    assert batch_requests.retry_slice(db, batch, two, cancelled=False) == (None, 0)
    batches.let_go(db, batch, NOW)
    assert told(db) == 1
    complete(db, two)
    assert batch_moves.finish(db, batch, NOW) is not None
    assert (batch_reading.get(db, batch)["run"], told(db)) == (2, 2)


def test_failures_of_the_past_are_not_judged_while_they_are_taken_back(
    db: sqlite3.Connection,
) -> None:
    """Between the slices of a retry the old count would stop the batch again."""
    batch = made(db, 1)
    (job,) = heads(db)
    fail(db, job)
    batch_moves.finish(db, batch, NOW)
    batch_requests.retry(db, batch, NOW, "ann", cancelled=False)
    (found,) = batch_feed.open_batches(db)
    assert (found.failed_items, found.is_brought_back) == (1, True)
    batch_requests.retry_slice(db, batch, 0, cancelled=False)
    batches.let_go(db, batch, NOW)
    (found,) = batch_feed.open_batches(db)
    assert (found.failed_items, found.is_brought_back) == (0, False)


def test_a_plain_retry_of_an_item_opens_its_batch_again(db: sqlite3.Connection) -> None:
    """`jobd retry ID` and `jobd cancel ID` keep all of it right."""
    batch = made(db, 1)
    (job,) = heads(db)
    fail(db, job)
    batch_moves.finish(db, batch, NOW)
    assert requests.request(db, Request.RETRY, job, NOW, "ann").changed
    row = batch_reading.get(db, batch)
    assert (row["status"], row["run"], counters(db, batch)) == ("processing", 2, (1, 0, 0, 0, 0))
    assert heads(db) == [job]
    requests.request(db, Request.CANCEL, job, NOW, "ann")
    assert batch_reading.get(db, batch)["status"] == "completed"
    assert counters(db, batch) == counted(db, batch) == (1, 0, 0, 0, 1)
    assert told(db) == 2


@pytest.mark.parametrize(("fails", "cancels", "wanted"), [
    (0, False, ["done", "end"]), (1, False, ["bad", "end"]), (0, True, ["end"]),
])
def test_callbacks_fit_how_a_batch_ended(
    fails: int, cancels: bool, wanted: list[str], db: sqlite3.Connection
) -> None:
    """Success is that nothing failed; of a cancelled batch only the end is told."""
    batch = made(db, 2, on_success="done", on_failure="bad", on_end="end")
    for number, job in enumerate(heads(db)):
        if cancels:
            batch_requests.cancel(db, batch, NOW, "ann", stop=False)
            batch_requests.cancel_slice(db, batch, NOW)
            break
        (fail if number < fails else complete)(db, job)
    batch_moves.finish(db, batch, NOW)
    rows = db.execute("SELECT job_type FROM job_queue WHERE batch_id IS NULL ORDER BY id")
    assert [job_type for (job_type,) in rows] == wanted


def test_a_pause_holds_what_waits_and_gives_back_what_is_buffered(db: sqlite3.Connection) -> None:
    """With `stop` what runs is asked to come back, too; resuming goes on in order."""
    batch = made(db, 4)
    running, *rest = heads(db)
    run(db, running)
    assert batch_requests.pause(db, batch, NOW, "ann", stop=True)
    assert heads(db) == []
    assert news(db, OWNER, [running]).to_give_back == [running]
    assert news(db, OWNER).asked_to_stop == [(running, 1, False)]
    assert batch_requests.resume(db, batch, NOW, "ann")
    assert heads(db) == rest


def test_retries_that_become_due_do_not_pass_by_the_limit(db: sqlite3.Connection) -> None:
    """An item whose time has come waits for a place like any other."""
    batch = made(db, 3, concurrency=1)
    first = heads(db)[0]
    run(db, first)
    db.execute("UPDATE job_queue SET status = 'retrying', due_at = ?, next_retry_at = ?, "
               "execution_over = 1 WHERE id = ?", (NOW, NOW, first))
    assert first not in heads(db)
    assert claims.promote_due(db, NOW) == 1
    assert claims.heads(db, 10, {}) == []
    assert heads(db)[0] == first
    run(db, first)
    (found,) = batch_feed.open_batches(db)
    assert (found.id, found.places) == (batch, 0)


def test_cancelling_goes_in_slices_and_leaves_what_runs(db: sqlite3.Connection) -> None:
    """The batch has ended when what runs has."""
    batch = made(db, batch_requests.AT_ONCE + 10)
    running = heads(db, 1)[0]
    run(db, running)
    batch_requests.cancel(db, batch, NOW, "ann", stop=False)
    assert [batch_requests.cancel_slice(db, batch, NOW) for _ in range(2)] == [True, False]
    assert batch_moves.finish(db, batch, NOW) is None
    completion.complete(db, [(running, 1, OWNER, "1", NOW)], NOW)
    ended = batch_moves.finish(db, batch, NOW)
    assert ended is not None
    assert (ended.batch["status"], counters(db, batch)) == ("cancelled", (510, 1, 1, 0, 509))


@pytest.mark.parametrize("seed", range(5))
def test_counters_are_what_a_count_says_whatever_hand_moves_items(
    seed: int, db: sqlite3.Connection
) -> None:
    """After every move that a job may make, and after rows are deleted."""
    chance = random.Random(seed)
    batch = made(db, 30)
    ids = heads(db)
    moves = {status: [new for old, new in arrows() if old == status] for status in JobStatus}
    for _ in range(400):
        job = chance.choice(ids)
        (status,) = db.execute("SELECT status FROM job_queue WHERE id = ?", (job,)).fetchone()
        if chance.random() < 0.01 and len(ids) > 10:
            for table, key in (("batch_items", "job_id"), ("job_queue", "id")):
                db.execute(f"DELETE FROM {table} WHERE {key} = ?", (job,))
            ids.remove(job)
        elif moves[JobStatus(status)]:
            new = chance.choice(moves[JobStatus(status)])
            over = new not in ("running", "timeout", "zombie")
            db.execute("UPDATE job_queue SET status = ?, execution_over = ? WHERE id = ?",
                       (new, over, job))
        assert counters(db, batch) == counted(db, batch)
    assert {ITEM_STATUS[JobStatus(s)] for (s,) in db.execute("SELECT status FROM job_queue")}


def test_a_checkpoint_of_an_item_is_its_batch_s_until_it_succeeds(db: sqlite3.Connection) -> None:
    """Others keep theirs where they were; both are found by the next attempt."""
    made(db, 2)
    single = claims.heads(db, 1, {})
    assert single == []
    item, other = heads(db)
    run(db, item)
    assert daemons.save_checkpoints(db, [(item, 1, '{"at":1}'), (item, 9, "{}")], NOW) == [item]
    assert daemons.checkpoints_of(db, [item, other]) == {item: '{"at":1}'}
    assert db.execute("SELECT count(*) FROM job_checkpoints").fetchone() == (0,)
    completion.complete(db, [(item, 1, OWNER, "1", NOW)], NOW)
    assert daemons.checkpoints_of(db, [item]) == {}


def test_progress_of_an_item_is_a_share(db: sqlite3.Connection) -> None:
    """From 0 to 1, whatever a handler reports; nothing where it knows no total."""
    batch = made(db, 3)
    reports = [(1, 1, 5.0, 10.0, ""), (2, 1, 9.0, 3.0, ""), (3, 1, 5.0, None, "")]
    daemons.save_progress(db, [(job, *rest) for job, (_, *rest) in zip(heads(db), reports,
                                                                      strict=True)], NOW)
    assert [each["progress"] for each in batch_reading.items(db, batch)] == [0.5, 1.0, None]


def test_an_ended_batch_goes_whole_when_its_time_has_come(db: sqlite3.Connection) -> None:
    """Items, attempts and checkpoints with it; one with failures has a longer time."""
    good, bad, still = made(db, 60, "good"), made(db, 1, "bad"), made(db, 1, "open")
    for job in heads(db)[:60]:
        complete(db, job)
    fail(db, heads(db)[0])
    for batch in (good, bad):
        batch_moves.finish(db, batch, NOW)
    assert batch_retention.expired(db, NOW, NOW - 1) == [good]
    gone, over = batch_retention.delete_slice(db, good, lambda: True)
    assert (len(gone), over) == (25, False)
    with pytest.raises(Refused, match="being deleted"):
        batch_moves.reopen(db, good, NOW)
    assert batch_retention.expired(db, None, None) == [good]
    assert batch_retention.delete_slice(db, good, lambda: False)[1]
    assert batch_retention.delete_slice(db, still, lambda: False) == ([], True)
    assert {each["id"] for each in batch_reading.batches(db)} == {bad, still}
    assert batch_retention.expired(db, NOW, NOW) == [bad]


def test_the_lock_of_a_batch_is_free_when_its_holder_lets_go(path: Path) -> None:
    """One holder a batch; others do not keep each other from other batches."""
    with batch_lock(path) as one, batch_lock(path) as other:
        one.take(7)
        other.take(8)
        with pytest.raises(Refused):
            other.take(7)
        assert is_worked_on(path, 7)
    assert not is_worked_on(path, 7)


A_WALK = re.compile(r"SCAN (job_queue|batch_items|j|i)\b(?!.*job_queue_executing)")
PLANS = {
    "the next items": lambda db: heads(db),
    "a slice to cancel": lambda db: batch_requests.cancel_slice(db, 1, NOW),
    "a slice to retry": lambda db: batch_requests.retry_slice(db, 1, 0, cancelled=True),
    "a slice to take out": lambda db: batches.take_out(db, 1, NOW),
    "a slice to delete": lambda db: batch_retention.delete_slice(db, 1, lambda: True),
    "what may be deleted": lambda db: batch_retention.expired(db, NOW, NOW),
    "all that is open": batch_feed.open_batches,
}


@pytest.mark.parametrize("name", PLANS)
def test_no_statement_walks_over_all_jobs_or_items(name: str, db: sqlite3.Connection) -> None:
    """However many there are of other batches."""
    made(db, 3)
    executed: list[str] = []
    db.set_trace_callback(executed.append)
    PLANS[name](db)
    db.set_trace_callback(None)
    plan = [row[3] for statement in executed if not statement.startswith("--")
            for row in db.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()]
    assert plan
    walks = [line for line in plan if A_WALK.search(line)]
    assert walks == []
