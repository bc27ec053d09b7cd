"""No stale attempt, no foreign owner and no wrong status changes a row, whatever the verb."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.core.lifecycle import EXECUTING, RUNNING, TIMEOUT, JobStatus
from jobd.store import outcomes
from jobd.store.connection import Database
from jobd.store.opening import open_database
from jobd.store.verbs import quoted
from tests.store.conftest import NOW, OWNER, Rows, complete

Verb = Callable[[sqlite3.Connection, list[Any], int], list[int]]


@pytest.fixture(scope="module")
def database(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One file for this page: each test looks only at the rows that it made."""
    path = shutil.copy(made_once, tmp_path_factory.mktemp("verbs") / "jobd.db")
    with closing(open_database(path, now=1)) as database:
        database.connection.execute("PRAGMA synchronous = OFF")
        yield database


@pytest.fixture(scope="module")
def rows(database: Database) -> Rows:
    """Its rows."""
    return Rows(database.connection)


VERBS: dict[str, tuple[Verb, tuple[JobStatus, ...]]] = {
    "complete": (complete, (RUNNING,)),
    "retry": (outcomes.retry, EXECUTING),
    "park": (outcomes.park, EXECUTING),
    "give_up": (outcomes.give_up, EXECUTING),
    "release": (outcomes.release, EXECUTING),
    "snooze": (outcomes.snooze, (RUNNING,)),
    "stop": (outcomes.stop, EXECUTING),
    "time_out": (outcomes.time_out, (RUNNING,)),
    "lose": (outcomes.lose, (RUNNING, TIMEOUT)),
    "record_start": (outcomes.record_start, (RUNNING,)),
    "request_stop": (outcomes.request_stop, EXECUTING),
}

PAIRS = [(verb, status) for verb in VERBS for status in JobStatus]


def fence(job_id: int, **other: Any) -> SimpleNamespace:
    """What any verb may read of an attempt: by default the one that `rows.put` makes."""
    values = {
        "job_id": job_id, "attempt": 3, "worker_id": OWNER, "result": '"done"', "started_at": 50,
        "failure_type": "network", "error_message": "no route", "traceback": "Traceback ...",
        "retry_count": 2, "rescue_count": 1, "next_retry_at": NOW + 1_000,
        "retry_delay_ms": 1_000, "dead_letter_reason": "why", "execution_over": 1,
        "scheduled_at": NOW + 1_000, "snooze_count": 5,
    }
    return SimpleNamespace(**values | other)


@pytest.mark.parametrize(("verb", "status"), PAIRS)
def test_the_right_attempt_in_the_right_status_changes(
    database: Database, rows: Rows, verb: str, status: JobStatus
) -> None:
    """Only the statuses where a move starts let its verb change the row, and name its id."""
    write, sources = VERBS[verb]
    job_id, other = rows.put(status), rows.put(status)
    untouched = rows.get(other)
    before = rows.get(job_id)
    with database.transaction() as db:
        changed = write(db, [fence(job_id)], NOW)
    assert changed == ([job_id] if status in sources else [])
    assert (rows.get(job_id) == before) == (status not in sources)
    assert rows.get(other) == untouched


@pytest.mark.parametrize("stale", [2, 4])
@pytest.mark.parametrize(("verb", "status"), PAIRS)
def test_another_attempt_changes_nothing(
    database: Database, rows: Rows, verb: str, status: JobStatus, stale: int
) -> None:
    """A worker whose attempt is over cannot touch the next one."""
    write, _ = VERBS[verb]
    job_id = rows.put(status)
    before = rows.get(job_id)
    with database.transaction() as db:
        changed = write(db, [fence(job_id, attempt=stale)], NOW)
    assert changed == []
    assert rows.get(job_id) == before


