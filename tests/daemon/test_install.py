"""An installation replaces jobd's files beneath a daemon that runs: nothing of it breaks."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.daemon.harness import House, RunningDaemon
from tests.house.test_house import PACKAGE

REPLACED = ("structlog", "apscheduler")
"""What is installed together with jobd."""

HANDLERS = r"""
import asyncio

@job("awaits")
async def awaits():
    await asyncio.sleep(0.01)
    return "awaited"

@job("raises")
def raises(how: str):
    me = jobd.current_job()
    if how == "retry" and me.attempt == 1:
        raise jobd.Retry("later", after=0.05, failure_type="network")
    if how == "snooze" and me.attempt == 1:
        raise jobd.Snooze(0.05)
    if how == "fail":
        raise jobd.Fail("never", failure_type="permission")
    if how == "breaks":
        1 / 0
    return "in the end"

@job("deaf")
def deaf(gate: str):
    say("at the gate")
    wait_at(gate)

@job("runs")
def runs():
    return jobd.current_job().run(["echo", "ran"]).stdout.decode()

@job("keeps")
def keeps():
    me = jobd.current_job()
    me.progress(1, 2, "half")
    me.checkpoint({"half": True})
    me.enqueue("quick", {"n": 7})
    return me.last_checkpoint

@job("asks")
def asks(db: str):
    with jobd.Queue(db) as queue:
        return queue.enqueue("quick", {"n": 8})

@job("dies", isolation="process")
def dies():
    os._exit(3)
"""

ONCE_MORE = {"timeout": 0.2, "max_retries": 0}


class Site:
    """A directory of installed packages, to be replaced."""

    def __init__(self, root: Path) -> None:
        self.root = root / "site"
        for name in ("jobd", *REPLACED):
            spec = find_spec(name)
            home = PACKAGE if name == "jobd" else Path(str(spec and spec.origin)).parent
            shutil.copytree(home, self.root / name)

    def replace(self) -> None:
        """Other files at the same names, as an installation leaves them; none is Python."""
        for path in list(self.root.rglob("*.py")):
            path.unlink()
            path.write_bytes(b"\xff\x00 = what another version holds\n")
        for cached in list(self.root.rglob("__pycache__")):
            shutil.rmtree(cached)


def in_front(place: Path, env: Mapping[str, str]) -> dict[str, str]:
    """This environment with packages from `place` before all others."""
    return {**env, "PYTHONPATH": f"{place}{os.pathsep}{env.get('PYTHONPATH', '')}"}


@pytest.fixture
def replaced(house: House) -> RunningDaemon:
    """A daemon that was ready when the files of its packages were replaced."""
    house.handlers(HANDLERS)
    site = Site(house.root)
    env = in_front(site.root, house.env)
    house.write_config(pool__workers=4, timing__zombie_hold="5s")
    argv = house.argv("run", "--handlers", "handlers", "--path", str(house.code))
    daemon = house.run(argv, env).wait_ready()
    site.replace()
    broken = subprocess.run([sys.executable, "-m", "jobd", "--version"], env=env, cwd=house.root,
                            capture_output=True, check=False)
    assert b"SyntaxError" in broken.stderr, "the test would prove nothing"
    return daemon


def result(house: House, job_id: int) -> object:
    row = house.job(job_id)
    return json.loads(row["result"]) if row["result"] else row["error_message"]


def test_every_kind_of_job_runs_on_when_the_files_are_replaced(
    house: House, replaced: RunningDaemon
) -> None:
    """Threads, coroutines, commands and processes that start later all end as they would have."""
    expected: dict[int, object] = {}
    for isolation in ("thread", "process"):
        for kind, payload, comes_to in (
            ("quick", {"n": 1}, 1),
            ("awaits", {}, "awaited"),
            ("raises", {"how": "retry"}, "in the end"),
            ("raises", {"how": "snooze"}, "in the end"),
            ("runs", {}, "ran\n"),
            ("keeps", {}, {"half": True}),
        ):
            expected[house.enqueue(kind, payload, isolation=isolation)] = comes_to
    asks = [house.enqueue("asks", {"db": str(house.db)}, isolation=isolation)
            for isolation in ("thread", "process")]
    command = int(house.cli("exec", "-q", "--", "echo", "done"))
    fails = [house.enqueue("raises", {"how": how}, isolation=isolation, max_retries=0)
             for how in ("fail", "breaks") for isolation in ("thread", "process")]
    fails += [house.enqueue("patient", isolation=isolation, **ONCE_MORE)
              for isolation in ("thread", "process")]
    fails.append(house.enqueue("dies", max_retries=0))
    after = house.enqueue("quick", {"n": 9}, isolation="process", delay=0.5)
    assert house.wait_until_all_ended(replaced)
    assert {job_id: result(house, job_id) for job_id in expected} == expected
    assert {house.status(job_id) for job_id in [*asks, command, after]} == {"completed"}
    assert {house.status(job_id) for job_id in fails} == {"dead_letter"}
    assert "Error" not in replaced.stderr


def test_a_daemon_is_steered_when_the_files_are_replaced(
    house: House, replaced: RunningDaemon
) -> None:
    """Cancel, release, pause, a reload, a wrong reload, a stuck thread and the stop still work."""
    gate = house.gate("gate")
    stuck = house.enqueue("deaf", {"gate": "gate"}, **ONCE_MORE)
    patient = [house.enqueue("patient", isolation=isolation)
               for isolation in ("thread", "process")]
    for job_id in (stuck, *patient):
        replaced.wait_for("job.logged", job_id=job_id)
    house.cli("cancel", *map(str, patient))
    for job_id in patient:
        replaced.wait_for("job.cancelled", job_id=job_id)
    replaced.wait_for("job.zombified", job_id=stuck)
    house.write_config(log__level="debug", pool__workers=3)
    replaced.signal(signal.SIGHUP)
    replaced.wait_for("configuration.reloaded")
    house.config_file.write_text("[pool]\nwrokers = 1\n")
    replaced.signal(signal.SIGHUP)
    replaced.wait_for("configuration.refused")
    gate.open()
    replaced.wait_for("job.dead_lettered", job_id=stuck)
    last = house.enqueue("patient", isolation="process")
    replaced.wait_for("job.logged", job_id=last)
    assert replaced.stop() == 0
    assert house.status(last) == "pending"
    assert "Traceback" not in replaced.stderr


def test_a_child_imports_jobd_from_memory(house: House) -> None:
    """Nothing of it is read from the files, which are named where they lay; none stays open."""
    house.handlers(
        "import jobd.core.durations\n"
        "@job('tells')\n"
        "def tells():\n"
        "    found = sys.modules['jobd.core.durations']\n"
        "    opened = [os.readlink(f'/proc/self/fd/{n}') for n in range(3, 10)\n"
        "              if os.path.exists(f'/proc/self/fd/{n}')]\n"
        "    return [type(found.__spec__.loader).__name__, found.__file__, list(jobd.__path__),\n"
        "            opened]\n"
    )
    daemon = house.start(pool__isolation="process")
    job_id = house.enqueue("tells")
    daemon.wait_for("job.completed", job_id=job_id)
    loader, file, path, opened = json.loads(house.job(job_id)["result"])
    assert (loader, file) == ("KeptCode", str(PACKAGE / "core" / "durations.py"))
    assert path == [str(PACKAGE)]
    opened += [os.readlink(each) for each in Path(f"/proc/{daemon.pid}/fd").iterdir()]
    assert [name for name in opened if "memfd" in name] == []
