"""Stop, install, `jobd migrate up`, start; and back, by `migrate down --to N` or by the backup.

The old version is this jobd. The new one is a copy of it with another version number and one more
migration, and both run from their directories, by $PYTHONPATH: no wheel is built.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import jobd
from jobd import errors
from jobd.store.migrations import MIGRATIONS
from tests.daemon.harness import House, RunningDaemon
from tests.daemon.test_install import in_front
from tests.house.test_house import PACKAGE

OLD, NEW = len(MIGRATIONS), len(MIGRATIONS) + 1

MIGRATION = f'''
"""{NEW:03}: a column that the next version has."""

from jobd.store.migrations.migration import Migration


class NextVersion(Migration):
    version = {NEW}
    name = "next_version"

    def up(self, db):
        db.execute("ALTER TABLE job_queue ADD COLUMN label TEXT")

    def down(self, db):
        db.execute("ALTER TABLE job_queue DROP COLUMN label")
'''

HANDLERS = """
@job("waits_for_its_retry")
def waits_for_its_retry():
    if first_time("tried"):
        raise jobd.Retry("not yet", after=3600, failure_type="network")
    return "in the end"
"""

COMMAND = 'echo >>"$0"; [ "$(wc -l <"$0")" = 2 ] || exec sleep 600'
"""Runs for long the first time, and ends at once the second; $0 is a file of one line a run."""


class Next:
    """The next version of jobd, installed in a directory of its own."""

    def __init__(self, house: House) -> None:
        self._house = house
        root = house.root / "next"
        shutil.copytree(PACKAGE, root / "jobd", ignore=shutil.ignore_patterns("__pycache__"))
        migrations = root / "jobd" / "store" / "migrations"
        (migrations / f"m{NEW:03}_next_version.py").write_text(MIGRATION.lstrip())
        with (migrations / "__init__.py").open("a") as file:
            file.write(f"\nfrom jobd.store.migrations.m{NEW:03}_next_version import NextVersion\n"
                       "MIGRATIONS = (*MIGRATIONS, NextVersion())\n")
        version = root / "jobd" / "core" / "version.py"
        version.write_text('"""The next version."""\n\nVERSION = "99.0.0"\n'
                           f"SCHEMA_VERSION = {NEW}\n")
        self.env = in_front(root, house.env)

    def cli(self, *args: str, expect: int = 0) -> str:
        """Run a verb of it; what it printed, complaints included."""
        done = subprocess.run(
            self._house.argv(*args), env=self.env, cwd=self._house.root, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60,
        )
        assert done.returncode == expect, done.stdout
        return done.stdout

    def start(self) -> RunningDaemon:
        argv = self._house.argv("run", "--handlers", "handlers", "--path", str(self._house.code))
        return self._house.run(argv, self.env).wait_ready()


class Upgrade:
    """A house with jobs in the middle of their lives: a command runs, a retry waits."""

    def __init__(self, house: House) -> None:
        self.house = house
        house.handlers(HANDLERS)
        daemon = house.start()
        runs = str(house.root / "runs")
        self.command = int(house.cli("exec", "-q", "--", "sh", "-c", COMMAND, runs))
        self.retry = house.enqueue("waits_for_its_retry")
        daemon.wait_for("job.retry_scheduled", job_id=self.retry)
        beat = None
        while not Path(runs).exists():
            beat = daemon.next_beat(beat)
        self.daemon = daemon
        self.next = Next(house)

    def stop_and_migrate(self) -> Path:
        """The first three steps; the backup that was made."""
        assert self.daemon.stop() == 0
        said = self.next.cli("migrate", "up")
        return Path(said.splitlines()[0].removeprefix("backup: "))

    def finish(self, daemon: RunningDaemon) -> None:
        """All that was there comes to its good end under this daemon."""
        self.house.queue.close()
        cli = self.next.cli if self.version() == NEW else self.house.cli
        cli("retry", str(self.retry))
        daemon.wait_for_all("job.completed", [self.command, self.retry])
        assert daemon.stop() == 0

    def version(self) -> int:
        return int(self.house.rows("PRAGMA user_version")[0][0])


@pytest.fixture
def upgrade(house: House) -> Upgrade:
    return Upgrade(house)


CALLS: list[tuple[str, Callable[[jobd.Queue, int], object]]] = [
    ("enqueue", lambda queue, _: queue.enqueue("quick")),
    ("enqueue_many", lambda queue, _: queue.enqueue_many([("quick", {})])),
    ("cancel", lambda queue, job_id: queue.cancel(job_id)),
    ("release", lambda queue, job_id: queue.release(job_id)),
    ("retry", lambda queue, job_id: queue.retry(job_id)),
]


def test_an_upgrade_costs_no_job_anything(upgrade: Upgrade) -> None:
    """What ran is given back uncharged, what waited waits, and the next version ends both."""
    house = upgrade.house
    upgrade.stop_and_migrate()
    before = house.job(upgrade.command)
    assert (before["status"], before["retry_count"], before["rescue_count"]) == ("pending", 0, 0)
    assert house.status(upgrade.retry) == "retrying"
    daemon = upgrade.next.start()
    assert daemon.events("daemon.started")[0]["version"] == "99.0.0"
    upgrade.finish(daemon)
    assert house.job(upgrade.command)["retry_count"] == 0
    assert len((house.root / "runs").read_text()) == 2


def test_a_queue_that_was_open_meanwhile_says_so_at_every_call(upgrade: Upgrade) -> None:
    """An application of before the upgrade gets SchemaChanged, and has written nothing."""
    queue, retry = upgrade.house.queue, upgrade.retry
    assert queue.get(retry)["status"] == "retrying"
    upgrade.stop_and_migrate()
    for name, call in CALLS:
        with pytest.raises(errors.SchemaChanged) as refusal:
            call(queue, retry)
        assert f"from version {OLD} to {NEW}" in str(refusal.value), name
    assert queue.get(retry)["status"] == "retrying"
    with pytest.raises(TimeoutError):
        queue.wait(retry, timeout=0)
    assert upgrade.house.rows("SELECT count(*) FROM job_queue")[0][0] == 2


def test_no_step_of_an_upgrade_may_be_left_out(upgrade: Upgrade) -> None:
    """Neither version works on the other's schema; each refusal says what to type."""
    house = upgrade.house
    assert "stop it first" in upgrade.next.cli("migrate", "up", expect=75)
    assert f"older than {NEW}" in upgrade.next.cli("enqueue", "quick", expect=78)
    assert upgrade.daemon.stop() == 0
    assert "`jobd migrate up`" in upgrade.next.cli("run", "--no-wait", expect=78)
    upgrade.next.cli("migrate", "up")
    late = house.launch()
    assert late.exit_status() == 78
    assert f"is version {NEW}, newer than {OLD}" in late.stderr
    house.cli("enqueue", "quick", expect=78)
    assert "Traceback" not in late.stderr + house.said


