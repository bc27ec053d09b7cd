"""`jobd health`: exit 0, 1 or 69, with what is wrong; from the database or from the log alone."""

import json
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from jobd import clock
from jobd.store.daemon_lock import DaemonLock
from jobd.store.in_force import InForce, keep
from tests.cli.conftest import Store
from tests.cli.pty_terminal import argv

Jobd = Callable[..., tuple[int, str, str]]


@contextmanager
def alive(store: Store, path: Path) -> Iterator[None]:
    """A daemon that has just registered, and holds the lock."""
    store.register("thumb")
    lock = DaemonLock(path)
    assert lock.acquire(blocking=False)
    with store.opened() as database, database.transaction() as db:
        db.execute("UPDATE daemons SET seen_at = ?, pid = ?", (clock.now_ms(), lock.holder()))
    try:
        yield
    finally:
        lock.release()


def test_a_daemon_with_nothing_to_complain_of(jobd: Jobd, store: Store, path: Path) -> None:
    """Exit 0 and one line."""
    with alive(store, path):
        status, out, err = jobd("health")
    assert (status, err) == (0, "")
    assert out.startswith("healthy: daemon pid ")
    assert len(out.splitlines()) == 1


def test_what_waits_for_a_person_is_degraded(jobd: Jobd, store: Store, path: Path) -> None:
    """Exit 1, the sentence, and the command on a line of its own."""
    store.dead(2)
    with alive(store, path):
        status, out, _ = jobd("health")
    assert status == 1
    assert out.startswith("degraded: ")
    assert "2 jobs in dead_letter wait for a person." in out
    assert "\n    jobd list --status dead_letter\n" in out


def test_without_a_daemon_it_is_down(jobd: Jobd, store: Store) -> None:
    """Exit 69, whatever else there is."""
    store.dead()
    status, out, _ = jobd("health")
    assert status == 69
    assert out.startswith(
        "down: no daemon\n\nNo daemon is active; none has ever run.\n\n    jobd run\n"
    )


def test_without_a_database_it_is_down(jobd: Jobd, path: Path) -> None:
    """Nobody works on what is not there; and none is made."""
    status, out, err = jobd("health")
    assert (status, err) == (69, "")
    assert f"No database at {path}, so no daemon works on it." in out
    assert not path.exists()


def test_a_broken_database_is_named(jobd: Jobd, path: Path) -> None:
    """That is another exit status than unwell: 78, with what is wrong with the file."""
    path.write_text("this is no database, however long it is\n" * 100)
    status, out, err = jobd("health")
    assert (status, out) == (78, "")
    assert "is not a SQLite database" in err


def test_json_has_the_verdict_and_the_problems(jobd: Jobd, store: Store, path: Path) -> None:
    """The worst first, each with state, cause, text and next_command."""
    store.dead()
    found = json.loads(jobd("health", "--json")[1])
    assert (found["status"], found["database"]) == ("down", str(path))
    assert [each["cause"] for each in found["problems"]] == ["no_daemon", "dead_letters"]
    assert list(found["problems"][0]) == ["state", "cause", "text", "next_command"]


def test_text_of_a_job_drives_no_terminal(jobd: Jobd, store: Store, path: Path) -> None:
    """A job type or queue from another hand comes as escapes."""
    with store.opened() as database, database.transaction() as db:
        db.execute("INSERT INTO job_queue (job_type, queue, ready, created_at) VALUES (?, ?, 1, 0)",
                   ("a\x1b[31m", "b\x9b\u202e"))
    for words in ([], ["--json"]):
        out = jobd("health", *words)[1]
        assert not set(out) & set("\x1b\x9b\u202e"), words
        assert "1b[31m" in out


def beat(age_s: float, **keys: Any) -> str:
    stamp = clock.iso(clock.now_ms() - round(1000 * age_s))
    told = {"workers": 2, "busy": 1, "ready": 0, "dead_letters": 0, "interval_s": 5, "pid": 77}
    worker = {"timestamp": stamp, "level": "info", "event": "worker.heartbeat", "v": 1,
              "worker": "JobWorker-1", "health": "normal"}
    pool = {"timestamp": stamp, "level": "info", "event": "pool.health", "v": 1, **told, **keys}
    return json.dumps(worker) + "\n" + json.dumps(pool) + "\n"


def said(event: str, age_s: float, **keys: Any) -> str:
    stamp = clock.iso(clock.now_ms() - round(1000 * age_s))
    return json.dumps({"timestamp": stamp, "level": "info", "event": event, "v": 1, **keys}) + "\n"


