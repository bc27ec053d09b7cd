"""Which daemons ran, what their workers do, what they can run, and what jobs leave behind."""

import sqlite3
from typing import Any

import pytest

from jobd.core.lifecycle import EXECUTING, JobStatus
from jobd.core.worker_health import HealthStatus
from jobd.store import daemons
from jobd.store.daemons import DaemonIdentity, JobType, WorkerState
from tests.store.conftest import NOW, Rows

FIRST = DaemonIdentity("d1", 100, "boot", "0.1.0")
SECOND = DaemonIdentity("d2", 200, None, "0.2.0")
THUMB = JobType("thumb", "media", 30_000, 5)
PLAIN = JobType("plain", None, None, None)
IDLE, BUSY = WorkerState("w1"), WorkerState("w2", HealthStatus.NORMAL, 7, 2, 50)


def register(db: sqlite3.Connection, daemon: DaemonIdentity, now: int = NOW, **limits: int) -> None:
    daemons.register(db, daemon, [THUMB, PLAIN], limits, now)


def test_a_daemon_registers(db: sqlite3.Connection, rows: Rows) -> None:
    """Its row, its job types and its queues' limits stand in the database."""
    register(db, FIRST, media=2)
    assert rows.all("SELECT * FROM daemons") == [{
        "id": "d1", "pid": 100, "boot_id": "boot", "version": "0.1.0", "started_at": NOW,
        "seen_at": NOW, "stopped_at": None,
    }]
    types = "SELECT name, queue, timeout_ms, max_retries, daemon_id FROM job_types ORDER BY name"
    assert rows.all(types) == [
        {"name": "plain", "queue": None, "timeout_ms": None, "max_retries": None,
         "daemon_id": "d1"},
        {"name": "thumb", "queue": "media", "timeout_ms": 30_000, "max_retries": 5,
         "daemon_id": "d1"},
    ]
    assert rows.all("SELECT name, concurrency FROM queues") == [
        {"name": "media", "concurrency": 2}
    ]


def test_the_next_daemon_closes_the_books_of_the_last(db: sqlite3.Connection, rows: Rows) -> None:
    """The killed one stopped when it was last seen; its workers are gone, its types replaced."""
    register(db, FIRST)
    daemons.show_workers(db, FIRST, [IDLE, BUSY], NOW + 5)
    daemons.register(db, SECOND, [PLAIN], {}, NOW + 9)
    assert rows.all("SELECT id, seen_at, stopped_at FROM daemons ORDER BY id") == [
        {"id": "d1", "seen_at": NOW + 5, "stopped_at": NOW + 5},
        {"id": "d2", "seen_at": NOW + 9, "stopped_at": None},
    ]
    assert rows.all("SELECT name FROM workers") == []
    assert rows.all("SELECT name FROM job_types") == [{"name": "plain"}]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {}, []),
        ({"a": 2}, {"a": 3}, [("a", 3)]),
        ({"a": 2}, {}, [("a", None)]),
        ({"a": 2}, {"b": 1}, [("a", None), ("b", 1)]),
        ({}, {"a": None}, []),
    ],
)
def test_the_limits_in_force_are_shown(
    db: sqlite3.Connection,
    rows: Rows,
    before: dict[str, int | None],
    after: dict[str, int | None],
    expected: list[tuple[str, int | None]],
) -> None:
    """A reload changes and withdraws limits; the row of a queue stays."""
    daemons.set_limits(db, before)
    daemons.set_limits(db, after)
    found = rows.all("SELECT name, concurrency FROM queues ORDER BY name")
    assert [(row["name"], row["concurrency"]) for row in found] == expected


def test_a_pause_outlives_the_daemon(db: sqlite3.Connection, rows: Rows) -> None:
    """Registering limits opens no queue that a person has paused."""
    db.execute("INSERT INTO queues (name, paused_at, paused_by) VALUES ('media', 5, 'ann')")
    register(db, FIRST, media=2)
    assert rows.all("SELECT * FROM queues") == [
        {"name": "media", "concurrency": 2, "paused_at": 5, "paused_by": "ann"}
    ]


