"""What an explanation is told about a job, read from a real database file."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jobd.core.config import Config, Timing
from jobd.core.facts import Facts
from jobd.core.job import AttemptOutcome, Settlement
from jobd.core.lifecycle import FailureType, Request
from jobd.core.new_job import NewJob
from jobd.core.presence import Presence
from jobd.core.worker_health import HealthStatus
from jobd.store import daemons, outcomes, requests
from jobd.store.connection import Database
from jobd.store.enqueue import enqueue
from jobd.store.facts import facts
from jobd.store.opening import open_database
from tests.store.conftest import claim_ids

NOW = 1_800_000_000_000
DAEMON = daemons.DaemonIdentity("d1", 4711, None, "0.1.0")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "jobd.db", create=True, now=NOW)
    yield opened
    opened.close()


def add(database: Database, **values: object) -> int:
    with database.transaction() as db:
        return enqueue(db, NewJob("thumb", "{}", **values), NOW)  # type: ignore[arg-type]


def claim(database: Database, job_id: int) -> None:
    with database.transaction() as db:
        assert claim_ids(db, [job_id], [], "d1", NOW)


def register(database: Database, *types: daemons.JobType) -> None:
    with database.transaction() as db:
        daemons.register(db, DAEMON, types, {"media": 2}, NOW)


def known(database: Database, job_id: int, config: Config | None = None) -> Facts:
    seen = Presence(alive=True, pid=1)
    found = facts(database.connection, job_id, NOW, seen=seen, config=config or Config())
    assert found is not None
    return found


def test_no_job_no_facts(database: Database) -> None:
    """An id that does not exist is None."""
    found = facts(database.connection, 1, NOW, seen=Presence(), config=Config())
    assert found is None


def test_ahead_counts_what_is_claimed_before(database: Database) -> None:
    """Higher priority first, then the older; other queues do not count."""
    add(database, queue="media")
    mine = add(database, queue="media")
    add(database, queue="media", priority=5)
    add(database, queue="media")
    add(database, queue="other", priority=9)
    assert known(database, mine).ahead == 2


def test_executing_jobs_of_the_queue_are_named(database: Database) -> None:
    """They hold the places of the queue's limit; the job itself is not among them."""
    first, second, mine = (add(database, queue="media") for _ in range(3))
    for job_id in (first, second):
        claim(database, job_id)
    register(database)
    found = known(database, mine)
    assert (list(found.executing), found.concurrency) == ([first, second], 2)
    assert list(known(database, first).executing) == [second]


def test_a_job_has_the_health_of_the_worker_that_it_is_with(database: Database) -> None:
    """Of the one that runs it, and of the one that it has got stuck in."""
    runs, stuck, waits = (add(database) for _ in range(3))
    register(database)
    claim(database, runs)
    claim(database, stuck)
    states = [
        daemons.WorkerState("JobWorker-1", HealthStatus.POTENTIALLY_STUCK, job_id=runs, attempt=1),
        daemons.WorkerState("JobWorker-2", HealthStatus.UNHEALTHY, job_id=stuck, attempt=1,
                            stuck_job_id=stuck),
    ]
    with database.transaction() as db:
        daemons.show_workers(db, DAEMON, states, NOW)
    found = [known(database, job_id).worker_health for job_id in (runs, stuck, waits)]
    assert found == ["potentially_stuck", "unhealthy", "normal"]


def test_all_that_a_large_limit_counts_are_found(database: Database) -> None:
    """Else a full queue would look as if it had room."""
    holders = [add(database, queue="media") for _ in range(102)]
    with database.transaction() as db:
        daemons.register(db, DAEMON, (), {"media": 102}, NOW)
        assert len(claim_ids(db, holders, [], "d1", NOW)) == 102
    found = known(database, add(database, queue="media"))
    assert (len(found.executing), found.concurrency) == (102, 102)


def test_the_suspect_that_runs_is_what_another_one_waits_for(database: Database) -> None:
    """Only of the newest daemon: what a dead one left running keeps nobody waiting."""
    runs, left, waits, innocent = (add(database) for _ in range(4))
    with database.transaction() as db:
        db.execute("UPDATE job_queue SET rescue_count = 2 WHERE id <> ?", (innocent,))
        assert claim_ids(db, [left], [], "d0", NOW)
    register(database)
    assert known(database, waits).suspect is None
    claim(database, runs)
    assert known(database, waits).suspect == runs
    assert known(database, runs).suspect is None
    assert known(database, innocent).suspect is None


def test_handled_is_what_the_last_daemon_registered(database: Database) -> None:
    """A type that it did not register is not handled."""
    job_id = add(database)
    register(database, daemons.JobType("mail", None, None, None))
    found = known(database, job_id)
    assert (found.handled, list(found.job_types)) == (False, ["mail"])


@pytest.mark.parametrize(
    ("own", "handlers", "configured", "expected"),
    [(1_000, 2_000, 3.0, 1_000), (None, 2_000, 3.0, 2_000), (None, None, 3.0, 3_000),
     (None, None, None, None)],
)
def test_timeout_is_the_nearest_that_says(
    database: Database, own: int | None, handlers: int | None, configured: float | None,
    expected: int | None,
) -> None:
    """The job's, else the handler's, else the configured one."""
    job_id = add(database, timeout_ms=own)
    register(database, daemons.JobType("thumb", None, handlers, None))
    config = replace(Config(), timing=Timing(timeout=configured))
    assert known(database, job_id, config).timeout_ms == expected


def test_retry_limit_is_that_of_the_failure(database: Database) -> None:
    """The handler's number beneath the job's, as `decide` counts."""
    register(database, daemons.JobType("thumb", None, None, 5))
    assert known(database, add(database)).retry_limit == 5
    assert known(database, add(database, max_retries=2)).retry_limit == 2


def test_the_holder_of_the_key_is_named(database: Database) -> None:
    """A cancelled job whose key a live job has by now cannot be retried."""
    first = add(database, unique_key="k")
    with database.transaction() as db:
        requests.request(db, Request.CANCEL, first, NOW, "ann")
    second = add(database, unique_key="k")
    assert known(database, first).key_holder == second
    assert known(database, second).key_holder is None


def test_busy_workers_are_counted_by_what_executes(database: Database) -> None:
    """Executions that are not over and not given up as zombies."""
    for job_id in [add(database), add(database)]:
        claim(database, job_id)
    register(database)
    with database.transaction() as db:
        states = [daemons.WorkerState(f"JobWorker-{n}") for n in (1, 2, 3)]
        daemons.show_workers(db, DAEMON, states, NOW)
    found = known(database, add(database))
    assert (found.busy, found.workers) == (2, 3)


def test_the_last_attempt_is_found_by_its_number(database: Database) -> None:
    """Its stack says where a thread hangs."""
    job_id = add(database)
    claim(database, job_id)
    row = Settlement(
        job_id=job_id, attempt=1, worker_id="d1", outcome=AttemptOutcome.TIMEOUT,
        failure_type=FailureType.TIMEOUT, stack="here",
    )
    with database.transaction() as db:
        outcomes.time_out(db, [row], NOW)
        outcomes.keep_attempts(db, [row], NOW, ended=False)
    last = known(database, job_id).last_attempt
    assert last is not None
    assert last["stack"] == "here"
