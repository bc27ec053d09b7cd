"""Handlers that hang, hold the interpreter, die, fork, leak, or change the process they share."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.harness import House, RunningDaemon, overlaps

HANDLERS = r'''
import ctypes, locale, resource
libc = ctypes.CDLL(None)
holding = ctypes.PyDLL(None)

@job("swallows", timeout=0.3, max_retries=0)
def swallows():
    say("begun")
    while not (ROOT / "enough").exists():
        try:
            while not (ROOT / "enough").exists():
                time.sleep(0.01)
        except BaseException:
            pass

@job("in_c", timeout=0.3, max_retries=0)
def in_c(how: str):
    say("begun")
    if how == "sleep":
        deep_in_c()
    else:
        sum(range(10**11))

def deep_in_c():
    while not (ROOT / "enough").exists():
        libc.usleep(50_000)

@job("holds")
def holds(seconds: int):
    note("holds")
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        holding.usleep(int(min(left, 0.9) * 1e6))
    return "let go"

@job("holds_in_one_go")
def holds_in_one_go(seconds: int):
    note("holds")
    holding.sleep(seconds)

@job("listens")
def listens(gate: str):
    me = jobd.current_job()
    say("begun")
    while not (ROOT / gate).exists():
        me.sleep(0.02)

@job("kills")
def kills(how: str):
    say("begun")
    if not first_time("killed " + str(jobd.current_job().id)):
        return "lived"
    if how == "exit":
        os._exit(0)
    if how == "segfault":
        ctypes.string_at(0)
    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory is out

@job("eats", max_retries=0)
def eats():
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + (300 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        eaten = []
        while True:
            eaten.append(bytearray(64 << 20))
    finally:
        eaten = None
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

@job("forks")
def forks(how: str):
    me = jobd.current_job()
    pid = os.fork()
    if pid:
        note("parent", str(pid))
        return "the parent"
    if how == "raises":
        raise ValueError("in the child")
    if how == "exits":
        sys.exit(3)
    if how == "lingers":
        while not (ROOT / "enough").exists():
            time.sleep(0.02)
    if how == "reports":
        me.log.info("from the child")
        me.progress(1, 2)
        me.enqueue("quick")
    return "the child"

@job("changes")
def changes(what: str):
    if what == "cwd":
        os.chdir("/")
    if what == "umask":
        os.umask(0o777)
    if what == "locale":
        locale.setlocale(locale.LC_ALL, "C")
    if what == "environment":
        os.environ["SECRET"] = "hunter2"
        os.environ.pop("HOME")
    if what == "streams":
        os.closerange(0, 3)
    if what == "environ":
        os.environ = {}

@job("sees")
def sees():
    here = [os.getcwd(), sorted(k for k in os.environ if k in ("SECRET", "HOME")),
            [os.path.exists(f"/proc/self/fd/{n}") for n in range(3)],
            locale.setlocale(locale.LC_ALL), os.getpid()]
    old = os.umask(0o022)
    os.umask(old)
    return [*here, old]

@job("visits")
def visits():
    os.chdir("/")
    say("there")
    while not (ROOT / "enough").exists():
        time.sleep(0.01)
    os.chdir(ROOT)

@job("runs")
def runs():
    return jobd.current_job().run(["true"]).returncode

@job("leaks")
def leaks(what: str, number: int):
    global kept
    kept = globals().get("kept", [])
    for _ in range(number):
        if what == "threads":
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        else:
            kept.append(open("/dev/null"))
    return os.getpid()
'''


@pytest.fixture
def house(house: House) -> Iterator[House]:
    """With these handlers; whoever waits for `enough` is let go at the end."""
    house.handlers(HANDLERS)
    yield house
    (house.root / "enough").touch()


def result(house: House, daemon: RunningDaemon, job_type: str, **payload: Any) -> Any:
    job_id = house.enqueue(job_type, payload)
    daemon.wait_for("job.completed", job_id=job_id)
    return json.loads(house.job(job_id)["result"] or "null")


def through_sh(house: House, first: str, *args: str, **settings: Any) -> RunningDaemon:
    """A daemon that a shell starts after it has done something `first`; ready."""
    house.write_config(**settings)
    argv = house.argv("run", "--handlers", "handlers", "--path", str(house.code), *args)
    return house.run(["sh", "-c", f'{first}; exec "$@"', "sh", *argv], house.env).wait_ready()


# Stuck.


@pytest.mark.parametrize(("job_type", "payload", "where"), [
    ("swallows", {}, "in swallows"), ("in_c", {"how": "sleep"}, "in deep_in_c"),
])
def test_a_thread_that_will_not_stop_is_judged_and_replaced(
    house: House, job_type: str, payload: dict[str, str], where: str
) -> None:
    """Timeout, then zombie, another worker in its place, and `show` tells where it is stuck."""
    daemon = house.start("--workers", "1")
    job_id = house.enqueue(job_type, payload)
    daemon.wait_for("job.timed_out", job_id=job_id)
    lost = daemon.wait_for("job.zombified", job_id=job_id)
    done = daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    assert done["worker"] != lost["worker"]
    assert where in house.cli("show", str(job_id))
    assert daemon.wait_for("pool.health", stuck=1)


@pytest.mark.parametrize(("job_type", "payload"), [
    ("swallows", {}), ("in_c", {"how": "sleep"}), ("in_c", {"how": "one long call"}),
])
def test_a_process_that_will_not_stop_is_killed(
    house: House, job_type: str, payload: dict[str, str]
) -> None:
    """In C, where no handler of signals is reached, too: no zombie, and the slot is free."""
    daemon = house.start("--workers", "1", pool__isolation="process")
    job_id = house.enqueue(job_type, payload)
    daemon.wait_for("job.dead_lettered", job_id=job_id, failure_type="timeout")
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    assert daemon.events("job.zombified") == []


HELD = int(os.environ.get("JOBD_TEST_GIL", "4"))
"""Seconds for which a handler holds the interpreter: far above every window of these tests."""


def test_who_holds_the_interpreter_makes_others_late_and_nothing_else(house: House) -> None:
    """A C call that holds the GIL: no false timeout or zombie of those beside it, nothing lost."""
    daemon = house.start("--workers", "3")
    beside = [house.enqueue("listens", {"gate": "go"}, timeout=1.5),
              house.enqueue("listens", {"gate": "go"})]
    daemon.wait_for_all("job.logged", beside)
    holding = house.enqueue("holds_in_one_go", {"seconds": HELD})
    waiting = [house.enqueue("quick") for _ in range(20)]
    (house.root / "go").touch()
    daemon.wait_for_all("job.completed", [holding, *waiting, *beside], deadline=30 + HELD)
    for event in ("job.timed_out", "job.zombified", "job.late_result", "job.stray_found",
                  "clock.stepped"):
        assert daemon.events(event) == []
    held = house.job(holding)
    assert held["completed_at"] - held["started_at"] >= 1000 * HELD
    assert daemon.stop() == 0


def test_a_process_that_holds_its_interpreter_makes_nobody_late(house: House) -> None:
    """Others complete while it holds its own."""
    daemon = house.start("--workers", "2")
    holding = house.enqueue("holds", {"seconds": 2}, isolation="process")
    while not house.notes():
        daemon.wait_for("pool.health", after=daemon.log[-1])
    daemon.wait_for_all("job.completed", [house.enqueue("quick") for _ in range(20)])
    assert daemon.events("job.completed", job_id=holding) == []
    daemon.wait_for("job.completed", job_id=holding)


# Dying.


@pytest.mark.parametrize("how", ["exit", "segfault", "out of memory"])
def test_a_thread_that_kills_the_daemon_is_rescued_and_charged(house: House, how: str) -> None:
    """The next start rescues it and its neighbour as `worker_lost`; both complete, each alone."""
    daemon = house.start("--workers", "2")
    beside = house.enqueue("listens", {"gate": "go"})
    daemon.wait_for("job.logged", job_id=beside)
    killer = house.enqueue("kills", {"how": how})
    daemon.exit_status()
    (house.root / "go").touch()
    again = house.start("--workers", "2")
    for job_id in (killer, beside):
        lost = again.wait_for("job.retry_scheduled", job_id=job_id)
        assert (lost["failure_type"], lost["rescued"]) == ("worker_lost", True)
        again.wait_for("job.completed", job_id=job_id, attempt=2)
        job = house.job(job_id)
        assert (job["retry_count"], job["rescue_count"]) == (0, 1)
    assert house.queue.get(killer)["result"] == "lived"
    assert overlaps([span for span in house.spans() if span.ended], {}) == []


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_memory_that_runs_out_is_that_job_s_failure(house: House, isolation: str) -> None:
    """A MemoryError under a limit of the address space: `resource`, and the daemon works on."""
    daemon = house.start("--workers", "1", pool__isolation=isolation)
    job_id = house.enqueue("eats")
    daemon.wait_for("job.dead_lettered", job_id=job_id, failure_type="resource")
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))


# Forking.


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_a_fork_runs_nothing_of_jobd_s(house: House, isolation: str) -> None:
    """However the child leaves the handler, or does not: one outcome, the parent's; the database
    is sound, later jobs run, and a lingering child holds no lock of its daemon."""
    daemon = house.start("--workers", "1", pool__isolation=isolation)
    ways = ("returns", "raises", "exits", "reports", "lingers")
    ids = [house.enqueue("forks", {"how": how}) for how in ways]
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    for job_id in ids:
        (done,) = daemon.events("job.completed", job_id=job_id)
        assert done.get("enqueued") is None
        assert house.queue.get(job_id)["result"] == "the parent"
    assert house.rows("SELECT count(*) FROM job_queue")[0][0] == len(ways) + 1
    lingering = Path(f"/proc/{[note[-1] for note in house.notes() if note[0] == 'parent'][-1]}")
    assert lingering.exists()
    daemon.kill()
    again = house.start("--workers", "1", "--no-wait")
    again.wait_for("job.completed", job_id=house.enqueue("quick"))
    assert lingering.exists() or isolation == "process"
    (house.root / "enough").touch()
    assert [tuple(row) for row in house.rows("PRAGMA integrity_check")] == [("ok",)]


# Changing the process.

CHANGES = {
    "cwd": "cwd: {root} -> /",
    "umask": "umask: 0022 -> 0777",
    "locale": "locale: ",
    "environment": "environment: HOME, SECRET",
    "streams": "standard input: ",  # closed, unless a sweep has just opened a file there
    "environ": "environment: ",
}


def test_show_names_the_job_after_which_the_process_was_changed(house: House) -> None:
    """What changed stands in the log, in `show` and in `history` of that job, and no value of a
    variable anywhere; jobd itself goes on, commands and `run` with it."""
    house.env["LC_ALL"] = "C.UTF-8"
    daemon = through_sh(house, "umask 022", "--workers", "1")
    before = house.enqueue("quick")
    daemon.wait_for("job.completed", job_id=before)
    root = os.path.realpath(house.root)
    for what, phrase in CHANGES.items():
        expected = phrase.format(root=root)
        daemon.wait_for("pool.health", after=daemon.log[-1])  # nothing of the last one is left
        job_id = house.enqueue("changes", {"what": what})
        told = daemon.wait_for("handler.changed_process", job_id=job_id)
        assert told["changed"][0].startswith(expected)
        daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
        assert f"changed the process     {expected}" in house.cli("show", str(job_id))
        shown = house.cli_json("show", str(job_id))["process_changes"]
        assert [each["change"].startswith(expected) for each in shown] == [True]
        assert "handler.changed_process" in house.cli("history", str(job_id))
        assert "hunter2" not in json.dumps(daemon.log) + house.cli("show", str(job_id))
        assert house.cli("explain", str(job_id))
        command = int(house.cli("exec", "-q", "--", "/bin/true"))
        assert house.queue.wait(command, timeout=20)["status"] == "completed"
        assert result(house, daemon, "runs") == 0
        modes = {path.name: stat.S_IMODE(path.stat().st_mode)
                 for path in (house.root / f"jobd.db.attempts/{command}/1").iterdir()}
        assert set(modes.values()) == {0o600}, modes
    assert house.cli_json("show", str(before))["process_changes"] == []
    assert daemon.stop() == 0


def test_a_log_file_that_was_moved_has_the_mode_of_the_old_one(house: House) -> None:
    """Whatever umask a handler has set: those who read the log read the new file too."""
    log = house.root / "the.log"
    daemon = house.launch("--workers", "1", log__file=str(log))
    job_id = house.enqueue("changes", {"what": "umask"})
    assert house.queue.wait(job_id, timeout=20)["status"] == "completed"
    mode = stat.S_IMODE(log.stat().st_mode)
    log.rename(house.root / "the.log.1")
    assert house.queue.wait(house.enqueue("quick"), timeout=20)["status"] == "completed"
    assert daemon.stop() == 0
    assert mode != 0
    assert stat.S_IMODE(log.stat().st_mode) == mode


def test_a_stream_that_a_handler_closed_is_open_again(house: House) -> None:
    """The next file that anyone opens does not become standard output."""
    daemon = house.start("--workers", "1")
    house.enqueue("changes", {"what": "streams"})
    daemon.wait_for("handler.changed_process")
    assert result(house, daemon, "sees")[2] == [True, True, True]


def test_others_that_ran_meanwhile_are_named(house: House) -> None:
    """A change seen while another handler runs may be that one's: both are told of."""
    daemon = house.start("--workers", "2")
    visitor = house.enqueue("visits")
    daemon.wait_for("job.logged", job_id=visitor)
    innocent = house.enqueue("quick")
    told = daemon.wait_for("handler.changed_process", job_id=innocent)
    assert told["others"] == [visitor]
    daemon.wait_for("job.completed", job_id=innocent)
    daemon.wait_for("job.completed", job_id=innocent)
    assert f"or job {visitor} did" in house.cli("show", str(innocent))
    (house.root / "enough").touch()
    daemon.wait_for("handler.changed_process", job_id=visitor)


