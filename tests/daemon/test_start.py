"""What a start refuses, how it says so, and SIGHUP."""

import signal
import sqlite3
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from jobd.daemon.handlers import load_handlers
from jobd.errors import HandlersError
from tests.daemon.harness import House

FLAKY = """
@job("flaky")
def flaky():
    raise ConnectionError("nobody there")
"""


def refused(house: House, *words: str) -> str:
    """Start a daemon that must exit 78 at once; what it said on stderr."""
    daemon = house.launch()
    assert daemon.exit_status() == 78, daemon.account()
    for word in words:
        assert word in daemon.stderr
    assert daemon.events("daemon.ready") == []
    return daemon.stderr


def test_a_handlers_module_that_does_not_import_ends_the_start(house: House) -> None:
    """Its error and its traceback are on stderr, exit 78; the jobs are untouched."""
    job_id = house.enqueue("quick")
    house.handlers("def broken():\n    import no_such_module_anywhere\nbroken()\n")
    said = refused(house, "handlers", "ModuleNotFoundError", "no_such_module_anywhere",
                   "in broken", "handlers.py")
    assert all(line.startswith("jobd: ") for line in said.splitlines())
    assert house.status(job_id) == "pending"


def test_a_handlers_module_that_exits_or_is_no_python_ends_the_start(house: House) -> None:
    """SystemExit at import and a syntax error are named as every other error."""
    house.handlers("sys.exit(0)")
    refused(house, "handlers", "SystemExit")
    house.handlers("def broken(:")
    refused(house, "handlers", "SyntaxError")


def test_a_module_without_handlers_and_one_that_is_not_there(house: House) -> None:
    """Both are said in one sentence, exit 78."""
    (house.code / "empty.py").write_text("")
    daemon = house.launch(module="empty")
    assert daemon.exit_status() == 78
    assert "no @jobd.job function in empty" in daemon.stderr
    daemon = house.launch(module="absent")
    assert daemon.exit_status() == 78
    assert "absent" in daemon.stderr


def test_a_directory_that_only_others_see_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a home directory is, in which the service may not look: explain tells this line."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    hidden = str(tmp_path / "hidden")
    with pytest.raises(HandlersError) as refusal:
        load_handlers(["absent"], [str(tmp_path), hidden])
    first = str(refusal.value).partition("\n")[0]
    assert f"ModuleNotFoundError, and this process cannot look into {hidden} (as the user" in first
    assert "a service sees no home directory" in first


def test_a_drifted_schema_is_refused_by_name(house: House) -> None:
    """An index that somebody dropped is named, with the command that mends it."""
    house.enqueue("quick")
    house.queue.close()
    index = house.rows("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL "
                       "AND tbl_name = 'job_queue' ORDER BY name")[0]["name"]
    with sqlite3.connect(house.db) as db:
        db.execute(f"DROP INDEX {index}")
    db.close()
    refused(house, index, "jobd migrate")
    house.cli("migrate", "repair")
    daemon = house.start()
    daemon.wait_for("job.completed", job_id=1)


def test_a_trigger_that_was_dropped_is_drift_too(house: House) -> None:
    """The guard on the moves is part of the schema."""
    house.enqueue("quick")
    house.queue.close()
    trigger = house.rows("SELECT name FROM sqlite_schema WHERE type = 'trigger'")[0]["name"]
    with sqlite3.connect(house.db) as db:
        db.execute(f"DROP TRIGGER {trigger}")
    db.close()
    refused(house, trigger)


def test_an_older_schema_is_refused_and_migrate_up_mends_it(house: House) -> None:
    """Exit 78 and the words `jobd migrate up`; after it, the job from before runs."""
    job_id = house.enqueue("quick")
    house.queue.close()
    house.cli("migrate", "down")
    refused(house, "jobd migrate up")
    house.cli("migrate", "up")
    house.start().wait_for("job.completed", job_id=job_id)