def test_the_way_back_by_down_keeps_what_was_done_since(upgrade: Upgrade) -> None:
    """`migrate down --to N` of the new version, then the old one: jobs enqueued since run too."""
    house = upgrade.house
    upgrade.stop_and_migrate()
    since = int(upgrade.next.cli("enqueue", "-q", "quick"))
    upgrade.next.cli("migrate", "down", "--to", str(OLD))
    house.cli("migrate", "verify")
    house.queue.enqueue("quick")  # the Queue of before both works again
    daemon = house.start()
    daemon.wait_for("job.completed", job_id=since)
    upgrade.finish(daemon)


def test_the_way_back_by_the_backup_is_the_moment_before(upgrade: Upgrade) -> None:
    """The backup in the place of the three files: the old version goes on where it stopped."""
    house = upgrade.house
    backup = upgrade.stop_and_migrate()
    upgrade.next.cli("enqueue", "-q", "quick")
    for suffix in ("-wal", "-shm"):
        Path(f"{house.db}{suffix}").unlink(missing_ok=True)
    os.replace(backup, house.db)
    assert upgrade.version() == OLD
    assert [row["id"] for row in house.rows("SELECT id FROM job_queue ORDER BY id")] == [
        upgrade.command, upgrade.retry]
    upgrade.finish(house.start())


def test_the_two_versions_are_two(house: House) -> None:
    """What these tests call the next version runs its own files and its own schema."""
    new = Next(house)
    assert new.cli("--version") == "jobd 99.0.0\n"
    assert f"version {NEW}" in new.cli("migrate", "up")
    assert sys.executable in house.argv()