def test_a_process_finds_everything_as_it_was(house: House) -> None:
    """What one job changed in its child is undone before the next; the daemon saw nothing."""
    daemon = house.start("--workers", "1", pool__isolation="process")
    before = result(house, daemon, "sees")
    for what in CHANGES:
        house.enqueue("changes", {"what": what})
        assert result(house, daemon, "sees") == before, what
    assert daemon.events("handler.changed_process") == []


# Leaking.

LEAKS = [("threads", 60, {"pool__max_threads": 40}), ("files", 150, {"pool__max_open_files": 0.5})]


@pytest.mark.parametrize(("what", "number", "limit"), LEAKS, ids=["threads", "files"])
def test_what_handlers_leak_is_counted_and_drains_the_daemon_at_a_limit(
    house: House, what: str, number: int, limit: dict[str, Any]
) -> None:
    """pool.health shows it grow; above the limit it drains and exits with 75, nothing is lost."""
    key = "threads" if what == "threads" else "open_files"
    daemon = through_sh(house, "ulimit -n 200", "--workers", "2", **limit)
    before = daemon.wait_for("pool.health")[key]
    running = house.enqueue("listens", {"gate": "go"})
    daemon.wait_for("job.logged", job_id=running)
    daemon.wait_for("job.completed", job_id=house.enqueue("leaks", {"what": what, "number": 10}))
    beat = daemon.wait_for("pool.health", after=daemon.log[-1])
    assert beat[key] >= before + 10
    house.enqueue("leaks", {"what": what, "number": number})
    exhausted = daemon.wait_for("pool.exhausted")
    assert exhausted[key] > exhausted[f"max_{key}"] >= before
    assert "stuck" not in exhausted
    assert daemon.exit_status() == 75
    assert daemon.wait_for("job.released", job_id=running)
    (house.root / "go").touch()
    again = house.start("--workers", "2")
    again.wait_for("job.completed", job_id=running)
    assert house.job(running)["retry_count"] == 0


