"""Alerts: someone is told once of what needs a person, and nobody has to wait for that."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.harness import House, RunningDaemon

HANDLERS = """
@job("fails")
def fails():
    raise ValueError("no such customer")

@job("fails_when_stopped")
def fails_when_stopped():
    say("waits for the stop")
    jobd.current_job().stopping.wait(60)
    raise ValueError("not in the mood")

@job("overlong", timeout=0.2)
def overlong(gate: str):
    say("at the gate")
    wait_at(gate)
"""

KEEPS = """#!/bin/sh
cat >> "$(dirname "$0")/told"
"""


@pytest.fixture
def alerted(house: House) -> House:
    house.handlers(HANDLERS)
    program(house, KEEPS)
    return house


def program(house: House, script: str) -> Path:
    """The alerts' program; it is what the configuration names."""
    path = house.root / "tell"
    path.write_text(script)
    path.chmod(0o755)
    house.write_config(alerts__command=[str(path)])
    return path


def told(house: House, daemon: RunningDaemon, number: int) -> list[dict[str, Any]]:
    """What the program got, once it is so many messages; looked at with each heartbeat."""
    beat = None
    while True:
        file = house.root / "told"
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) >= number:
            return [json.loads(line) for line in lines]
        beat = daemon.next_beat(beat)
        assert beat is not None, daemon.account()


def test_a_dead_letter_is_told_with_what_the_log_says_of_it(alerted: House) -> None:
    """As JSON on standard input, and as an event at warning."""
    daemon = alerted.start()
    job_id = alerted.enqueue("fails")
    (message,) = told(alerted, daemon, 1)
    assert message["cause"] == "dead_letter"
    assert (message["job_id"], message["job_type"], message["queue"]) == (
        job_id, "fails", "default")
    assert (message["failure_type"], message["attempt"]) == ("validation", 1)
    assert "no such customer" in message["error"]
    assert message["next_command"] == f"jobd explain {job_id}"
    event = daemon.wait_for("alert.raised", cause="dead_letter", job_id=job_id)
    assert (event["level"], event["text"]) == ("warning", message["text"])


def test_a_job_that_does_not_stop_is_told_once_for_each_cause(alerted: House) -> None:
    """Zombie, unhealthy worker, and at last dead letter: each once, however many sweeps see it."""
    alerted.gate("shut")
    daemon = alerted.start()
    job_id = alerted.enqueue("overlong", {"gate": "shut"})
    messages = told(alerted, daemon, 3)
    assert {each["cause"] for each in messages} == {"zombie", "unhealthy_worker", "dead_letter"}
    assert {each["job_id"] for each in messages} == {job_id}
    parked = daemon.wait_for("job.dead_lettered", job_id=job_id)
    beat = daemon.wait_for("pool.health", after=parked)
    daemon.wait_for("pool.health", after=beat)
    assert len(daemon.events("alert.raised")) == 3


def test_an_old_head_is_told_once_also_after_a_restart(alerted: House) -> None:
    """The queue is full, its next job waits for longer than alerts.max_age."""
    gate = alerted.gate("shut")
    alerted.write_config(alerts__max_age="300ms", queues__slow__concurrency=1)
    alerted.write_config(timing__zombie_hold="1h", timing__shutdown_grace="0s")
    daemon = alerted.start()
    busy = alerted.enqueue("gated", {"gate": "shut"}, queue="slow")
    daemon.wait_for("job.logged", job_id=busy)
    waiting = alerted.enqueue("quick", queue="slow")
    alerted.enqueue("quick", queue="slow")
    raised = daemon.wait_for("alert.raised", cause="old_head")
    assert (raised["job_id"], raised["queue"]) == (waiting, "slow")
    told(alerted, daemon, 1)
    daemon.kill()
    again = alerted.start()
    beat = again.wait_for("pool.health", after=again.wait_for("job.logged", job_id=busy))
    again.wait_for("pool.health", after=again.wait_for("pool.health", after=beat))
    assert alerted.status(waiting) == "pending"
    assert again.events("alert.raised") == []
    gate.open()


def test_a_paused_queue_has_no_old_head(alerted: House) -> None:
    """Whoever paused it knows."""
    alerted.write_config(alerts__max_age="100ms")
    daemon = alerted.start()
    alerted.cli("queue", "pause", "slow")
    alerted.enqueue("quick", queue="slow")
    beat = daemon.wait_for("pool.health", ready=1)
    daemon.wait_for("pool.health", after=daemon.wait_for("pool.health", after=beat))
    assert daemon.events("alert.raised") == []


def test_without_a_program_there_is_the_event(alerted: House) -> None:
    """The log tells of it all the same."""
    daemon = alerted.start(alerts__command=[])
    job_id = alerted.enqueue("fails")
    daemon.wait_for("alert.raised", job_id=job_id, cause="dead_letter")
    assert daemon.stop() == 0
    assert daemon.events("alert.failed") == []