def test_workers_are_shown_as_they_are(db: sqlite3.Connection, rows: Rows) -> None:
    """What each does and how it is; one that is gone disappears, one that stays keeps its start."""
    register(db, FIRST)
    daemons.show_workers(db, FIRST, [IDLE, BUSY], NOW)
    stuck = WorkerState("w2", HealthStatus.UNHEALTHY, 7, 2, 50, stuck_job_id=7)
    daemons.show_workers(db, FIRST, [stuck, WorkerState("w3")], NOW + 5)
    shown = rows.all("SELECT * FROM workers ORDER BY name")
    common = {"daemon_id": "d1", "pid": 100, "boot_id": "boot", "seen_at": NOW + 5}
    assert shown == [
        {"id": "d1/w2", "name": "w2", "health_status": "unhealthy", "stuck_job_id": 7,
         "job_id": 7, "attempt": 2, "job_started_at": 50, "started_at": NOW, **common},
        {"id": "d1/w3", "name": "w3", "health_status": "normal", "stuck_job_id": None,
         "job_id": None, "attempt": None, "job_started_at": None, "started_at": NOW + 5,
         **common},
    ]
    assert rows.all("SELECT seen_at FROM daemons") == [{"seen_at": NOW + 5}]


def test_a_daemon_signs_off(db: sqlite3.Connection, rows: Rows) -> None:
    """It says when it stopped, and takes its workers off the list."""
    register(db, FIRST)
    daemons.show_workers(db, FIRST, [IDLE], NOW)
    daemons.sign_off(db, FIRST, NOW + 9)
    assert rows.all("SELECT seen_at, stopped_at FROM daemons") == [
        {"seen_at": NOW + 9, "stopped_at": NOW + 9}
    ]
    assert rows.all("SELECT name FROM workers") == []


@pytest.mark.parametrize("status", JobStatus)
def test_a_checkpoint_is_kept_while_its_attempt_runs(
    db: sqlite3.Connection, rows: Rows, status: JobStatus
) -> None:
    """Of an attempt that is over no checkpoint is taken any more."""
    job_id = rows.put(status)
    kept = daemons.save_checkpoints(db, [(job_id, 3, '{"n":1}')], NOW)
    assert kept == ([job_id] if status in EXECUTING else [])
    expected = {job_id: '{"n":1}'} if kept else {}
    assert daemons.checkpoints_of(db, [job_id]) == expected


@pytest.mark.parametrize("attempt", [2, 4])
def test_a_checkpoint_of_another_attempt_is_refused(
    db: sqlite3.Connection, rows: Rows, attempt: int
) -> None:
    """It leaves the one that is there as it was."""
    job_id = rows.put("running")
    daemons.save_checkpoints(db, [(job_id, 3, "1")], NOW)
    assert daemons.save_checkpoints(db, [(job_id, attempt, "2")], NOW) == []
    assert daemons.checkpoints_of(db, [job_id]) == {job_id: "1"}


def test_the_last_checkpoint_counts(db: sqlite3.Connection, rows: Rows) -> None:
    """It replaces the one before, also of an earlier attempt; other jobs keep theirs."""
    job_id, other = rows.put("running"), rows.put("zombie")
    daemons.save_checkpoints(db, [(job_id, 3, "1"), (other, 3, '"x"')], NOW)
    rows.set(job_id, attempt=4)
    assert daemons.save_checkpoints(db, [(job_id, 4, "2")], NOW + 1) == [job_id]
    assert daemons.checkpoints_of(db, [job_id, other, 99]) == {job_id: "2", other: '"x"'}
    assert daemons.checkpoints_of(db, []) == {}


@pytest.mark.parametrize(
    ("report", "stored"),
    [
        ((5, 10, "half"), (5.0, 10.0, "half")),
        ((0.5, None, ""), (0.5, None, "")),
    ],
)
def test_the_last_progress_is_kept(
    db: sqlite3.Connection, rows: Rows, report: tuple[Any, ...], stored: tuple[Any, ...]
) -> None:
    """How far a job is, and when it said so; a report of another attempt is no news."""
    job_id = rows.put("running")
    daemons.save_progress(db, [(job_id, 3, 0, None, "begun")], NOW)
    daemons.save_progress(db, [(job_id, 3, *report), (job_id, 2, 99, None, "old")], NOW + 1)
    [row] = rows.all("SELECT done, total, message, attempt, reported_at FROM job_progress")
    assert tuple(row.values()) == (*stored, 3, NOW + 1)
