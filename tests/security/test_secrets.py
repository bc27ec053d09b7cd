"""What a job is given stays in the database: no log, no argument list, no environment tells it."""

import json
from pathlib import Path

from tests.daemon.harness import House, RunningDaemon

SECRET = "s3cr3t-0f-th3-j0b"

HANDLERS = """
@job("takes")
def takes(token: str, how: str = "returns"):
    local = token + "!"
    if how == "waits":
        say("at the gate")
        wait_at("gate")
    if how == "raises":
        raise RuntimeError("the other side refused")
    return "taken"

@job("takes_nothing")
def takes_nothing():
    return 1
"""


def processes_of(daemon: RunningDaemon) -> dict[str, str]:
    """What `ps` shows of the daemon and its children: their arguments and environments."""
    found = {}
    for directory in Path("/proc").iterdir():
        try:
            parent = int((directory / "stat").read_text().rsplit(")")[-1].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if str(daemon.pid) in (str(parent), directory.name):
            shown = [(directory / name).read_bytes().decode(errors="replace")
                     for name in ("cmdline", "environ")]
            found[directory.name] = "\n".join(shown)
    return found


def test_no_payload_is_seen_in_the_list_of_processes(house: House) -> None:
    """Of a handler in a process of its own: another user of the machine reads `ps`."""
    house.handlers(HANDLERS)
    gate = house.gate("gate")
    daemon = house.start()
    job_id = house.enqueue("takes", {"token": SECRET, "how": "waits"}, isolation="process")
    daemon.wait_for("job.logged", job_id=job_id)
    found = processes_of(daemon)
    assert len(found) > 1
    assert [pid for pid, shown in found.items() if SECRET in shown] == []
    gate.open()
    daemon.wait_for("job.completed", job_id=job_id)


def test_no_payload_is_in_the_log(house: House) -> None:
    """Not when the job completes, fails, is retried or does not fit its handler."""
    house.handlers(HANDLERS)
    daemon = house.start(log__level="debug")
    for isolation in ("thread", "process"):
        house.enqueue("takes", {"token": SECRET}, isolation=isolation)
        house.enqueue("takes", {"token": SECRET, "how": "raises"}, isolation=isolation,
                      max_retries=1)
        house.enqueue("takes_nothing", {"token": SECRET}, isolation=isolation, max_retries=0)
    assert house.wait_until_all_ended(daemon)
    assert daemon.stop() == 0
    assert len(daemon.events("job.dead_lettered")) == 4
    assert SECRET not in json.dumps(daemon.log) + daemon.stderr


def test_a_traceback_shows_no_values(house: House) -> None:
    """Lines of source and what was raised, and no local of any frame."""
    house.handlers(HANDLERS)
    daemon = house.start()
    job_id = house.enqueue("takes", {"token": SECRET, "how": "raises"}, max_retries=0)
    daemon.wait_for("job.dead_lettered", job_id=job_id)
    traceback = house.job(job_id)["last_error_traceback"]
    assert "the other side refused" in traceback
    assert SECRET not in traceback


def test_explain_tells_no_payload(house: House) -> None:
    """It says why; `show` is who shows what the job was given."""
    job_id = house.enqueue("takes", {"token": SECRET})
    command = int(house.cli("exec", "-q", "--", "echo", SECRET))
    for each in (job_id, command):
        assert SECRET not in house.cli("explain", str(each))
        assert SECRET in house.cli("show", str(each))
    for verb in ("status", "workers", "health", "doctor", "metrics"):
        expect = {"health": 69, "doctor": 1}.get(verb, 0)  # no daemon runs
        assert SECRET not in house.cli(verb, expect=expect), verb


def test_a_command_s_arguments_are_a_list_and_meet_no_shell(house: House) -> None:
    """Quotes, substitutions and a leading dash arrive as they were given."""
    daemon = house.start()
    words = ["$(id)", "`id`", "; id", "-n", "--", "*", "a\nb", "'", '"', "|cat", ">x"]
    job_id = int(house.cli("exec", "-q", "--", "printf", "%s\\0", *words))
    daemon.wait_for("job.completed", job_id=job_id)
    out = Path(f"{house.db}.attempts") / str(job_id) / "1" / "stdout"
    assert out.read_text().split("\0")[:-1] == words
    assert not (house.root / "x").exists()
