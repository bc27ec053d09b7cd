"""Databases that another hand has changed: a clear error, no traceback, no job lost or stuck."""

import json
import random
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import pytest

from tests.daemon.harness import House, RunningDaemon
from tests.misbehaviour.verbs import FUZZ, all_about, complaints

TEXTS = ["", "banana", "not json", "[]", '{"a":', "\x00x", "9" * 40, "-1", "pending", "\u202e",
         "{" * 5_000, "'; DROP TABLE job_queue; --", '{"n": NaN}']
NUMBERS = [-1, 0, 1, 7, -(2**63), 2**62, 2**63 - 1]
BROKEN_TEXT = "CAST(x'fffe00ff' AS TEXT)"


@contextmanager
def other_hand(house: House) -> Iterator[sqlite3.Connection]:
    """The database as the sqlite3 shell opens it, without the checks and triggers."""
    with closing(sqlite3.connect(house.db, isolation_level=None, timeout=20)) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        triggers = db.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            db.execute(f"DROP TRIGGER {name}")
        yield db
        for _, sql in triggers:
            db.execute(sql)


def set_schema(house: House, change: Sequence[tuple[str, str]], table: str = "job_queue") -> str:
    """Change the text of a table's definition behind SQLite's back; the text it had."""
    with closing(sqlite3.connect(house.db, isolation_level=None, timeout=20)) as db:
        db.execute("PRAGMA writable_schema = ON")
        query = "SELECT sql FROM sqlite_schema WHERE name = ?"
        before = text = str(db.execute(query, (table,)).fetchone()[0])
        for pattern, replacement in change:
            text, count = re.subn(pattern, replacement, text)
            assert count, pattern
        db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (text, table))
        version = db.execute("PRAGMA schema_version").fetchone()[0]
        db.execute(f"PRAGMA schema_version = {version + 1}")
    return before


@contextmanager
def untyped(house: House) -> Iterator[sqlite3.Connection]:
    """As `other_hand`, while job_queue has no STRICT and no NOT NULL; afterwards it has again."""
    before = set_schema(house, [(r"\)\s*STRICT\s*$", ")"), (" NOT NULL", "")])
    with other_hand(house) as db:
        yield db
    set_schema(house, [(r"(?s)^.*$", before.replace("\\", "\\\\"))])


def columns(house: House) -> list[tuple[str, str]]:
    return [(row["name"], row["type"]) for row in house.rows("PRAGMA table_info(job_queue)")
            if row["name"] != "id"]


def the_good_complete(house: House, daemon: RunningDaemon, good: Sequence[int]) -> bool:
    """False when the daemon ended instead."""
    beat = None
    for _ in range(200):
        beat = daemon.next_beat(beat)
        if beat is None:
            return False
        if all(house.status(job_id) == "completed" for job_id in good):
            return daemon.next_beat(beat) is not None
    raise AssertionError(daemon.account())


def ended_with_a_sentence(daemon: RunningDaemon) -> str:
    """It exits with 78 and says why, and nowhere is a traceback; what it said."""
    assert daemon.exit_status() == 78, daemon.account()
    failures = daemon.events("daemon.failed")
    said = daemon.stderr + "".join(line["error"] for line in failures)
    assert "Traceback" not in json.dumps(daemon.log) + daemon.stderr
    assert "jobd migrate" in said, daemon.account()
    return said


def test_nonsense_of_the_right_type_is_one_job_s_trouble(house: House) -> None:
    """A row for each column and each value that its CHECK would refuse: the others complete, all
    verbs answer, no row is lost."""
    house.enqueue("quick")
    bad = [(column, value, status) for column, kind in columns(house)
           for value in (NUMBERS if kind == "INTEGER" else TEXTS)
           for status in ("pending", "retrying", "dead_letter")]
    picked = random.Random(5).sample(bad, min(len(bad), 200 * FUZZ))
    ids = house.queue.enqueue_many([("quick", {"n": 1})] * len(picked))
    good = house.queue.enqueue_many([("quick", {"n": 2})] * 10)
    with other_hand(house) as db:
        for job_id, (column, value, status) in zip(ids, picked, strict=True):
            db.execute("UPDATE job_queue SET status = ?, ready = ? WHERE id = ?",
                       (status, status != "dead_letter", job_id))
            try:
                db.execute(f"UPDATE job_queue SET {column} = ? WHERE id = ?", (value, job_id))
            except sqlite3.IntegrityError:  # a unique key
                continue
        for column, kind in columns(house):
            if kind == "TEXT" and column not in ("unique_key", "request_id"):
                db.execute(f"UPDATE job_queue SET {column} = {BROKEN_TEXT} WHERE id = "
                           "(SELECT max(id) - 10 - ? FROM job_queue)", (len(column),))
    daemon = house.start("--workers", "2")
    assert the_good_complete(house, daemon, good), daemon.events("daemon.failed")
    assert daemon.events("sweep.failed") == []
    picks = random.Random(6).sample(ids, min(5 * FUZZ, len(ids)))
    assert [each for job_id in picks for each in complaints(house, all_about(job_id))] == []
    assert daemon.process.poll() is None, daemon.account()
    assert house.rows("SELECT count(*) FROM job_queue")[0][0] == len(ids) + len(good) + 1