@pytest.mark.parametrize(("what", "number", "limit"), LEAKS, ids=["threads", "files"])
def test_a_child_that_leaks_is_replaced(
    house: House, what: str, number: int, limit: dict[str, Any]
) -> None:
    """Its job completes, the next one gets a new child, and the log says why."""
    daemon = through_sh(house, "ulimit -n 200", "--workers", "1", pool__isolation="process",
                        **limit)
    first = result(house, daemon, "leaks", what=what, number=5)
    assert result(house, daemon, "leaks", what=what, number=number) == first
    replaced = daemon.wait_for("worker.child_replaced")
    assert ("threads" if what == "threads" else "open files") in replaced["reason"]
    assert result(house, daemon, "leaks", what=what, number=1) != first
    assert len(daemon.events("worker.child_replaced")) == 1


def test_a_daemon_without_a_free_descriptor_drains(house: House) -> None:
    """Every descriptor is taken at one blow: it exits with 75 and loses nothing."""
    daemon = through_sh(house, "ulimit -n 100", "--workers", "1", pool__max_open_files=1)
    leaking = house.enqueue("leaks", {"what": "files", "number": 1_000}, max_retries=0)
    after = house.enqueue("quick")
    daemon.wait_for("pool.exhausted")
    assert daemon.exit_status() == 75
    assert daemon.events("handler.changed_process") == []
    house.start("--workers", "1").wait_for("pool.health")
    assert house.queue.wait(after, timeout=20)["status"] == "completed"
    assert house.job(leaking)["failure_type"] == "resource"