def test_a_newer_schema_is_refused(house: House) -> None:
    """A database of a later jobd is left alone."""
    house.enqueue("quick")
    house.queue.close()
    with sqlite3.connect(house.db) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    refused(house, "99")


def test_a_bad_configuration_is_refused_with_all_its_problems(house: House) -> None:
    """Two wrong settings are two sentences; exit 78; no database is made."""
    daemon = house.launch(pool__workers=0, timing__kil_grace="1s")
    assert daemon.exit_status() == 78
    assert "pool.workers" in daemon.stderr
    assert "kill_grace" in daemon.stderr
    assert not house.db.exists()


def test_migrate_refuses_while_a_daemon_is_active(house: House) -> None:
    """`migrate down` names the daemon's pid and exits 75; the daemon works on."""
    daemon = house.start()
    house.cli("migrate", "down", expect=75)
    assert str(daemon.pid) in house.said
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))


def test_sighup_applies_to_later_decisions(house: House) -> None:
    """A changed retry policy decides the next failure; what needs a restart is named."""
    house.handlers(FLAKY)
    daemon = house.start("--workers", "2", retry__network__initial_delay="1h",
                         retry__network__max_delay="1h")
    before = house.enqueue("flaky")
    first = daemon.wait_for("job.retry_scheduled", job_id=before)
    house.write_config(retry__network__max_retries=0, retry__network__exhausted="failed",
                       queues__media__concurrency=1, timing__sweep_interval="200ms",
                       synchronous="normal")
    daemon.signal(signal.SIGHUP)
    reloaded = daemon.wait_for("configuration.reloaded")
    assert sorted(reloaded["changed"]) == ["queues.media.concurrency", "retry.network.exhausted",
                                           "retry.network.max_retries"]
    assert sorted(reloaded["needs_restart"]) == ["synchronous", "timing.sweep_interval"]
    after = house.enqueue("flaky")
    daemon.wait_for("job.failed", job_id=after)
    job = house.job(before)
    assert job["status"] == "retrying"
    assert job["retry_delay_ms"] == 3_600_000
    assert first["next_retry_at"] > reloaded["timestamp"]


def test_sighup_changes_a_queues_limit_and_the_log_level(house: House) -> None:
    """A limit set by a reload holds for the jobs after it; log.level too, and not log.format."""
    house.handlers("""
@job("narrow", queue="narrow")
def narrow():
    time.sleep(0.05)
""")
    daemon = house.start("--workers", "4")
    house.write_config(queues__narrow__concurrency=1, log__level="debug", log__format="pretty")
    daemon.signal(signal.SIGHUP)
    reloaded = daemon.wait_for("configuration.reloaded")
    assert reloaded["needs_restart"] == ["log.format"]
    ids = [house.enqueue("narrow") for _ in range(4)]
    daemon.wait_for_all("job.completed", ids)
    spans = house.spans()
    assert all(one.ended <= other.began for one, other in pairwise(spans))
    assert house.rows("SELECT concurrency FROM queues WHERE name = 'narrow'")[0][0] == 1
    assert daemon.events("job.claimed", job_id=ids[-1])


def test_a_bad_file_at_sighup_keeps_the_old_configuration(house: House) -> None:
    """configuration.refused with the problems, and the daemon works as before."""
    house.handlers(FLAKY)
    daemon = house.start(retry__network__max_retries=0)
    house.config_file.write_text("[pool]\nworkers = 'many'\n[retry.network]\nmax_retries = -1\n")
    daemon.signal(signal.SIGHUP)
    told = daemon.wait_for("configuration.refused")
    assert any("pool.workers" in problem for problem in told["problems"])
    assert any("max_retries" in problem for problem in told["problems"])
    house.config_file.write_text("this is no TOML")
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("configuration.refused", after=told)
    house.config_file.unlink()
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("daemon.ready")
    daemon.wait_for("job.dead_lettered", job_id=house.enqueue("flaky"))
    assert len(daemon.events("configuration.refused")) == 3
    assert daemon.events("configuration.reloaded") == []
