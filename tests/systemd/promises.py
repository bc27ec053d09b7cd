"""What the service promises, each tried in a booted systemd, in this order.

`boot.sh` runs this file there, as root; `test_service.py` reads off what it found. Each promise is
a function; what one leaves behind the next one may use.
"""

import json
import os
import pwd
import re
import signal
import sqlite3
import stat
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

sys.path.insert(0, "/run/trial/source")

from tests.systemd.service import (
    DB,
    JOBD,
    SOURCE,
    STATE,
    Journal,
    as_user,
    block,
    configure,
    drop_in,
    ended,
    enqueue,
    job,
    jobd,
    main_pid,
    open_gate,
    run,
    shown,
    systemctl,
    type_in,
    until,
)  # fmt: skip

PROGRAM = """\
sudo python3 -m venv /opt/jobd/venv
sudo /opt/jobd/venv/bin/pip install --quiet .
"""
IMPATIENT = """
[Unit]
StartLimitIntervalSec=0
[Service]
WatchdogSec=3
TimeoutStopSec=3
RestartSec=100ms
"""
PRIVATE = re.compile("NOTIFY_|WATCHDOG_|LISTEN_")


PROMISES: list[Callable[[Journal], None]] = []


def promise(function: Callable[[Journal], None]) -> Callable[[Journal], None]:
    """Try this one too, after those above it."""
    PROMISES.append(function)
    return function


@promise
def installs_as_the_readme_says(journal: Journal) -> None:
    """The README's block, typed in, ends with an enabled service that is ready."""
    run("useradd", "--create-home", "alice")
    run("useradd", "--create-home", "bob")
    commands = block("install")
    # There is no network here: what these two lines make was copied instead.
    assert commands.startswith(PROGRAM)
    run("mkdir", "/opt/jobd")
    run("cp", "-r", "/run/trial/venv", "/opt/jobd/venv")
    assert "Created symlink" in type_in(commands.removeprefix(PROGRAM), "alice")
    assert (shown("ActiveState"), shown("UnitFileState")) == ("active", "enabled")
    journal.event("daemon.ready", 0)
    assert pwd.getpwuid(Path(f"/proc/{main_pid()}").stat().st_uid).pw_name == "jobd"


@promise
def systemd_finds_nothing_wrong_with_the_unit(journal: Journal) -> None:
    """`systemd-analyze verify` prints nothing."""
    assert run("systemd-analyze", "verify", "/etc/systemd/system/jobd.service") == ""


@promise
def takes_handlers_and_a_restart(journal: Journal) -> None:
    """Named in the configuration and readable for its user, they run."""
    run("install", "-D", str(SOURCE / "tests/systemd/kept.py"), "/opt/jobd/handlers/kept.py")
    configure()
    drop_in(IMPATIENT)
    systemctl("restart", "jobd")
    assert ended(enqueue("adds", {"a": 1, "b": 2}))["result"] == 3


@promise
def shows_live_counts(journal: Journal) -> None:
    """`systemctl status` says what there is, what runs and what waits, as it changes."""
    until("StatusText", "4 workers, 0 running, 0 ready, 0 dead letters")
    ids = [enqueue("waits", {"gate": "counts"}) for _ in range(6)]
    until("StatusText", "4 workers, 4 running, 2 ready, 0 dead letters")
    assert "Status: \"4 workers, 4 running" in systemctl("status", "jobd")
    open_gate("counts")
    for job_id in ids:
        ended(job_id)
    enqueue("fails")
    until("StatusText", "4 workers, 0 running, 0 ready, 1 dead letter")


