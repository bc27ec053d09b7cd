"""Putting jobs in: the ids they get, the queue they land in, and the keys they may share."""

import sqlite3
from typing import Any

import pytest

from jobd.core.lifecycle import ENDED, LIVE, JobStatus
from jobd.core.new_job import JobId, NewJob
from jobd.store.enqueue import enqueue, enqueue_many
from tests.store.conftest import NOW, Rows


def new(job_type: str = "t", **values: Any) -> NewJob:
    return NewJob(job_type, values.pop("payload", "{}"), **values)


def answer(job_id: JobId) -> tuple[int, bool]:
    return int(job_id), job_id.created


def test_a_new_job_in_full(db: sqlite3.Connection, rows: Rows) -> None:
    """Everything the caller said is stored, and nothing has happened to it yet."""
    given = {"queue": "media", "priority": 7, "timeout_ms": 500, "max_retries": 2,
             "unique_key": "u", "request_id": "r", "scheduled_at": NOW + 5, "isolation": "process"}
    job_id = enqueue(db, new("thumb", payload='{"a":1}', **given), NOW)
    row = rows.get(job_id)
    assert job_id.created
    assert {name: row[name] for name in given} == given
    told = {name: value for name, value in row.items() if value is not None and name not in given}
    assert told == {
        "id": job_id, "job_type": "thumb", "payload": '{"a":1}', "status": "pending",
        "created_at": NOW, "retry_count": 0, "rescue_count": 0, "snooze_count": 0, "attempt": 0,
        "ready": 0, "due_at": NOW + 5, "execution_over": 1,
    }


def test_one_and_many_store_the_same(db: sqlite3.Connection, rows: Rows) -> None:
    """Both ways in fill the same columns with the same values."""
    jobs = [
        new(), new(queue="q", priority=-5, timeout_ms=1, max_retries=0),
        new(scheduled_at=NOW + 1), new(scheduled_at=NOW), new(payload='{"x":"\\u0000é\'"}'),
    ]
    one = [enqueue(db, job, NOW) for job in jobs]
    many = enqueue_many(db, jobs, NOW)
    for first, second in zip(one, many, strict=True):
        assert {**rows.get(first), "id": 0} == {**rows.get(second), "id": 0}


@pytest.mark.parametrize(
    ("scheduled_at", "ready", "due_at"),
    [(None, 1, None), (NOW - 1, 1, None), (NOW, 1, None), (NOW + 1, 0, NOW + 1)],
)
def test_a_job_is_ready_unless_its_time_is_to_come(
    db: sqlite3.Connection, rows: Rows, scheduled_at: int | None, ready: int, due_at: int | None
) -> None:
    """`ready` is 1 exactly for what may be claimed; the rest waits for `due_at`."""
    row = rows.get(enqueue(db, new(scheduled_at=scheduled_at), NOW))
    assert (row["ready"], row["due_at"], row["scheduled_at"]) == (ready, due_at, scheduled_at)


@pytest.mark.parametrize("count", [1, 2, 1_000])
def test_ids_come_in_order_without_a_gap(
    db: sqlite3.Connection, rows: Rows, count: int
) -> None:
    """Within one call ids are consecutive, and each belongs to the job at its place."""
    enqueue(db, new(), NOW)
    found = enqueue_many(db, [new(payload=f'{{"n":{n}}}') for n in range(count)], NOW)
    assert list(map(answer, found)) == [(job_id, True) for job_id in range(2, count + 2)]
    stored = rows.all("SELECT payload FROM job_queue WHERE id > 1 ORDER BY id")
    assert [row["payload"] for row in stored] == [f'{{"n":{n}}}' for n in range(count)]


def test_no_jobs_are_no_ids(db: sqlite3.Connection, rows: Rows) -> None:
    """An empty list stores nothing."""
    assert enqueue_many(db, [], NOW) == []
    assert rows.all("SELECT id FROM job_queue") == []


