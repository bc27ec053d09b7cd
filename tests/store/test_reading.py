"""Reading jobs, attempts and the overview from a real database file."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobd.core.job import AttemptOutcome, Settlement
from jobd.core.lifecycle import FailureType, JobStatus, Request
from jobd.core.new_job import NewJob
from jobd.core.worker_health import HealthStatus
from jobd.store import claims, daemons, outcomes, overview, reading, requests
from jobd.store.connection import Database
from jobd.store.enqueue import enqueue, enqueue_many
from jobd.store.opening import open_database
from tests.store.conftest import claim_ids, complete

NOW = 1_800_000_000_000
DAEMON = daemons.DaemonIdentity("d1", 4711, "boot", "0.1.0")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "jobd.db", create=True, now=NOW)
    yield opened
    opened.close()


def add(database: Database, job_type: str = "thumb", **values: object) -> int:
    with database.transaction() as db:
        return enqueue(db, NewJob(job_type, "{}", **values), NOW)  # type: ignore[arg-type]


def settlement(job_id: int, **values: object) -> Settlement:
    fields: dict[str, object] = {"outcome": AttemptOutcome.RETRYING, "worker_id": "d1"}
    return Settlement(job_id=job_id, attempt=1, **(fields | values))  # type: ignore[arg-type]


def put(database: Database, status: JobStatus, **values: object) -> int:
    """A job that has come into `status` by the store's own verbs."""
    job_id = add(database, **values)
    failed = settlement(
        job_id, failure_type=FailureType.NETWORK, error_message="refused",
        retry_count=1, next_retry_at=NOW + 5_000, retry_delay_ms=5_000, dead_letter_reason="worn",
    )
    with database.transaction() as db:
        if status is JobStatus.CANCELLED:
            requests.request(db, Request.CANCEL, job_id, NOW, "ann")
        elif status is not JobStatus.PENDING:
            claim_ids(db, [job_id], [], "d1", NOW)
            verbs = {
                JobStatus.COMPLETED: complete, JobStatus.RETRYING: outcomes.retry,
                JobStatus.DEAD_LETTER: outcomes.park, JobStatus.FAILED: outcomes.give_up,
                JobStatus.TIMEOUT: outcomes.time_out, JobStatus.ZOMBIE: outcomes.lose,
            }
            if status in verbs:
                row = done(job_id) if status is JobStatus.COMPLETED else failed
                assert verbs[status](db, [row], NOW + 1_000) == [job_id]
    return job_id


def done(job_id: int) -> object:
    """What `complete` reads of an attempt."""
    return SimpleNamespace(
        job_id=job_id, attempt=1, worker_id="d1", result='{"size": 3}', started_at=NOW
    )


def test_job_returns_every_column(database: Database) -> None:
    """One job comes as a dict of the columns of the table."""
    job_id = add(database, queue="media", priority=7)
    found = reading.job(database.connection, job_id)
    assert found is not None
    assert (found["queue"], found["priority"], found["status"]) == ("media", 7, "pending")


def test_job_that_does_not_exist_is_none(database: Database) -> None:
    """No error, no empty dict: None."""
    assert reading.job(database.connection, 1) is None


def test_jobs_are_newest_first_and_limited(database: Database) -> None:
    """The last job put in comes first, and no more than asked for."""
    ids = [add(database) for _ in range(5)]
    assert [job["id"] for job in reading.jobs(database.connection, limit=3)] == ids[:1:-1]


def test_before_id_goes_on_where_the_page_ended(database: Database) -> None:
    """Pages neither overlap nor leave a gap."""
    ids = [add(database) for _ in range(4)]
    page = reading.jobs(database.connection, limit=2, before_id=ids[2])
    assert [job["id"] for job in page] == [ids[1], ids[0]]


@pytest.mark.parametrize("status", JobStatus)
def test_jobs_of_a_status_are_exactly_those(database: Database, status: JobStatus) -> None:
    """Each of the nine filters finds its own jobs and no others, through whichever index."""
    ids = {each: put(database, each) for each in JobStatus}
    assert [job["id"] for job in reading.jobs(database.connection, status=status)] == [ids[status]]


@pytest.mark.parametrize("status", JobStatus)
def test_pages_of_a_status_can_be_followed(database: Database, status: JobStatus) -> None:
    """before_id works together with every status filter."""
    first, second = put(database, status), put(database, status)
    page = reading.jobs(database.connection, status=status, before_id=second)
    assert [job["id"] for job in page] == [first]