@pytest.mark.parametrize(("script", "part"), [
    ("#!/bin/sh\nexit 3\n", "exit status 3"),
    ("#!/bin/sh\nkill -9 $$\n", "signal 9"),
    ("#!/bin/sh\nexec sleep 600\n", "had not ended after"),
    ("#!/bin/sh\nsleep 600 & sleep 600\n", "had not ended after"),
    ("#!/no/such/interpreter\n", "cannot be started"),
    ("", "cannot be started"),
], ids=["fails", "dies", "hangs", "hangs with a child", "no interpreter", "empty"])
def test_a_program_that_fails_is_named_and_harms_nobody(
    alerted: House, script: str, part: str
) -> None:
    """It is killed with what it started after alerts.timeout, and reaped; jobs go on meanwhile."""
    path = program(alerted, script)
    daemon = alerted.start(alerts__timeout="300ms")
    job_id = alerted.enqueue("fails")
    daemon.wait_for("alert.raised", job_id=job_id)
    assert alerted.queue.wait(alerted.enqueue("quick"), timeout=20)["status"] == "completed"
    failed = daemon.wait_for("alert.failed", job_id=job_id, cause="dead_letter")
    assert part in failed["error"]
    assert children(daemon.pid) == []
    assert str(path).startswith("/")
    assert daemon.stop() == 0


def test_a_program_that_is_not_there_is_named(alerted: House) -> None:
    """By its name on commands.path, or by its path."""
    daemon = alerted.start(alerts__command=["no-such-program-anywhere"])
    alerted.enqueue("fails")
    assert "no-such-program-anywhere" in daemon.wait_for("alert.failed")["error"]


def test_a_flood_runs_two_at_a_time(alerted: House) -> None:
    """Forty dead letters at once: each is told, no more than two programs ever run together."""
    program(alerted, """#!/bin/sh
cd "$(dirname "$0")"
read -r message
mkdir -p at
: > "at/$$"
ls at | wc -l >> counts
rm "at/$$"
echo "$message" >> told
""")
    daemon = alerted.start()
    ids = alerted.queue.enqueue_many([("fails", {})] * 40)
    messages = told(alerted, daemon, 40)
    assert sorted(each["job_id"] for each in messages) == sorted(ids)
    assert max(map(int, (alerted.root / "counts").read_text().split())) <= 2


def test_the_program_gets_an_environment_of_its_own(alerted: House) -> None:
    """What commands.environment allows, and nothing that systemd means for the daemon."""
    program(alerted, '#!/bin/sh\nenv > "$(dirname "$0")/env"\ncat >> "$(dirname "$0")/told"\n')
    daemon = alerted.start(env={"SECRET": "x", "NOTIFY_SOCKET": "/nowhere", "LANG": "C"})
    alerted.enqueue("fails")
    told(alerted, daemon, 1)
    names = {line.split("=")[0] for line in (alerted.root / "env").read_text().splitlines()}
    assert {"PATH", "LANG"} <= names
    assert not names & {"SECRET", "NOTIFY_SOCKET", "JOBD_JOB_ID"}


def test_a_hanging_program_does_not_hold_up_the_stop(alerted: House) -> None:
    """It has a second; then it is killed, and the daemon exits as ever."""
    program(alerted, '#!/bin/sh\necho $$ > "$(dirname "$0")/pid"\nexec sleep 600\n')
    daemon = alerted.start()
    alerted.enqueue("fails")
    pid = int(awaited(lambda: (alerted.root / "pid"), daemon))
    assert daemon.stop() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIG_DFL)


def test_what_happens_while_the_daemon_stops_is_told_too(alerted: House) -> None:
    """A job that fails for good in the last moment: its alert is raised before the end."""
    daemon = alerted.start(timing__shutdown_grace="10s")
    job_id = alerted.enqueue("fails_when_stopped")
    daemon.wait_for("job.logged", job_id=job_id)
    assert daemon.stop() == 0
    assert [each["job_id"] for each in daemon.events("alert.raised")] == [job_id]
    (message,) = (alerted.root / "told").read_text().splitlines()
    assert json.loads(message)["job_id"] == job_id


def test_the_program_may_be_changed_without_a_restart(alerted: House) -> None:
    """SIGHUP brings another command."""
    daemon = alerted.start(alerts__command=[])
    program(alerted, KEEPS)
    daemon.signal(signal.SIGHUP)
    assert "alerts.command" in daemon.wait_for("configuration.reloaded")["changed"]
    job_id = alerted.enqueue("fails")
    assert told(alerted, daemon, 1)[0]["job_id"] == job_id


def test_history_tells_that_someone_was_told(alerted: House) -> None:
    """With the cause, beside what happened to the job."""
    daemon = alerted.start()
    job_id = alerted.enqueue("fails")
    told(alerted, daemon, 1)
    assert daemon.stop() == 0
    events = alerted.cli_json("history", str(job_id))
    assert ("alert.raised", "dead_letter") in {(each["event"], each["detail"]) for each in events}


def children(pid: int) -> list[str]:
    """The states of a process's children, zombies of the kernel included."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == pid:
            found.append(words[0])
    return found


def awaited(where: Callable[[], Path], daemon: RunningDaemon) -> str:
    """The text of a file, once something stands in it."""
    beat = None
    while not (where().exists() and where().read_text().endswith("\n")):
        beat = daemon.next_beat(beat)
        assert beat is not None, daemon.account()
    return where().read_text()