@promise
def its_files_are_open_to_the_group_alone(journal: Journal) -> None:
    """Each file beside the database is 0660 and the group's; others do not come in."""
    names = {f"jobd.db{suffix}" for suffix in ("", "-wal", "-shm", ".daemon", ".line", ".turn",
                                               ".sock")}
    assert names <= {path.name for path in STATE.iterdir()}
    for name in names:
        assert (STATE / name).group() == "jobd"
        assert stat.S_IMODE((STATE / name).stat().st_mode) == 0o660, name
    assert stat.S_IMODE(STATE.stat().st_mode) == 0o2770
    assert "permission denied" in jobd("status", user="bob", expect=78)
    assert "permission denied" in jobd("enqueue", "adds", user="bob", expect=78)


@promise
def members_use_it_from_the_shell(journal: Journal) -> None:
    """A member of the group enqueues, looks, and reads what a command wrote."""
    job_id = int(jobd("exec", "--cwd", "/tmp", "-q", "--", "/bin/echo", "from alice"))
    ended(job_id)
    assert jobd("logs", str(job_id)) == "from alice\n"
    assert jobd("exec", "--cwd", "/tmp", "--wait", "--", "/usr/bin/id", "-un").endswith("jobd\n")
    for verb in ("status", "list", "workers", "check", "migrate status"):
        jobd(*verb.split())
    assert "completed" in jobd("explain", str(job_id))


@promise
def members_use_it_from_python(journal: Journal) -> None:
    """A member's `jobd.Queue` enqueues and waits for the result."""
    code = (f"import jobd\nwith jobd.Queue('{DB}') as queue:\n"
            "    print(queue.wait(queue.enqueue('adds', {'a': 20, 'b': 22}), timeout=30))")
    assert "'result': 42" in as_user("alice", "/opt/jobd/venv/bin/python", "-c", code)


@promise
def a_member_may_enqueue_while_it_is_stopped(journal: Journal) -> None:
    """What SQLite makes then is a member's file, and the service can use it all the same."""
    systemctl("stop", "jobd")
    with closing(sqlite3.connect(DB)) as db:  # whoever closes it last removes them
        db.execute("SELECT count(*) FROM job_queue").fetchall()
    assert list(STATE.glob("jobd.db-*")) == []
    holder = (f"import os, jobd\nqueue = jobd.Queue('{DB}')\n"
              "print(queue.enqueue('adds', {'a': 1, 'b': 1}), flush=True)\nos._exit(0)")
    job_id = int(as_user("alice", "/opt/jobd/venv/bin/python", "-c", holder))
    owners = {path.owner() for path in STATE.glob("jobd.db-*")}
    assert owners == {"alice"}
    for words in (("explain", str(job_id)), ("doctor",), ("health",)):
        told = as_user("alice", "sh", "-c", '"$@" || :', "sh", JOBD, *words)
        assert "sudo systemctl start jobd\n" in told, told
        assert "jobd run" not in told, told
    for name in ("alice", "root"):
        assert "belongs to user jobd" in jobd("run", user=name, expect=78)
    systemctl("start", "jobd")
    assert ended(job_id)["result"] == 2


@promise
def writes_json_lines_to_the_journal(journal: Journal) -> None:
    """Every line of its standard output comes back from journalctl as the object it was."""
    after = journal.mark()
    job_id = enqueue("adds", {"a": 2, "b": 2})
    assert journal.event("job.completed", after, job_id=job_id)["status"] == "completed"
    run("journalctl", "--sync")
    raw = run("journalctl", "-u", "jobd", "-o", "cat", "--no-pager", f"_PID={main_pid()}")
    lines = [json.loads(line) for line in raw.splitlines()]
    assert {"daemon.started", "daemon.ready", "worker.heartbeat"} <= {
        line["event"] for line in lines
    }
    assert {line["v"] for line in lines} == {1}


@promise
def reloads_without_a_restart(journal: Journal) -> None:
    """`systemctl reload` takes a new configuration over and keeps the old one when it is wrong."""
    pid, after = main_pid(), journal.mark()
    configure(queues__media__concurrency=1)
    systemctl("reload", "jobd")
    assert journal.event("configuration.reloaded", after)["changed"]
    configure(pool__workers=-1)
    systemctl("reload", "jobd")
    assert "pool.workers" in str(journal.event("configuration.refused", after)["problems"])
    until("ActiveState", "active")
    assert main_pid() == pid
    configure()
    ended(enqueue("adds", {"a": 1, "b": 1}))