def test_filters_hold_together(database: Database) -> None:
    """Status, queue and type must all fit."""
    add(database, "thumb", queue="a")
    add(database, "mail", queue="b")
    wanted = add(database, "thumb", queue="b")
    found = reading.jobs(
        database.connection, status=JobStatus.PENDING, queue="b", job_type="thumb"
    )
    assert [job["id"] for job in found] == [wanted]


def test_pending_jobs_that_wait_for_a_time_or_a_handler_are_listed(database: Database) -> None:
    """Ready, scheduled and set aside: all three are pending."""
    ready = add(database)
    later = add(database, scheduled_at=NOW + 60_000)
    aside = add(database)
    with database.transaction() as db:
        claims.set_aside_without_handler(db, [aside])
    found = reading.jobs(database.connection, status=JobStatus.PENDING)
    assert [job["id"] for job in found] == [aside, later, ready]


@pytest.mark.parametrize("status", [each for each in JobStatus if each is not JobStatus.COMPLETED])
def test_a_status_is_found_through_an_index(database: Database, status: JobStatus) -> None:
    """No filter by a status other than completed walks over the whole table."""
    plans = []
    database.connection.set_trace_callback(plans.append)
    reading.jobs(database.connection, status=status, limit=5)
    database.connection.set_trace_callback(None)
    assert plans
    for statement in plans:
        steps = database.connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
        assert not [step for *_, step in steps if step in ("SCAN job_queue", "SCAN id")]


def test_many_pending_jobs_are_listed_without_gathering_their_ids(database: Database) -> None:
    """Above the bound the walk over the table takes over, with the same answer."""
    with database.transaction() as db:
        enqueue_many(db, [NewJob("thumb", "{}")] * (reading.FEW + 10), NOW)
    newest = reading.FEW + 10
    found = reading.jobs(database.connection, status=JobStatus.PENDING, limit=2)
    assert [job["id"] for job in found] == [newest, newest - 1]


def test_counts_name_all_nine_statuses(database: Database) -> None:
    """One job in each status counts one each."""
    for status in JobStatus:
        put(database, status)
    assert overview.counts(database.connection) == dict.fromkeys(JobStatus, 1)


def test_counts_of_nothing_are_nine_zeros(database: Database) -> None:
    """No status is left out."""
    assert overview.counts(database.connection) == dict.fromkeys(JobStatus, 0)


def test_counts_see_pending_jobs_that_are_not_ready(database: Database) -> None:
    """Scheduled and set-aside jobs are pending, retrying ones are not."""
    add(database, scheduled_at=NOW + 60_000)
    aside = add(database)
    put(database, JobStatus.RETRYING)
    with database.transaction() as db:
        claims.set_aside_without_handler(db, [aside])
    counts = overview.counts(database.connection)
    assert (counts[JobStatus.PENDING], counts[JobStatus.RETRYING]) == (2, 1)


def test_counts_agree_with_a_plain_count(database: Database) -> None:
    """What the indexes give is what a walk over the table gives."""
    for number, status in enumerate(JobStatus):
        for _ in range(number + 1):
            put(database, status)
    plain = dict(database.connection.execute("SELECT status, count(*) FROM job_queue GROUP BY 1"))
    assert overview.counts(database.connection) == plain


def test_queues_tell_ready_waiting_running_and_the_oldest(database: Database) -> None:
    """One row per queue with what is in it."""
    add(database, queue="media")
    add(database, queue="media", scheduled_at=NOW + 60_000)
    put(database, JobStatus.RUNNING, queue="media")
    (queue,) = overview.queues(database.connection)
    assert (queue["name"], queue["ready"], queue["waiting"], queue["running"]) == ("media", 1, 1, 1)
    assert queue["oldest_ready_at"] == NOW


def test_oldest_ready_counts_from_when_it_became_due(database: Database) -> None:
    """A job that was scheduled has not waited before its time."""
    add(database, scheduled_at=NOW + 5_000)
    with database.transaction() as db:
        claims.promote_due(db, NOW + 6_000)
    assert overview.queues(database.connection)[0]["oldest_ready_at"] == NOW + 5_000