WRONG_TYPES = [
    ("priority", "'banana'"), ("queue", "x'fffe'"), ("payload", "x'7b7d'"), ("isolation", "x'00'"),
    ("created_at", "'yesterday'"),
]


@pytest.mark.parametrize(("column", "value"), WRONG_TYPES)
def test_a_value_that_sqlite_itself_would_refuse_is_named(
    house: House, column: str, value: str
) -> None:
    """Put there through writable_schema: the daemon goes on or ends with 78 and names the row; no
    verb shows a traceback; verify says it, and repair lets the row go when that is asked for."""
    good, bad = house.enqueue("quick"), house.enqueue("quick")
    with untyped(house) as db:
        db.execute(f"UPDATE job_queue SET {column} = {value} WHERE id = ?", (bad,))
    assert f"row {bad} of job_queue: {column}" in house.cli("migrate", "verify", expect=78)
    daemon = house.launch("--workers", "1")
    if the_good_complete(house, daemon, [good]):
        assert daemon.stop() == 0
    else:
        assert f"row {bad} of job_queue: {column} is" in ended_with_a_sentence(daemon)
    assert complaints(house, all_about(bad)) == []
    house.cli("migrate", "repair", expect=1)
    assert "--discard job_queue" in house.said
    house.cli("migrate", "repair", "--discard", "job_queue")
    again = house.start("--workers", "1")
    again.wait_for("job.completed", job_id=house.enqueue("quick"))
    assert house.status(good) == "completed"


def test_a_status_that_does_not_exist_is_named_and_mapped(house: House) -> None:
    """An executing row in `paused`: the daemon refuses to start and names it; repair maps it."""
    bad = house.enqueue("quick")
    with other_hand(house) as db:
        db.execute("UPDATE job_queue SET status = 'paused', ready = 0, execution_over = 0, "
                   "attempt = 1, worker_id = 'x' WHERE id = ?", (bad,))
    assert "status is 'paused'" in ended_with_a_sentence(house.launch())
    assert complaints(house, all_about(bad)) == []
    house.cli("migrate", "repair", "--map", "paused=pending")
    house.start().wait_for("job.completed", job_id=bad)


def test_a_status_that_does_not_exist_appears_under_a_running_daemon(house: House) -> None:
    """A loosened CHECK lets it in: the other jobs go on, what is wrong is logged in a sentence."""
    daemon = house.start("--workers", "1")
    bad = house.enqueue("quick", delay="1h")
    set_schema(house, [(r"'pending', 'running',", "'pending', 'paused', 'running',"),
                       (r"OR status IN \('running',", "OR status IN ('paused', 'running',")])
    with other_hand(house) as db:
        db.execute("UPDATE job_queue SET status = 'paused', due_at = NULL, execution_over = 0, "
                   "attempt = 1, worker_id = 'x' WHERE id = ?", (bad,))
    good = [house.enqueue("quick") for _ in range(5)]
    assert the_good_complete(house, daemon, good)
    said = daemon.wait_for("sweep.failed")
    assert "status is 'paused'" in said["error"]
    assert said["traceback"] is None
    assert complaints(house, all_about(bad)) == []
    daemon.stop()
    assert "too wide: allows 'paused'" in ended_with_a_sentence(house.launch())
    house.cli("migrate", "repair", "--map", "paused=pending")
    assert house.status(bad) == "pending"