@pytest.mark.parametrize("foreign", ["daemon-2", None])
@pytest.mark.parametrize(("verb", "status"), PAIRS)
def test_another_owner_changes_nothing(
    database: Database, rows: Rows, verb: str, status: JobStatus, foreign: str | None
) -> None:
    """The attempts of one daemon are no other daemon's to end."""
    write, _ = VERBS[verb]
    job_id = rows.put(status)
    before = rows.get(job_id)
    with database.transaction() as db:
        changed = write(db, [fence(job_id, worker_id=foreign)], NOW)
    assert changed == []
    assert rows.get(job_id) == before


@pytest.mark.parametrize("verb", VERBS)
def test_a_job_that_does_not_exist_changes_nothing(
    database: Database, rows: Rows, verb: str
) -> None:
    """An id that was pruned meanwhile is simply missing from the answer."""
    job_id = rows.put("running")
    before = rows.get(job_id)
    with database.transaction() as db:
        assert VERBS[verb][0](db, [fence(job_id + 1)], NOW) == []
    assert rows.get(job_id) == before


@pytest.mark.parametrize("verb", VERBS)
def test_many_rows_are_one_write(database: Database, rows: Rows, verb: str) -> None:
    """Of a mixed list those that fit are changed and named, the others are missing."""
    write, sources = VERBS[verb]
    fitting = [rows.put(status) for status in sources for _ in range(3)]
    stale, foreign, ended = rows.put("running"), rows.put("running"), rows.put("completed")
    asked = [
        *map(fence, fitting), fence(stale, attempt=2), fence(foreign, worker_id="x"), fence(ended),
    ]
    with database.transaction() as db:
        assert sorted(write(db, asked, NOW)) == fitting


@pytest.mark.parametrize("verb", VERBS)
def test_no_rows_are_no_statement(database: Database, verb: str) -> None:
    """An empty list writes nothing."""
    seen: list[str] = []
    database.connection.set_trace_callback(seen.append)
    try:
        assert VERBS[verb][0](database.connection, [], NOW) == []
    finally:
        database.connection.set_trace_callback(None)
    assert seen == []


@pytest.mark.parametrize("verb", VERBS)
def test_an_orphan_without_an_owner_is_fenced_too(
    database: Database, rows: Rows, verb: str
) -> None:
    """Rows from before attempts had owners are named by an owner of None."""
    write, sources = VERBS[verb]
    job_id = rows.put(sources[0], worker_id=None)
    with database.transaction() as db:
        assert write(db, [fence(job_id)], NOW) == []
        assert write(db, [fence(job_id, worker_id=None)], NOW) == [job_id]


def test_every_verb_of_the_outcomes_is_listed_here() -> None:
    """A new verb gets its row in this page."""
    made = {
        name for name, value in vars(outcomes).items()
        if getattr(value, "__qualname__", "") == "fenced_write.<locals>.write"
    }
    assert {*made, "complete"} == set(VERBS)


def test_each_success_keeps_what_is_its_own(database: Database, rows: Rows) -> None:
    """Results, starts and attempts differ from job to job; a start that is unknown stays."""
    plain, packed = rows.put("running", started_at=7), rows.put("running", started_at=7)
    retried, unknown = rows.put("running", attempt=9), rows.put("running", started_at=7)
    done = [
        fence(plain, result=None, started_at=51), fence(packed, result="[[1], null]"),
        fence(retried, attempt=9), fence(unknown, result=None, started_at=None),
    ]
    with database.transaction() as db:
        assert sorted(complete(db, done, NOW)) == [plain, packed, retried, unknown]
    kept = {job_id: (row["result"], row["started_at"])
            for job_id in (plain, packed, retried, unknown) for row in [rows.get(job_id)]}
    assert kept == {plain: (None, 51), packed: ("[[1], null]", 50), retried: ('"done"', 50),
                    unknown: (None, 7)}


def test_statuses_stand_in_sql_in_quotes() -> None:
    """They come from the enum, never from outside."""
    assert quoted(EXECUTING) == "'running', 'timeout', 'zombie'"
