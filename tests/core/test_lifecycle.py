"""The state machine: nine statuses, 27 arrows, five requests; the database keeps to the same."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, nullcontext
from itertools import product

import pytest

from jobd.core.job import AttemptOutcome, Isolation
from jobd.core.lifecycle import (
    ENDED,
    EXECUTING,
    LIVE,
    MOVES,
    WAITING,
    Answer,
    FailureType,
    JobStatus,
    Request,
    answer,
    arrows,
)
from jobd.core.worker_health import HealthStatus
from jobd.store.opening import open_database

LEAVES_BY = {
    "pending": "running cancelled",
    "running": "completed retrying dead_letter failed timeout zombie cancelled pending",
    "timeout": "retrying dead_letter failed zombie cancelled pending",
    "zombie": "retrying dead_letter failed cancelled pending",
    "retrying": "running cancelled",
    "completed": "",
    "failed": "pending",
    "dead_letter": "pending cancelled",
    "cancelled": "pending",
}

ARROWS = {(old, new) for old, targets in LEAVES_BY.items() for new in targets.split()}

REQUESTS = [
    ("cancel", "pending", "cancelled"),
    ("cancel", "retrying", "cancelled"),
    ("cancel", "running", "stores cancel_requested_at"),
    ("cancel", "timeout", "stores cancel_requested_at"),
    ("cancel", "zombie", "stores cancel_requested_at"),
    ("cancel", "dead_letter", "cancelled"),
    ("cancel", "failed", "refused: already ended"),
    ("cancel", "cancelled", "refused: already ended"),
    ("cancel", "completed", "refused: already ended"),
    ("release", "pending", "no change"),
    ("release", "retrying", "no change"),
    ("release", "running", "stores release_requested_at"),
    ("release", "timeout", "stores release_requested_at"),
    ("release", "zombie", "stores release_requested_at"),
    ("release", "dead_letter", "refused: already ended; use retry"),
    ("release", "failed", "refused: already ended; use retry"),
    ("release", "cancelled", "refused: already ended; use retry"),
    ("release", "completed", "refused: already ended"),
    ("retry", "pending", "no change"),
    ("retry", "retrying", "due now"),
    ("retry", "running", "refused: still executing; cancel or release it"),
    ("retry", "timeout", "refused: still executing; cancel or release it"),
    ("retry", "zombie", "refused: still executing; cancel or release it"),
    ("retry", "dead_letter", "pending"),
    ("retry", "failed", "pending"),
    ("retry", "cancelled", "pending"),
    ("retry", "completed", "refused: already completed"),
    ("stop", "pending", "no change"),
    ("stop", "retrying", "no change"),
    ("stop", "running", "stores stop_requested_at"),
    ("stop", "timeout", "stores stop_requested_at"),
    ("stop", "zombie", "stores stop_requested_at"),
    ("stop", "dead_letter", "no change"),
    ("stop", "failed", "no change"),
    ("stop", "cancelled", "no change"),
    ("stop", "completed", "no change"),
    ("owner dead", "pending", "no change"),
    ("owner dead", "retrying", "no change"),
    ("owner dead", "running", "zombie"),
    ("owner dead", "timeout", "zombie"),
    ("owner dead", "zombie", "no change"),
    ("owner dead", "dead_letter", "no change"),
    ("owner dead", "failed", "no change"),
    ("owner dead", "cancelled", "no change"),
    ("owner dead", "completed", "no change"),
]


def in_words(found: Answer) -> str:
    """An answer as the table of requests says it."""
    if found.move:
        return str(found.move.target)
    if found.stored:
        return f"stores {found.stored}"
    if found.refusal:
        return f"refused: {found.refusal}"
    return "due now" if found.due_now else "no change"


def test_every_arrow_of_the_design_and_no_other() -> None:
    """The table of moves draws exactly the 27 arrows of the two tables of statuses."""
    assert {(str(old), str(new)) for old, new in arrows()} == ARROWS
    assert len(list(arrows())) == 27


def test_a_status_is_an_end_or_leads_on() -> None:
    """Only completed is left by nothing; every status but pending can be reached."""
    assert {status for status in JobStatus if not LEAVES_BY[status]} == {JobStatus.COMPLETED}
    assert {new for _, new in arrows()} == set(JobStatus)


def test_the_groups_divide_the_nine_statuses() -> None:
    """A job waits, executes or has ended; it is live until it has ended."""
    assert sorted((*WAITING, *EXECUTING, *ENDED)) == sorted(JobStatus)
    assert set(LIVE) == {*WAITING, *EXECUTING}
    assert len(JobStatus) == 9
    assert len(FailureType) == 9


def test_a_move_is_named_by_noun_and_participle() -> None:
    """The log calls each move after what happened to the job."""
    for move in MOVES:
        assert re.fullmatch(r"job\.([a-z]+_)?[a-z]+ed(_out)?", move.event), move


@pytest.mark.parametrize(("request_", "status", "expected"), REQUESTS)
def test_the_answer_to_a_request(request_: str, status: str, expected: str) -> None:
    """Each request has one answer in each status, as the table of requests says."""
    assert in_words(answer(Request(request_), JobStatus(status))) == expected


def test_the_table_of_requests_is_complete() -> None:
    """Five requests in nine statuses, each pair once."""
    pairs = [(each, status) for each, status, _ in REQUESTS]
    assert sorted(pairs) == sorted(product(map(str, Request), map(str, JobStatus)))


@pytest.mark.parametrize(("request_", "status", "expected"), REQUESTS)
def test_the_answer_while_an_execution_may_go_on(
    request_: str, status: str, expected: str
) -> None:
    """Only the retry of an ended job needs the proof that its execution is over."""
    found = answer(Request(request_), JobStatus(status), execution_over=False)
    if request_ == "retry" and status in ("dead_letter", "failed", "cancelled"):
        expected = (
            "refused: its last attempt may still be executing; restart the daemon first"
        )
    assert in_words(found) == expected


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A connection to a real file without any rule but the schema's own."""
    path = tmp_path_factory.mktemp("lifecycle") / "jobd.db"
    open_database(path, create=True, now=1).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        yield connection


