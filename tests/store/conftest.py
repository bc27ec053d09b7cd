"""A database file of its own for each test, and rows put where a test needs them."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from jobd.core.job import Job
from jobd.core.lifecycle import EXECUTING, WAITING
from jobd.store import claims, completion
from jobd.store.connection import Database
from jobd.store.opening import open_database

NOW = 1_700_000_000_000
OWNER = "daemon-1"

Row = dict[str, Any]


class Rows:
    """Raw SQL over `job_queue`, for what a test needs to be there or wants to see."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def put(self, status: str = "pending", **columns: Any) -> int:
        """A row in `status` that is attempt 3 of `daemon-1`; its id."""
        columns = {"job_type": "t", "created_at": 1, "attempt": 3, "worker_id": OWNER} | columns
        columns.setdefault("ready", int(status in WAITING and "due_at" not in columns))
        columns.setdefault("execution_over", int(status not in EXECUTING))
        job_id: int = self._db.execute(
            "INSERT INTO job_queue (job_type, created_at) VALUES ('t', 1) RETURNING id"
        ).fetchone()[0]
        for way in () if status == "pending" else ("running", status):
            self._db.execute("UPDATE job_queue SET status = ? WHERE id = ?", (way, job_id))
        self.set(job_id, **columns)
        return job_id

    def set(self, job_id: int, **columns: Any) -> None:
        changes = ", ".join(f"{column} = ?" for column in columns)
        self._db.execute(
            f"UPDATE job_queue SET {changes} WHERE id = ?", (*columns.values(), job_id)
        )

    def get(self, job_id: int) -> Row:
        """The whole row."""
        return self.all("SELECT * FROM job_queue WHERE id = ?", job_id)[0]

    def all(self, query: str, *values: Any) -> list[Row]:
        """What a query finds, each row by column name."""
        found = self._db.execute(query, values)
        names = [each[0] for each in found.description]
        return [dict(zip(names, row, strict=True)) for row in found]

    def change(self, job_id: int, action: Callable[[], object]) -> Row:
        """The columns of the row that `action` changed, with their new values."""
        before = self.get(job_id)
        action()
        after = self.get(job_id)
        return {column: after[column] for column in after if after[column] != before[column]}


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file as jobd makes it, to be copied."""
    path = tmp_path_factory.mktemp("made-once") / "jobd.db"
    open_database(path, create=True, now=1).close()
    return path


@pytest.fixture
def path(made_once: Path, tmp_path: Path) -> Path:
    """The path of a database file of this test."""
    return Path(shutil.copy(made_once, tmp_path / "jobd.db"))


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """The open database of this test."""
    database = open_database(path, now=1)
    database.connection.execute("PRAGMA synchronous = OFF")
    yield database
    database.close()


@pytest.fixture
def db(database: Database) -> sqlite3.Connection:
    """Its connection."""
    return database.connection


@pytest.fixture
def rows(db: sqlite3.Connection) -> Rows:
    """Its rows, for tests to make and see."""
    return Rows(db)


def heads_of(db: sqlite3.Connection, ids: Sequence[int]) -> list[Job]:
    """These jobs as heads, whether or not they may be claimed; one that is not there, made up."""
    found = []
    for job_id in ids:
        stored = ", ".join(Job._fields[:-2]).replace("attempt", "attempt + 1")
        row = db.execute(f"SELECT {stored} FROM job_queue WHERE id = ?", (job_id,)).fetchone()
        found.append(Job(*row) if row else Job(job_id, 1, "t", "q", "{}", 0, 0, 0))
    return found


def claim_ids(
    db: sqlite3.Connection, direct: Sequence[int], buffered: Sequence[int], owner: str, now: int
) -> Sequence[Job]:
    """Claim by ids what a dispatcher would claim by heads."""
    return claims.claim(db, heads_of(db, direct), heads_of(db, buffered), owner, now).jobs


def complete(db: sqlite3.Connection, attempts: Sequence[Any], now: int) -> list[int]:
    """The verb of a success, called as all others are: with whatever may be read of an attempt."""
    successes = [(each.job_id, each.attempt, each.worker_id, each.result, each.started_at)
                 for each in attempts]
    return completion.complete(db, successes, now)
