"""A claim costs the same whatever lies in the file: ready, future, finished or paused rows.

`JOBD_TEST_ROWS=1000000 pytest -s tests/house/test_claim_cost.py` asks it of a million of each.
"""

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

import pytest

from jobd import clock
from jobd.core.job import Job
from jobd.store import claims, completion, health_facts, outcomes, overview
from jobd.store import news as store_news
from jobd.store.connection import Database
from jobd.store.news import news, next_due_at
from jobd.store.opening import open_database
from jobd.store.reading import records

ROWS = int(os.environ.get("JOBD_TEST_ROWS", "50000"))
NOW = 1_700_000_000_000
AT_ONCE = 20
ROUNDS = 15
SLOWER_AT_MOST = 5.0

FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
INSERT INTO job_queue (job_type, queue, payload, priority, created_at, scheduled_at, ready, due_at)
SELECT 't', :queue, '{"path":"a.jpg"}', abs(random()) % 11 - 5, :now - i, :due + i, :ready, :due + i
FROM n
"""


def fill(db: sqlite3.Connection, rows: int) -> None:
    """`rows` each of finished, future, paused and ready jobs; the ready ones come last."""
    values = {"rows": rows, "now": NOW, "ready": 1, "due": None}
    db.execute("PRAGMA synchronous = OFF")
    db.execute("BEGIN")
    db.execute(FILL, values | {"queue": "default"})
    db.execute("UPDATE job_queue SET status = 'running', ready = 0, attempt = 1")
    db.execute(
        "UPDATE job_queue SET status = 'completed', completed_at = :now, result = '[1]'", values
    )
    db.execute(FILL, values | {"queue": "default", "ready": 0, "due": NOW + 3_600_000})
    db.execute(FILL, values | {"queue": "paused"})
    db.execute("INSERT INTO queues (name, paused_at) VALUES ('paused', 1)")
    db.execute(FILL, values | {"queue": "default"})
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.execute("PRAGMA synchronous = NORMAL")


def opened(path: Path, rows: int) -> Database:
    database = open_database(path, create=True, now=NOW, synchronous="normal")
    fill(database.connection, rows)
    return database


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with `ROWS` rows of each kind."""
    with closing(opened(tmp_path_factory.mktemp("full") / "jobd.db", ROWS)) as database:
        yield database


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with just enough rows to claim."""
    rows = AT_ONCE * ROUNDS * 4
    with closing(opened(tmp_path_factory.mktemp("empty") / "jobd.db", rows)) as database:
        yield database


def claim_and_complete(database: Database) -> float:
    """Milliseconds of one turn of the dispatcher: claim 20 jobs, then complete them."""
    began = clock.monotonic()
    with database.transaction() as db:
        claims.promote_due(db, NOW)
        heads = claims.heads(db, AT_ONCE, {})
        jobs = claims.claim(db, heads, [], "d", NOW).jobs
        next_due_at(db)
    assert len(jobs) == AT_ONCE
    ended = [(job.id, job.attempt, "d", None, NOW) for job in jobs]
    with database.transaction() as db:
        assert len(completion.complete(db, ended, NOW)) == AT_ONCE
    return 1000 * (clock.monotonic() - began)


def test_claims_cost_the_same_in_a_full_file(full: Database, empty: Database) -> None:
    """The median turn is at most a few times that in an empty file; noise gets three chances."""
    ratios = []
    for _ in range(3):
        times = [(claim_and_complete(full), claim_and_complete(empty)) for _ in range(ROUNDS)]
        in_full, in_empty = (median(column) for column in zip(*times, strict=True))
        ratios.append(in_full / in_empty)
        print(f"{ROWS} rows of each kind: {in_full:.2f} ms for {AT_ONCE} claims and completions, "
              f"{in_empty:.2f} ms in an empty file, {ratios[-1]:.2f} times")
        if ratios[-1] < SLOWER_AT_MOST:
            return
    pytest.fail(f"a turn takes {ratios} times as long in a full file")


Statement = Callable[[sqlite3.Connection], object]

HEADS = [Job(i, 1, "t", "q", "{}", 0, 0, 0) for i in (1, 2, 3)]

STATEMENTS: dict[str, Statement] = {
    "heads": lambda db: claims.heads(db, 40, {"busy": 0, "narrow": 3}),
    "claim": lambda db: claims.claim(db, HEADS[:2], HEADS[2:], "d", NOW),
    "promote_due": lambda db: claims.promote_due(db, NOW),
    "next_due_at": next_due_at,
    "set_aside_without_handler": lambda db: claims.set_aside_without_handler(db, [1, 2]),
    "bring_back_handled": lambda db: claims.bring_back_handled(db, ["t", "u"]),
    "executing_by_queue": claims.executing_by_queue,
    "news": lambda db: news(db, "d", [1, 2]),
    "clamp_retries": lambda db: claims.clamp_retries(db, NOW),
    "depth": claims.depth,
    "next_in_line": claims.next_in_line,
}

OTHERS: dict[str, Statement] = {
    "executing_rows": outcomes.executing_rows,
    "zombies": lambda db: records(db, health_facts._ZOMBIES),
    "workers": overview.workers,
    "at_work": overview.at_work,
    "dead_letters": overview.dead_letters,
}
"""What the daemon's sweeps and the health of everything ask, again and again."""

A_WHOLE_TABLE = re.compile(r"SCAN (job_queue|j|ahead)\b(?!.*USING (COVERING )?INDEX job_queue_)")
A_SORT_OF_ROWS = re.compile(r"USE TEMP B-TREE FOR (?!LAST TERM)")


def plans(db: sqlite3.Connection, call: Statement) -> list[str]:
    """How SQLite would go about each statement that `call` executes."""
    executed: list[str] = []
    db.execute("BEGIN")
    db.set_trace_callback(executed.append)
    try:
        call(db)
    finally:
        db.set_trace_callback(None)
        db.execute("ROLLBACK")
    return [
        row[3]
        for statement in executed
        if not statement.startswith("--")
        for row in db.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    ]


@pytest.mark.parametrize("name", [*STATEMENTS, *OTHERS])
def test_no_statement_walks_the_whole_queue(full: Database, name: str) -> None:
    """Every look at `job_queue` goes through an index that was made for it."""
    found = plans(full.connection, {**STATEMENTS, **OTHERS}[name])
    assert found
    assert [line for line in found if A_WHOLE_TABLE.search(line)] == []


def test_statistics_change_no_plan(empty: Database) -> None:
    """After somebody ran ANALYZE the same indexes are taken."""
    def all_plans() -> dict[str, list[str]]:
        return {name: plans(empty.connection, call) for name, call in STATEMENTS.items()}

    before = all_plans()
    empty.connection.execute("ANALYZE")
    assert all_plans() == before


def test_every_statement_of_the_claims_is_asked() -> None:
    """A new function of store/claims.py or store/news.py gets its row in this page."""
    public = {
        name for module in (claims, store_news) for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and callable(value)
        and not name.startswith("_") and not isinstance(value, type)
    }
    assert public == set(STATEMENTS)


def test_the_line_is_kept_in_order_by_its_index(full: Database) -> None:
    """The head of one queue is read off the index; only the heads of all queues are sorted."""
    found = plans(full.connection, STATEMENTS["heads"])
    assert [line for line in found if "job_queue_ready (ready=? AND queue=?)" in line
            or "job_queue_ready (queue=?)" in line]
    assert len([line for line in found if A_SORT_OF_ROWS.search(line)]) <= 1