def test_an_id_is_never_given_again(db: sqlite3.Connection) -> None:
    """Not even after the newest job, or every job, was deleted."""
    first = enqueue_many(db, [new()] * 3, NOW)
    db.execute("DELETE FROM job_queue WHERE id = ?", (first[-1],))
    assert answer(enqueue(db, new(), NOW)) == (4, True)
    db.execute("DELETE FROM job_queue")
    assert [answer(each) for each in enqueue_many(db, [new()] * 2, NOW)] == [(5, True), (6, True)]


@pytest.mark.parametrize(
    ("said", "registered", "expected"),
    [
        (None, None, "default"),
        (None, "media", "media"),
        ("mail", "media", "mail"),
        ("mail", None, "mail"),
        ("default", "media", "default"),
    ],
)
@pytest.mark.parametrize("many", [False, True])
def test_which_queue_a_job_lands_in(
    db: sqlite3.Connection,
    rows: Rows,
    said: str | None,
    registered: str | None,
    expected: str,
    many: bool,
) -> None:
    """The one said, else the one the last daemon registered for its type, else `default`."""
    db.execute(
        "INSERT INTO job_types (name, queue, daemon_id, registered_at) VALUES ('t', ?, 'd', 1)",
        (registered,),
    )
    job = new(queue=said)
    job_id = enqueue_many(db, [job], NOW)[0] if many else enqueue(db, job, NOW)
    assert rows.get(job_id)["queue"] == expected


@pytest.mark.parametrize("status", LIVE)
def test_a_live_job_keeps_its_unique_key(
    db: sqlite3.Connection, rows: Rows, status: JobStatus
) -> None:
    """Until it has ended, its id is the answer to everyone else who names the key."""
    holder = rows.put(status, unique_key="k")
    assert answer(enqueue(db, new(unique_key="k"), NOW)) == (holder, False)
    assert len(rows.all("SELECT id FROM job_queue")) == 1


@pytest.mark.parametrize("status", ENDED)
def test_an_ended_job_frees_its_unique_key(
    db: sqlite3.Connection, rows: Rows, status: JobStatus
) -> None:
    """Any end frees it, dead_letter included."""
    holder = rows.put(status, unique_key="k")
    assert answer(enqueue(db, new(unique_key="k"), NOW)) == (holder + 1, True)


@pytest.mark.parametrize("status", JobStatus)
def test_a_request_id_belongs_to_one_job_for_ever(
    db: sqlite3.Connection, rows: Rows, status: JobStatus
) -> None:
    """As long as the row is kept, whatever became of it."""
    holder = rows.put(status, request_id="r")
    assert answer(enqueue(db, new(request_id="r"), NOW)) == (holder, False)
    db.execute("DELETE FROM job_queue")
    job_id = enqueue(db, new(request_id="r"), NOW)
    assert job_id.created
    assert job_id > holder


def test_keys_of_two_kinds_do_not_meet(db: sqlite3.Connection) -> None:
    """A unique key and a request id may read the same."""
    assert answer(enqueue(db, new(unique_key="k"), NOW)) == (1, True)
    assert answer(enqueue(db, new(request_id="k"), NOW)) == (2, True)


def test_a_repeated_call_gets_its_own_job(db: sqlite3.Connection) -> None:
    """Where two jobs hold its keys, the request id says which call this is."""
    enqueue(db, new(unique_key="k"), NOW)
    enqueue(db, new(request_id="r"), NOW)
    assert answer(enqueue(db, new(unique_key="k", request_id="r"), NOW)) == (2, False)


def test_both_keys_in_one_batch(db: sqlite3.Connection, rows: Rows) -> None:
    """Each job of the batch meets those before it in the same batch."""
    ids = enqueue_many(
        db,
        [
            new(unique_key="k"), new(request_id="r"), new(unique_key="k"), new(request_id="r"),
            new(), new(unique_key="k", request_id="other"), new(unique_key="new"),
        ],
        NOW,
    )
    assert [job_id.created for job_id in ids] == [True, True, False, False, True, False, True]
    assert ids[2:4] == ids[:2]
    assert ids[5] == ids[0]
    made = [job_id for job_id in ids if job_id.created]
    assert [row["id"] for row in rows.all("SELECT id FROM job_queue ORDER BY id")] == made