TRIGGERS = {
    "refuses every change": "BEFORE UPDATE ON job_queue BEGIN SELECT RAISE(ABORT, 'not now'); END",
    "rolls back": "AFTER UPDATE ON job_queue BEGIN SELECT RAISE(ROLLBACK, 'undone'); END",
    "ignores": "BEFORE UPDATE ON job_queue BEGIN SELECT RAISE(IGNORE); END",
}


@pytest.mark.parametrize("text", TRIGGERS.values(), ids=TRIGGERS)
def test_a_foreign_trigger_loses_no_job(house: House, text: str) -> None:
    """Made under a running daemon: it goes on, or ends with a sentence that names the trigger;
    when that is gone every job completes, each once."""
    daemon = house.start("--workers", "1")
    gate = house.gate("shut")
    ids = [house.enqueue("gated", {"gate": "shut"})]
    daemon.wait_for("job.logged", job_id=ids[0])
    ids += [house.enqueue("quick") for _ in range(3)]
    with closing(sqlite3.connect(house.db, isolation_level=None, timeout=20)) as db:
        db.execute(f"CREATE TRIGGER stranger {text}")
    asked = [["enqueue", "quick"], ["cancel", "99"], *all_about(ids[0])[:18]]
    assert complaints(house, asked) == []
    gate.open()
    beat = daemon.next_beat(daemon.log[-1])
    if beat is not None and daemon.next_beat(beat) is not None:
        daemon.signal(15)
    daemon.exit_status()
    assert "Traceback" not in json.dumps(daemon.log) + daemon.stderr
    assert "stranger" in ended_with_a_sentence(house.launch())
    house.cli("migrate", "repair")
    again = house.start("--workers", "1")
    for job_id in ids:
        assert house.queue.wait(job_id, timeout=20)["status"] == "completed"
    assert again.events("job.dead_lettered") == []


def test_a_check_that_was_narrowed_loses_no_job(house: House) -> None:
    """A status that the CHECK no longer allows: no job is left behind, the start names it."""
    house.handlers('@job("fails")\ndef fails():\n    wait_at("shut")\n    raise OSError\n')
    daemon = house.start("--workers", "1")
    gate = house.gate("shut")
    job_id = house.enqueue("fails")
    daemon.wait_for("daemon.ready")
    set_schema(house, [(r"'retrying', 'completed', 'failed',\s*'dead_letter'", "'completed'")])
    gate.open()
    daemon.exit_status()
    assert "Traceback" not in json.dumps(daemon.log) + daemon.stderr
    assert "too narrow" in ended_with_a_sentence(house.launch())
    house.cli("migrate", "repair")
    house.handlers('@job("fails")\ndef fails():\n    return "after all"\n')
    assert house.start().wait_for("job.completed", job_id=job_id)


@pytest.mark.parametrize("seed", range(4 * FUZZ))
def test_random_changes_are_told_or_borne(house: House, seed: int) -> None:
    """Random values of any type in random columns and rows of every table: the daemon runs the
    jobs that are sound, or ends with a sentence; no verb shows a traceback."""
    chance = random.Random(seed)
    good = house.queue.enqueue_many([("quick", {"n": 3})] * 3)
    bad = house.queue.enqueue_many([("quick", {"n": 4})] * 6)
    tables = {name: [row["name"] for row in house.rows(f"PRAGMA table_info({name})")]
              for name in ("job_attempts", "job_progress", "job_checkpoints", "queues",
                           "operator_actions", "workers", "daemons", "job_types")}
    house.start("--workers", "1").kill()
    with untyped(house) as db:
        for _ in range(chance.randint(1, 8)):
            value = chance.choice([*TEXTS, *NUMBERS, None, 1.5, b"\xff\x00", float("inf")])
            table = chance.choice(["job_queue"] * 4 + list(tables))
            if table == "job_queue":
                column, _ = chance.choice(columns(house))
                where = f"id = {chance.choice(bad)}"
            else:
                column, where = chance.choice(tables[table]), "true"
            try:
                db.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value,))
            except sqlite3.IntegrityError:
                continue
    daemon = house.launch("--workers", "1")
    if the_good_complete(house, daemon, good):
        daemon.stop()
    else:
        ended_with_a_sentence(daemon)
    asked = chance.sample(list(bad), 2 if FUZZ == 1 else len(bad))
    assert [each for job_id in asked for each in complaints(house, all_about(job_id))] == []