def test_a_paused_queue_without_jobs_is_listed(database: Database) -> None:
    """Who paused it, and since when."""
    with database.transaction() as db:
        requests.pause_queue(db, "media", NOW, "ann")
        daemons.set_limits(db, {"media": 2})
    (queue,) = overview.queues(database.connection)
    assert (queue["paused_by"], queue["paused_at"], queue["concurrency"]) == ("ann", NOW, 2)
    assert queue["oldest_ready_at"] is None


def test_queues_whose_jobs_have_all_ended_are_not_listed(database: Database) -> None:
    """A queue exists by its live jobs, its pause or its limit."""
    put(database, JobStatus.COMPLETED, queue="media")
    assert overview.queues(database.connection) == []


def test_attempts_come_in_order(database: Database) -> None:
    """The oldest attempt first."""
    job_id = add(database)
    with database.transaction() as db:
        for attempt in (2, 1, 3):
            row = settlement(job_id)
            row.attempt = attempt
            outcomes.keep_attempts(db, [row], NOW)
    found = reading.attempts(database.connection, job_id)
    assert [each["attempt"] for each in found] == [1, 2, 3]


def test_actions_are_those_of_the_job(database: Database) -> None:
    """What people did to other jobs is left out."""
    first, second = add(database), add(database)
    with database.transaction() as db:
        requests.request(db, Request.CANCEL, first, NOW, "ann")
        requests.request(db, Request.CANCEL, second, NOW, "bob")
    assert [each["actor"] for each in reading.actions(database.connection, first)] == ["ann"]


def test_progress_and_checkpoint_are_the_last_ones(database: Database) -> None:
    """One row each, or None."""
    job_id = put(database, JobStatus.RUNNING)
    assert reading.progress(database.connection, job_id) is None
    assert reading.checkpoint(database.connection, job_id) is None
    with database.transaction() as db:
        daemons.save_progress(db, [(job_id, 1, 3, 10, "half")], NOW)
        daemons.save_checkpoints(db, [(job_id, 1, '{"at": 3}')], NOW)
    progress = reading.progress(database.connection, job_id) or {}
    saved = reading.checkpoint(database.connection, job_id) or {}
    assert (progress["done"], saved["state"]) == (3, '{"at": 3}')


def test_workers_daemons_and_types_are_what_the_daemon_wrote(database: Database) -> None:
    """JobWorker-2 stands before JobWorker-10."""
    with database.transaction() as db:
        daemons.register(db, DAEMON, [daemons.JobType("thumb", None, 5_000, None)], {}, NOW)
        states = [daemons.WorkerState(f"JobWorker-{n}", HealthStatus.NORMAL) for n in (10, 2)]
        daemons.show_workers(db, DAEMON, states, NOW)
    db = database.connection
    assert [each["name"] for each in overview.workers(db)] == ["JobWorker-2", "JobWorker-10"]
    assert [each["pid"] for each in overview.daemons(db)] == [4711]
    assert [each["name"] for each in overview.job_types(db)] == ["thumb"]


def test_statuses_leave_out_what_does_not_exist(database: Database) -> None:
    """Only ids that are there come back."""
    job_id = add(database)
    found = reading.statuses(database.connection, [job_id, 99])
    assert found == {job_id: JobStatus.PENDING}


def test_a_snapshot_does_not_see_later_commits(database: Database) -> None:
    """Everything read inside the block is one state, and the writer is not held up."""
    add(database)
    reader = open_database(database.path, now=NOW)
    with reading.snapshot(reader.connection):
        assert len(reading.jobs(reader.connection)) == 1
        add(database)
        assert len(reading.jobs(reader.connection)) == 1
    assert len(reading.jobs(reader.connection)) == 2
    reader.close()


def test_listings_stay_fast_on_many_jobs(database: Database) -> None:
    """With 200,000 ended jobs, the rare ones are found without walking over them."""
    put(database, JobStatus.DEAD_LETTER)
    add(database, queue="other")
    with database.transaction() as db:
        db.execute(
            """WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
            INSERT INTO job_queue (job_type, queue, payload, created_at)
            SELECT 'thumb', 'media', '{"path": "some/file.jpg"}', ? FROM n""", (NOW,)
        )
        db.execute("UPDATE job_queue SET status = 'running' WHERE queue = 'media'")
        db.execute("UPDATE job_queue SET status = 'completed' WHERE queue = 'media'")
    began = time.perf_counter()
    for status in JobStatus:
        reading.jobs(database.connection, status=status, limit=50)
    assert time.perf_counter() - began < 0.25
