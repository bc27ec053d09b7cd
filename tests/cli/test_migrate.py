"""`jobd migrate`: what it prints, what it refuses, and its exit status."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from jobd.cli.main import main
from jobd.store.daemon_lock import DaemonLock
from jobd.store.migrations import MIGRATIONS
from jobd.store.opening import open_database

LATEST = len(MIGRATIONS)
Jobd = Callable[..., tuple[int, str, str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobd.db"


@pytest.fixture
def jobd(path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Jobd:
    """Run `jobd migrate …`; returns exit status, standard output and standard error."""
    monkeypatch.setenv("HOME", str(path.parent))

    def run(*words: str) -> tuple[int, str, str]:
        status = main(["--db", str(path), "migrate", *words])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def test_up_makes_the_database(jobd: Jobd, path: Path) -> None:
    """Only `up` may; it lists what it applied and where that led; again there is nothing to do."""
    status, out, _ = jobd("up")
    assert status == 0
    assert out.splitlines() == [
        *(f"applied {m.version:03} {m.name}" for m in MIGRATIONS),
        f"the schema is version {LATEST}",
    ]
    open_database(path, now=1, check="drift").close()
    assert jobd("up")[1] == f"nothing was pending\nthe schema is version {LATEST}\n"


def test_up_stops_where_it_is_told(jobd: Jobd) -> None:
    """`--to` names a version, on a new file too; back is the business of `down`."""
    assert jobd("up", "--to", "2")[1].endswith("the schema is version 2\n")
    status, _, err = jobd("up", "--to", "1")
    assert (status, err) == (2, "jobd: the schema is version 2 already; "
                                "`jobd migrate down --to 1` goes back\n")


@pytest.mark.parametrize("words", [
    ["status"], ["verify"], ["down", "--to", "1"], ["mark-applied", "1"], ["repair"],
])
def test_other_verbs_make_nothing(words: list[str], jobd: Jobd, path: Path) -> None:
    """They say that there is no database, and leave it so."""
    status, _, err = jobd(*words)
    assert status == 1
    assert f"no database at {path}" in err
    assert list(path.parent.iterdir()) == []


def test_status_lists_each_migration(jobd: Jobd) -> None:
    """One line each, for people and as JSON; one that was rolled back is pending."""
    jobd("up")
    jobd("down", "--to", str(LATEST - 1))
    status, out, _ = jobd("status")
    first, *_, last = out.splitlines()
    assert status == 0
    assert first.split()[:3] == ["001", "create_job_queue", "applied"]
    assert " pending  rolled back 20" in last
    found = json.loads(jobd("status", "--json")[1])
    assert [each["status"] for each in found] == ["applied"] * (LATEST - 1) + ["pending"]
    assert list(found[-1]) == ["version", "name", "status", "applied_at", "rollback_at"]
    assert found[-1]["rollback_at"].endswith("Z")


def test_verify_says_what_fits_and_what_does_not(jobd: Jobd, path: Path) -> None:
    """0 and a sentence, or 78 and each difference with the command that mends it."""
    jobd("up")
    status, out, _ = jobd("verify")
    assert (status, out.split(":")[0]) == (0, f"{path} is what this jobd needs")
    assert json.loads(jobd("verify", "--json")[1]) == []
    execute(path, "DROP TRIGGER job_queue_moves")
    status, out, _ = jobd("verify")
    assert status == 78
    assert out == "job_queue_moves: the trigger does not exist\n  mend: jobd migrate repair\n"
    status, out, _ = jobd("verify", "--json")
    assert status == 78
    assert json.loads(out) == [{
        "object": "job_queue_moves",
        "problem": "the trigger does not exist",
        "mend": "jobd migrate repair",
    }]
    assert jobd("repair")[0] == 0
    assert jobd("verify")[0] == 0


def test_down_asks_and_does(jobd: Jobd, path: Path) -> None:
    """It refuses with the exact options; with them it goes, and prints where the backup is."""
    jobd("up")
    execute(path, "INSERT INTO job_queue (job_type, created_at) VALUES ('a', 1)",
            "UPDATE job_queue SET status = 'running'", "UPDATE job_queue SET status = 'zombie'")
    status, _, err = jobd("down", "--to", "2")
    assert status == 1
    assert "1 row of job_queue with the status zombie: --map zombie=failed" in err
    status, out, _ = jobd("down", "--to", "2", "--map", "zombie=failed")
    backup = Path(out.splitlines()[0].removeprefix("backup: "))
    assert (status, out.splitlines()[-1]) == (0, "the schema is version 2")
    assert backup.name.startswith(f"jobd.db.backup-v{LATEST}-")
    assert backup.exists()
    assert jobd("down")[1].endswith("the schema is version 1\n")
    assert json.loads(jobd("up", "--json")[1])["version"] == LATEST


@pytest.mark.parametrize("pair", ["zombie", "zombie=", "=failed"])
def test_a_mapping_needs_both_sides(pair: str, jobd: Jobd) -> None:
    """What is no OLD=NEW is told with an example."""
    jobd("up")
    status, _, err = jobd("down", "--map", pair)
    assert (status, err) == (2, f"jobd: --map {pair!r}: write OLD=NEW, for example zombie=failed\n")


def test_mark_applied_mends_a_record(jobd: Jobd, path: Path) -> None:
    """It records what is there; for what is not there it wants --force."""
    jobd("up")
    execute(path, "UPDATE schema_migrations SET rollback_at = 5 WHERE version = 3")
    assert "`jobd migrate mark-applied 3`" in jobd("down")[2]
    assert jobd("mark-applied", "3")[1].startswith("recorded as applied: 003 allow_nine_statuses")
    assert jobd("verify")[0] == 0
    jobd("down")
    assert jobd("mark-applied", str(LATEST))[0] == 78
    assert jobd("mark-applied", str(LATEST), "--force")[0] == 0


@pytest.mark.parametrize("words", [["up"], ["down"], ["mark-applied", "1"], ["repair"]])
def test_writing_verbs_wait_for_no_daemon(words: list[str], jobd: Jobd, path: Path) -> None:
    """While a daemon is active they exit 75 and name its pid; looking is always possible."""
    jobd("up")
    lock = DaemonLock(path)
    assert lock.acquire(blocking=False)
    try:
        status, _, err = jobd(*words)
        assert (status, err) == (75, f"jobd: jobd pid {os.getpid()} is active on {path}; "
                                     "stop it first\n")
        assert jobd("status")[0] == 0
        assert jobd("verify")[0] == 0
    finally:
        lock.release()
    assert jobd("up")[0] == 0


def test_an_older_database_is_brought_up_and_signed(jobd: Jobd, path: Path) -> None:
    """The person who moved the schema stands in operator_actions."""
    jobd("up", "--to", "4")
    jobd("up")
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT verb, migration, actor <> '' FROM operator_actions").fetchall()
    assert rows == [("migrate up", LATEST, 1)]


def test_as_a_program(path: Path) -> None:
    """`python -m jobd migrate --help` tells a newcomer what a schema is and what each verb does."""
    done = subprocess.run(
        [sys.executable, "-m", "jobd", "migrate", "--help"], capture_output=True, text=True,
        check=True,
    )
    assert "The schema is the layout of jobd's database" in done.stdout
    for verb in ("status", "up", "down", "mark-applied", "verify", "repair"):
        assert f"\n    {verb}" in done.stdout