@pytest.mark.parametrize(("text", "status", "part"), [
    (lambda: beat(7) + beat(2), 0, "healthy: daemon pid 77"),
    (lambda: beat(20) + beat(16), 69, "The last heartbeat came"),
    (lambda: beat(2) + said("daemon.stopped", 1, exit_status=0), 69, "The daemon stopped"),
    (lambda: beat(2, dead_letters=4), 1, "4 jobs in dead_letter"),
    (lambda: beat(2, oldest_ready_ms=3_601_000), 1, "oldest head"),
    (lambda: "", 69, "no heartbeat"),
    (lambda: "text\n{}\n\xff\n", 69, "no heartbeat"),
], ids=["fresh", "missed", "stopped", "dead letters", "old head", "empty", "no log"])
@pytest.mark.parametrize("how", ["file", "pipe"])
def test_from_the_log_alone(
    jobd: Jobd, tmp_path: Path, text: Callable[[], str], status: int, part: str, how: str
) -> None:
    """No database is opened, or made; a file and standard input say the same."""
    log = tmp_path / "jobd.log"
    log.write_text(text())
    if how == "file":
        found = jobd("health", "--from-log", str(log))[:2]
    else:
        with log.open("rb") as stdin:
            done = subprocess.run(argv("health", "--from-log", "-"), stdin=stdin,
                                  capture_output=True, text=True, timeout=60)
        found = (done.returncode, done.stdout)
    assert found[0] == status
    assert part in found[1]
    assert not (tmp_path / "jobd.db").exists()


def test_the_heartbeats_are_found_behind_any_number_of_jobs(jobd: Jobd, tmp_path: Path) -> None:
    """Between two heartbeats a busy daemon says more than one reads at once."""
    log = tmp_path / "jobd.log"
    jobs = said("job.completed", 3, job_id=1, worker="JobWorker-1", duration_ms=1.0) * 20_000
    log.write_text(beat(9) + jobs + beat(4, dead_letters=4) + jobs)
    status, out, _ = jobd("health", "--from-log", str(log))
    assert status == 1
    assert "4 jobs in dead_letter" in out


def test_just_after_a_rotation_the_file_before_is_asked(jobd: Jobd, tmp_path: Path) -> None:
    """The new file has no heartbeat yet, and nobody is down."""
    log = tmp_path / "jobd.log"
    log.with_name("jobd.log.1").write_text(beat(3))
    log.write_text(said("job.completed", 1, job_id=1))
    assert jobd("health", "--from-log", str(log))[0] == 0


def test_the_log_of_the_configuration_is_the_default(
    jobd: Jobd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--from-log without a file; without the setting it says what to name."""
    status, _, err = jobd("health", "--from-log")
    assert (status, "log.file is not set" in err) == (2, True)
    log = tmp_path / "jobd.log"
    log.write_text(beat(1))
    monkeypatch.setenv("JOBD_LOG_FILE", str(log))
    assert jobd("health", "--from-log")[0] == 0


def test_a_service_that_stopped_is_started_by_its_manager(
    jobd: Jobd, path: Path, tmp_path: Path
) -> None:
    """By the log alone too: the last daemon noted which service it was."""
    keep(path, InForce(7, None, "", {}, [], {}, "jobd.service"))
    (tmp_path / "log").write_text(said("daemon.stopped", 1, exit_status=0))
    status, out, _ = jobd("health", "--from-log", str(tmp_path / "log"))
    assert (status, out.split()[-4:]) == (69, ["sudo", "systemctl", "start", "jobd"])


def test_a_missing_log_is_named(jobd: Jobd, tmp_path: Path) -> None:
    """Exit 1 is not a verdict then: it comes with a complaint."""
    status, out, err = jobd("health", "--from-log", str(tmp_path / "none"))
    assert (status, out, err) == (1, "", f"jobd: no file {tmp_path}/none\n")


def test_a_database_that_somebody_keeps_for_himself_is_down(
    jobd: Jobd, store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a look is possible: the holder is named, by health and by doctor."""
    store.register()
    monkeypatch.setattr("jobd.store.opening.PATIENCE", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        for verb, status in (("health", 69), ("doctor", 1), ("explain", 75)):
            found = jobd(*([verb, "1"] if verb == "explain" else [verb]))
            assert found[0] == status
            assert f"locked by another process, pid {os.getpid()} (" in found[1] + found[2]


def test_a_failed_start_is_told_where_a_daemon_is_missed(
    jobd: Jobd, store: Store, path: Path
) -> None:
    """What the last start said is not only in its terminal or journal."""
    (path.parent / "broken.py").write_text("def")
    words = argv("--db", str(path), "run", "--handlers", "broken", "--path", str(path.parent))
    assert subprocess.run(words, capture_output=True, timeout=60).returncode == 78
    jobd("enqueue", "thumb")
    for verb in ("health", "explain 1", "doctor"):
        said = " ".join(jobd(*verb.split())[1].split())
        assert "ended with exit status 78, because the handlers module broken does not" in said


def test_a_job_that_is_next_and_not_taken_is_told(jobd: Jobd, store: Store, path: Path) -> None:
    """Explained at a second look only: it may have become ready a moment ago."""
    jobd("enqueue", "thumb")
    with alive(store, path):
        with store.opened() as database, database.transaction() as db:
            db.execute("UPDATE daemons SET started_at = 1")
            db.execute("UPDATE job_queue SET created_at = ?", (clock.now_ms() - 60_000,))
        status, out, _ = jobd("explain", "1")
    said = " ".join(out.split())
    assert status == 0
    assert "ready for 1 min" in said
    assert "but the daemon does not take it" in said