@promise
def keeps_its_variables_to_itself(journal: Journal) -> None:
    """No handler, no program of a handler and no command finds those that systemd gave jobd."""
    given = Path(f"/proc/{main_pid()}/environ").read_text().split("\0")
    assert [name for name in given if PRIVATE.match(name)]
    for isolation in ("thread", "process"):
        handler, program = ended(enqueue("environment", isolation=isolation))["result"]
        assert "PATH" in handler
        assert [name for name in handler + program if PRIVATE.match(name)] == []
    wrote = jobd("exec", "--cwd", "/tmp", "--wait", "--", "/usr/bin/env")
    assert "PATH=" in wrote
    assert [line for line in wrote.splitlines() if PRIVATE.match(line)] == []


@promise
def lives_through_a_handler_that_holds_the_lock_of_python(journal: Journal) -> None:
    """No thread moves for more than half of the watchdog's interval, and nothing is killed."""
    pid = main_pid()
    ended(enqueue("holds_the_lock_of_python", {"seconds": 1.8}))
    assert main_pid() == pid


@promise
def lives_through_a_long_lock(journal: Journal) -> None:
    """Another process holds the write lock for longer than the watchdog's interval: it is named
    in the status, and nothing is killed."""
    pid, after = main_pid(), journal.mark()
    job_id = enqueue("waits", {"gate": "lock"})
    journal.event("worker.heartbeat", after, job_id=job_id)
    with closing(sqlite3.connect(DB, isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("BEGIN IMMEDIATE")
        open_gate("lock")
        until("StatusText", r".* waits for the write lock, for [5-9] s now")
        db.execute("ROLLBACK")
    journal.event("job.completed", after, job_id=job_id)
    until("StatusText", "4 workers, 0 running.* dead letters?")
    assert main_pid() == pid


@promise
def a_hung_dispatcher_is_killed_and_its_jobs_are_rescued(journal: Journal) -> None:
    """The main thread lives and gives no more signs of life; the stacks are in the journal."""
    after, pid = journal.mark(), main_pid()
    job_id = enqueue("hangs_the_dispatcher")
    journal.message("Watchdog timeout", after)
    journal.message("in _gather|in hung", after)
    rescued_by_a_new_one(journal, after, pid, job_id)


@promise
def a_hung_sweep_is_killed_and_its_jobs_are_rescued(journal: Journal) -> None:
    """A daemon that gives no verdicts any more is no better than a dead one."""
    after, pid = journal.mark(), main_pid()
    job_id = enqueue("hangs_a_sweep")
    journal.message("Watchdog timeout", after)
    rescued_by_a_new_one(journal, after, pid, job_id)


def rescued_by_a_new_one(journal: Journal, after: float, pid: int, job_id: int) -> None:
    journal.event("daemon.ready", after)
    journal.event("job.retry_scheduled", after, job_id=job_id, rescued=True)
    found = ended(job_id)
    assert (found["status"], found["retry_count"]) == ("completed", 0)
    assert main_pid() != pid


@promise
def a_killed_daemon_is_restarted(journal: Journal) -> None:
    """SIGKILL in mid-work: a handler and a command run again, none of them twice at once."""
    after, pid = journal.mark(), main_pid()
    job_id = enqueue("waits", {"gate": "killed"})
    script = "echo run >>/var/lib/jobd/runs; while [ ! -e /var/lib/jobd/killed ]; do :; done"
    command = int(jobd("exec", "--cwd", "/tmp", "-q", "--", "/bin/sh", "-c", script))
    journal.event("worker.heartbeat", after, job_id=job_id)
    journal.event("worker.heartbeat", after, job_id=command)
    before = int(shown("NRestarts"))
    os.kill(pid, signal.SIGKILL)
    journal.event("daemon.ready", after)
    assert int(shown("NRestarts")) == before + 1
    open_gate("killed")
    assert [ended(each)["rescue_count"] for each in (job_id, command)] == [1, 1]
    assert (STATE / "runs").read_text() == "run\n" * 2


@promise
def a_daemon_that_asks_for_it_is_restarted(journal: Journal) -> None:
    """Too many stuck threads end it with 75, which is no failure to be left alone."""
    after = journal.mark()
    stuck = enqueue("deaf", {"gate": "stuck"}, timeout=0.2, max_retries=0)
    journal.event("pool.exhausted", after)
    journal.message("status=75", after)
    journal.event("daemon.ready", after)
    until("ActiveState", "active")
    assert ended(stuck)["status"] == "dead_letter"


@promise
def a_stop_in_mid_work_loses_nothing(journal: Journal) -> None:
    """What ends within the grace ends; the rest is pending again, uncharged."""
    after = journal.mark()
    deaf, waiting = enqueue("deaf", {"gate": "stop"}), enqueue("waits", {"gate": "never"})
    command = int(jobd("exec", "--cwd", "/tmp", "-q", "--", "/bin/sleep", "3600"))
    for job_id in (deaf, waiting, command):
        journal.event("worker.heartbeat", after, job_id=job_id)
    systemctl("stop", "--no-block", "jobd")
    journal.event("daemon.stopping", after)
    open_gate("stop")
    until("ActiveState", "inactive")
    assert shown("Result") == "success"
    journal.event("daemon.stopped", after, exit_status=0)
    found = [job(job_id) for job_id in (deaf, waiting, command)]
    assert [each["status"] for each in found] == ["completed", "pending", "pending"]
    assert [each["retry_count"] for each in found] == [0, 0, 0]
    jobd("cancel", str(waiting), str(command))


@promise
def a_wrong_configuration_is_said_once(journal: Journal) -> None:
    """It ends with 78, the journal names the setting, and it is not started again."""
    after = journal.mark()
    configure(pool__workers=-1)
    systemctl("start", "jobd", expect=1)
    assert shown("ExecMainStatus") == "78"
    assert shown("ActiveState") == "failed"
    assert shown("NRestarts") == "0"
    journal.message("pool.workers", after)
    configure()


@promise
def a_long_grace_is_granted(journal: Journal) -> None:
    """While jobs have their grace jobd asks for it, beyond TimeoutStopSec if need be."""
    configure(timing__shutdown_grace="30s")
    systemctl("start", "jobd")
    after = journal.mark()
    job_id = enqueue("deaf", {"gate": "grace"})
    journal.event("worker.heartbeat", after, job_id=job_id)
    systemctl("stop", "--no-block", "jobd")
    until("StatusText", "stopping: waits for 1 job, 2[0-5] s at most")
    open_gate("grace")
    until("ActiveState", "inactive")
    assert (shown("Result"), job(job_id)["status"]) == ("success", "completed")
    configure()


@promise
def one_that_does_not_stop_is_killed(journal: Journal) -> None:
    """SIGKILL after TimeoutStopSec; the next start rescues what it ran."""
    systemctl("start", "jobd")
    after = journal.mark()
    job_id = enqueue("waits", {"gate": "frozen"})
    journal.event("worker.heartbeat", after, job_id=job_id)
    journal.event("job.completed", after, job_id=enqueue("hangs_the_stop"))
    systemctl("stop", "jobd")
    assert shown("Result") == "timeout"
    assert journal.message("Failed with result 'timeout'|Killing process", after)
    open_gate("frozen")
    systemctl("start", "jobd")
    assert ended(job_id)["rescue_count"] == 1


LOOKING = """
ls /home /root 2>&1 | grep -c 'ermission denied'
for place in /etc /opt /usr /var /sys /dev /home /tmp /var/tmp /var/lib/jobd; do
    touch $place/mine 2>/dev/null && echo $place
done
ls -d /proc/1 2>/dev/null
ulimit -c
"""


@promise
def its_hardening_is_in_force(journal: Journal) -> None:
    """A command has no powers, sees no home and no other's processes, leaves no core, and writes
    where it may."""
    systemctl("start", "jobd")
    status = command("/bin/cat", "/proc/self/status")
    found = {name: re.findall(rf"^{name}:\s+(\S+)", status, re.MULTILINE) for name in (
        "NoNewPrivs", "CapBnd", "CapEff", "Seccomp", "Umask")}
    assert found == {"NoNewPrivs": ["1"], "CapBnd": ["0" * 16], "CapEff": ["0" * 16],
                     "Seccomp": ["2"], "Umask": ["0007"]}
    saw = command("/bin/sh", "-c", LOOKING).split()
    assert saw == ["2", "/tmp", "/var/tmp", "/var/lib/jobd", "0"]
    assert not Path("/tmp/mine").exists()
    assert ended(enqueue("makes_code"))["status"] == "completed"


def command(*argv: str, expect: int = 0) -> str:
    """Run a command as a job; what it wrote."""
    return jobd("exec", "--cwd", "/", "--max-retries", "0", "--wait", "--", *argv, expect=expect)


@promise
def handlers_alone_get_less(journal: Journal) -> None:
    """With handlers-only.conf handlers still run, in threads and in processes of their own; new
    machine code and programs that they wrote themselves do not."""
    assert ended(enqueue("runs_its_own_program"))["result"] == "ran\n"
    drop_in((SOURCE / "systemd/handlers-only.conf").read_text(), "handlers-only")
    systemctl("restart", "jobd")
    for isolation in ("thread", "process"):
        assert ended(enqueue("adds", {"a": 1, "b": 1}, isolation=isolation))["result"] == 2
    for refused in ("makes_code", "runs_its_own_program"):
        assert ended(enqueue(refused))["failure_type"] == "permission"
    drop_in("", "handlers-only")


@promise
def goes_on_without_the_journal(journal: Journal) -> None:
    """While journald is away jobs run, and the daemon is the same; what it says is lost."""
    systemctl("restart", "jobd")
    pid = main_pid()
    systemctl("stop", "systemd-journald.socket", "systemd-journald-dev-log.socket",
              "systemd-journald.service")
    assert ended(enqueue("adds", {"a": 3, "b": 4}))["result"] == 7
    assert command("/bin/echo", "heard") == "heard\n"
    assert main_pid() == pid
    systemctl("start", "systemd-journald.service")


@promise
def goes_without_a_trace(journal: Journal) -> None:
    """The README's other block takes the service, its user and its files away."""
    pid = main_pid()
    type_in(block("uninstall"), "alice")
    assert not Path(f"/proc/{pid}").exists()
    assert shown("LoadState") == "not-found"
    run("getent", "passwd", "jobd", expect=2)
    run("getent", "group", "jobd", expect=2)
    places = ("/etc", "/opt", "/usr/local", "/var/lib")
    assert run("find", *places, "-name", "*jobd*", "-not", "-path", "/opt/python/*") == ""


def main() -> None:
    """Try them all; a line of JSON for each, with what went wrong."""
    journal = Journal()
    for each in PROMISES:
        after, began, wrong = journal.mark(), time.monotonic(), None
        try:
            each(journal)
        except Exception:
            wrong = f"{traceback.format_exc()}\n{journal.tail(after)}"
        took = round(time.monotonic() - began, 2)
        print(json.dumps({"promise": each.__name__, "wrong": wrong, "took": took}), flush=True)
        if wrong and each is PROMISES[0]:
            break  # nothing is installed


if __name__ == "__main__":
    main()