def row_in(db: sqlite3.Connection, status: str) -> int:
    """A new row in `status`, led there by raw SQL along the arrows."""
    job_id = db.execute(
        "INSERT INTO job_queue (job_type, created_at) VALUES ('t', 1) RETURNING id"
    ).fetchone()[0]
    for way in () if status == "pending" else ("running", status):
        db.execute("UPDATE job_queue SET status = ? WHERE id = ?", (way, job_id))
    return int(job_id)


@pytest.mark.parametrize(("old", "new"), list(product(LEAVES_BY, LEAVES_BY)))
def test_the_trigger_allows_the_arrows_only(db: sqlite3.Connection, old: str, new: str) -> None:
    """Raw SQL may move a row along an arrow or leave its status, and nothing else."""
    job_id = row_in(db, old)
    allowed = old == new or (old, new) in ARROWS
    refusal = pytest.raises(sqlite3.IntegrityError, match="no such move of a job")
    with nullcontext() if allowed else refusal:
        db.execute("UPDATE job_queue SET status = ? WHERE id = ?", (new, job_id))
    found = db.execute("SELECT status FROM job_queue WHERE id = ?", (job_id,)).fetchone()[0]
    assert found == (new if allowed else old)


@pytest.mark.parametrize("status", [status for status in LEAVES_BY if status != "pending"])
def test_a_job_is_born_pending(db: sqlite3.Connection, status: str) -> None:
    """Raw SQL cannot insert a job in any other status."""
    with pytest.raises(sqlite3.IntegrityError, match="a job is born pending"):
        db.execute(
            "INSERT INTO job_queue (job_type, created_at, status) VALUES ('t', 1, ?)", (status,)
        )


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [
        ("job_queue", "status", JobStatus),
        ("job_queue", "failure_type", FailureType),
        ("job_attempts", "failure_type", FailureType),
        ("job_attempts", "outcome", AttemptOutcome),
        ("workers", "health_status", HealthStatus),
    ],
)
def test_the_check_lists_what_the_enum_lists(
    db: sqlite3.Connection, table: str, column: str, values: type[JobStatus]
) -> None:
    """The CHECK of each column that holds an enum names its values, in its order."""
    head = rf"CHECK \(\s*(?:{column} (?:= '\w+'|IS NULL) OR )*{column} IN \("
    assert listed(db, table, head) == [str(value) for value in values]


def test_a_job_says_which_isolation_it_wants(db: sqlite3.Connection) -> None:
    """A thread or a process; that it is a command follows from its type."""
    chosen = [str(each) for each in Isolation if each is not Isolation.COMMAND]
    assert listed(db, "job_queue", r"CHECK \(\s*isolation IN \(") == chosen


def test_a_unique_key_is_held_by_the_live_statuses(db: sqlite3.Connection) -> None:
    """The index that guards unique keys lists what the enum calls live."""
    assert listed(db, "job_queue_unique_key", r"status IN \(") == [str(each) for each in LIVE]


def listed(db: sqlite3.Connection, name: str, before: str) -> list[str]:
    """The quoted words in the parentheses that `before` opens in the SQL of `name`."""
    sql = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()[0]
    found = re.search(rf"{before}([^)]*)\)", sql)
    assert found, f"{name} has no {before}"
    return re.findall(r"'(\w+)'", found.group(1))
