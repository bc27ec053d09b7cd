"""What is known after a cycle, as plain values, and reading it from files and the database."""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.torture.plan import Order
from tests.torture.processes import Incarnation

LIVE = ("pending", "running", "timeout", "zombie", "retrying")
ENDED = ("completed", "failed", "dead_letter", "cancelled")
Line = dict[str, Any]


@dataclass(frozen=True)
class Note:
    """One line of the side file."""

    kind: str
    job_id: int
    attempt: int
    pid: int
    at: float
    how: str = "-"

    @property
    def key(self) -> tuple[int, int]:
        return self.job_id, self.attempt


@dataclass(frozen=True)
class JobRow:
    """What the database says of a job."""

    id: int
    tag: str
    job_type: str = "quick"
    queue: str = "default"
    status: str = "completed"
    attempt: int = 1
    retry_count: int = 0
    rescue_count: int = 0
    max_retries: int | None = None
    timeout_ms: int | None = None
    execution_over: int = 1
    failure_type: str | None = None
    dead_letter_reason: str | None = None
    unique_key: str | None = None
    request_id: str | None = None
    isolation: str | None = None
    result: str | None = None


@dataclass(frozen=True)
class AttemptRow:
    """What the database says of an attempt that did not complete."""

    job_id: int
    attempt: int
    outcome: str
    failure_type: str | None = None
    worker_id: str | None = None
    started_at: int | None = None
    timed_out_at: int | None = None

    @property
    def key(self) -> tuple[int, int]:
        return self.job_id, self.attempt

    @property
    def pid(self) -> int:
        return int((self.worker_id or "0").partition("-")[0])


@dataclass
class Evidence:
    """Everything the checks look at."""

    orders: dict[str, Order] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    said: list[Line] = field(default_factory=list)
    """The producers' side file."""
    jobs: dict[int, JobRow] = field(default_factory=dict)
    attempts: list[AttemptRow] = field(default_factory=list)
    daemons: list[Incarnation] = field(default_factory=list)
    logs: dict[int, list[str]] = field(default_factory=dict)
    """By pid, the lines of standard output."""
    errors: dict[int, str] = field(default_factory=dict)
    """By pid, standard error; 0 for producers and the like."""
    unsettled: list[str] = field(default_factory=list)
    batches: list[Line] = field(default_factory=list)
    """Each batch as its row is, with what a count of its items says."""
    seen: list[Line] = field(default_factory=list)
    """What the observer saw while it went on: live holders of a key, and rows that went back."""
    counts: dict[str, int] = field(default_factory=dict)
    integrity: list[str] = field(default_factory=list)
    schema: str = ""
    leftovers: list[str] = field(default_factory=list)
    child_faults: bool = False

    def told(self, kind: str) -> list[Line]:
        return [line for line in self.said if line["kind"] == kind]

    def noted(self, kind: str) -> list[Note]:
        return [note for note in self.notes if note.kind == kind]

    def order_of(self, row: JobRow) -> Order | None:
        return self.orders.get(row.tag)

    def daemon(self, pid: int) -> Incarnation | None:
        return next((each for each in self.daemons if each.pid == pid), None)

    def events(self) -> Iterable[tuple[int, Line]]:
        """(pid, line) of every line of every log that can be read."""
        for pid, lines in self.logs.items():
            for line in lines:
                found = parsed(line)
                if found is not None:
                    yield pid, found


def parsed(line: str) -> Line | None:
    """One line of the log as an object; None when it is none."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def read_notes(root: Path) -> list[Note]:
    """The side file of the attempts; its lines are whole, because each was one write."""
    try:
        lines = (root / "journal").read_text().splitlines()
    except FileNotFoundError:
        return []
    notes = []
    for line in lines:
        kind, job_id, attempt, pid, at, how = line.rstrip().split(" ", 5)
        notes.append(Note(kind, int(job_id), int(attempt), int(pid), float(at), how))
    return notes


def read_said(root: Path, name: str) -> list[Line]:
    try:
        text = (root / name).read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines()]


def query(path: Path, statement: str) -> list[sqlite3.Row]:
    """What plain SQLite reads in the file."""
    with closing(sqlite3.connect(path, timeout=10)) as db:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA wal_autocheckpoint = 0")
        return db.execute(statement).fetchall()


def read_jobs(path: Path) -> dict[int, JobRow]:
    columns = [name for name in JobRow.__dataclass_fields__ if name != "tag"]
    rows = query(path, f"SELECT payload, {', '.join(columns)} FROM job_queue ORDER BY id")
    jobs = [JobRow(tag=_tag(row["payload"]), **{c: row[c] for c in columns}) for row in rows]
    return {job.id: job for job in jobs}


def read_batches(path: Path) -> list[Line]:
    return [dict(row) for row in query(path, COUNTED)]


def _tag(payload: str) -> str:
    found = json.loads(payload)
    return str(found.get("tag") or found.get("env", {}).get("TAG"))


def read_attempts(path: Path) -> list[AttemptRow]:
    columns = list(AttemptRow.__dataclass_fields__)
    rows = query(path, f"SELECT {', '.join(columns)} FROM job_attempts ORDER BY job_id, attempt")
    return [AttemptRow(**dict(row)) for row in rows]


def changed(evidence: Evidence, job_id: int, **values: Any) -> Evidence:
    """The same with one job told differently; for the tests of the checks."""
    jobs = {**evidence.jobs, job_id: replace(evidence.jobs[job_id], **values)}
    return replace(evidence, jobs=jobs)


UNSETTLED = f"""
    SELECT id, job_type, status, attempt, execution_over, ready, due_at FROM job_queue
    WHERE status IN {LIVE} OR execution_over = 0 ORDER BY id
"""
COUNTED = """
    SELECT b.id, b.name, b.status, b.sealed_at, b.run,
        b.total_items, b.successful_items, b.failed_items, b.cancelled_items,
        count(i.job_id) AS counted_total,
        count(*) FILTER (WHERE i.status = 'completed') AS counted_successful,
        count(*) FILTER (WHERE i.status = 'failed') AS counted_failed,
        count(*) FILTER (WHERE i.status = 'cancelled') AS counted_cancelled
    FROM batch_jobs AS b LEFT JOIN batch_item_status AS i ON i.batch_job_id = b.id GROUP BY b.id
"""
TWO_LIVE = f"""
    SELECT unique_key, group_concat(id) AS ids FROM job_queue
    WHERE unique_key IS NOT NULL AND status IN {LIVE} GROUP BY unique_key HAVING count(*) > 1
"""
