"""`isolation = "process"`: the same handlers in a child process, which can be killed."""

import json
import os
import select
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.harness import DEADLINE, House, RunningDaemon
from tests.daemon.isolated_handlers import HANDLERS


@pytest.fixture
def daemon(house: House) -> RunningDaemon:
    """A running daemon whose handlers run in processes unless they say otherwise."""
    house.handlers(HANDLERS)
    return house.start(pool__isolation="process")


def children(pid: int) -> list[int]:
    """The child interpreters of a daemon that are alive."""
    found = []
    for directory in Path("/proc").iterdir():
        try:
            command = (directory / "cmdline").read_bytes()
            parent = int((directory / "stat").read_text().rsplit(")")[-1].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if b"jobd.daemon.isolated" in command and parent == pid:
            found.append(int(directory.name))
    return found


def is_running(pid: int) -> bool:
    """Whether there is such a process that is not merely waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def until(true: Any, deadline: float = DEADLINE) -> None:
    """Wait for something that no line of the log tells."""
    end = time.monotonic() + deadline
    while not true():
        assert time.monotonic() < end, "it did not come true"
        select.select([], [], [], 0.01)


def result(house: House, daemon: RunningDaemon, job_type: str, **payload: Any) -> Any:
    """Run one job and take its result."""
    job_id = house.enqueue(job_type, payload)
    daemon.wait_for("job.completed", job_id=job_id)
    return json.loads(house.job(job_id)["result"] or "null")


def test_a_handler_finds_its_job_in_a_process(house: House, daemon: RunningDaemon) -> None:
    """id, attempt, type, queue, and a logger whose lines are as those of any handler."""
    told = result(house, daemon, "tells")
    assert told["pid"] != daemon.pid == told["parent"]
    assert told["main"] == "MainThread"
    job_id = told["id"]
    assert told == {**told, "attempt": 1, "type": "tells", "queue": "default", "stopping": False,
                    "reason": None, "last": None}
    line, caught = daemon.events("job.logged", job_id=job_id)
    done = daemon.wait_for("job.completed", job_id=job_id)
    assert line == {**line, "level": "warning", "message": "half way", "rows": 3, "bound": 1,
                    "path": str(house.root), "worker": done["worker"], "worker_": "mine",
                    "job_type": "tells", "queue": "default", "attempt": 1, "v": 1}
    assert set(line) == {"timestamp", "level", "event", "v", "message", "rows", "bound", "path",
                         "worker", "worker_", "job_id", "job_type", "queue", "attempt"}
    assert (caught["message"], caught["level"]) == ("caught it", "error")
    assert "ZeroDivisionError" in caught["exception"]
    assert daemon.log.index(caught) < daemon.log.index(done)


def test_a_coroutine_runs_in_a_process(house: House, daemon: RunningDaemon) -> None:
    """It returns its result, and is cancelled at its deadline."""
    assert result(house, daemon, "awaits", seconds=0.01) >= 1
    job_id = house.enqueue("awaits", {"seconds": 60}, timeout=0.2, max_retries=0)
    daemon.wait_for("job.dead_lettered", job_id=job_id, failure_type="timeout")
    assert [span.how for span in house.spans(job_id)] == ["CancelledError"]


def test_progress_comes_out_of_the_process(house: House, daemon: RunningDaemon) -> None:
    """Only the latest is kept, and it is kept while the handler still runs."""
    gate = house.gate("shut")
    job_id = house.enqueue("progresses", {"gate": "shut"})
    query = "SELECT done, total, message FROM job_progress WHERE job_id = ?"
    until(lambda: [tuple(row) for row in house.rows(query, job_id)] == [(999.5, 1000, "nearly")])
    assert house.status(job_id) == "running"
    gate.open()
    daemon.wait_for("job.completed", job_id=job_id)


def test_a_checkpoint_survives_the_process(house: House, daemon: RunningDaemon) -> None:
    """What was saved before SIGKILL is found by the next attempt, in another process."""
    job_id = house.enqueue("keeps")
    daemon.wait_for("job.retry_scheduled", job_id=job_id, failure_type="resource")
    daemon.wait_for("job.completed", job_id=job_id)
    assert json.loads(house.job(job_id)["result"]) == {"done": 5}
    found = [line[-1] for line in house.notes() if line[0] == "found"]
    assert found == ["0", "3"]
    assert "checkpoint is not JSON" in result(house, daemon, "keeps_what_is_not_json")


def test_jobs_enqueued_in_a_process_come_with_its_success(
    house: House, daemon: RunningDaemon
) -> None:
    """Both or none: nothing of an attempt that failed or died."""
    job_id = house.enqueue("hands_on")
    done = daemon.wait_for("job.completed", job_id=job_id)
    assert len(done["enqueued"]) == 2
    daemon.wait_for_all("job.completed", done["enqueued"])
    second = house.job(done["enqueued"][1])
    assert (second["queue"], second["priority"], second["payload"]) == ("media", 5, '{"n":2}')
    assert second["isolation"] == "thread"
    for how in ("raises", "dies"):
        bad = house.enqueue("hands_on", {"how": how}, max_retries=0)
        daemon.wait_for("job.dead_lettered", job_id=bad)
    assert len(house.rows("SELECT id FROM job_queue WHERE job_type = 'quick'")) == 2


def test_a_program_runs_out_of_a_process(house: House, daemon: RunningDaemon) -> None:
    """`run` works as in a thread, and the program carries the attempt's mark."""
    status, out, err = result(house, daemon, "runs")
    assert (status, err) == (0, "given\n")
    owner = daemon.events("daemon.started")[0]["daemon"]
    assert out.startswith(f"{owner}:")
    assert out.endswith(":1\n")


@pytest.mark.parametrize("how", ["spins", "sleeps", "sleep", "check"])
def test_a_deadline_ends_whatever_runs(house: House, how: str) -> None:
    """Even a tight loop: timeout, then decided, no zombie, and the only slot is free at once."""
    house.handlers(HANDLERS)
    daemon = house.start("--workers", "1", pool__isolation="process", timing__kill_grace="10s")
    job_id = house.enqueue("heeds", {"how": how}, timeout=0.3, max_retries=0)
    daemon.wait_for("job.timed_out", job_id=job_id)
    ended = daemon.wait_for("job.dead_lettered", job_id=job_id, failure_type="timeout")
    assert ended["duration_ms"] < 5_000
    if how in ("spins", "sleeps"):
        assert (house.root / "reason").read_text() == "timeout"
    assert [span.how for span in house.spans(job_id)] == ["Stopped"]
    assert result(house, daemon, "returns") == 1
    assert daemon.events("job.zombified") == []
    assert len(children(daemon.pid)) == 1


@pytest.mark.parametrize("how", ["tidies", "forks", "checks"])
def test_a_handler_that_was_stopped_tidies_up_undisturbed(house: House, how: str) -> None:
    """Whether `sleep` or SIGTERM raised Stopped first, the other does not do so once more; and what
    was raised in a hook of a fork, where Python ignores it, is not lost."""
    house.handlers(HANDLERS)
    daemon = house.start("--workers", "8", pool__isolation="process", timing__kill_grace="10s")
    ids = [house.enqueue(how, {"number": n}, timeout=0.3, max_retries=0) for n in range(24)]
    daemon.wait_for_all("job.dead_lettered", ids)
    # One that the machine was too slow to begin within its timeout has nothing to tidy up.
    began, tidied = (
        {path.name.rpartition("-")[2] for path in house.root.glob(f"{what}-*")}
        for what in ("began", "tidied")
    )
    assert began
    assert tidied == began


def test_what_a_handler_ignores_goes_to_its_own_hook(house: House) -> None:
    """As its module has set it, beside the one that looks for a Stopped which was lost."""
    house.handlers(HANDLERS)
    daemon = house.start(pool__isolation="process")
    result(house, daemon, "drops")
    assert (house.root / "hooked").exists()


def test_signals_are_not_held_when_a_signal_handler_raises_amid_forks(house: House) -> None:
    """As one does that keeps a time limit by SIGALRM: Python ignores it in the hooks of a fork."""
    house.handlers(HANDLERS)
    daemon = house.start(pool__isolation="process")
    assert result(house, daemon, "is_rung") == []


def test_a_handler_that_looks_may_still_finish(house: House, daemon: RunningDaemon) -> None:
    """A success that is reported while it runs wins over the release that asked it to end."""
    job_id = house.enqueue("heeds", {"how": "looks"})
    daemon.wait_for("job.logged", job_id=job_id)
    daemon.signal(signal.SIGTERM)
    daemon.wait_for("job.completed", job_id=job_id)
    assert (house.root / "reason").read_text() == "stop"
    assert daemon.exit_status() == 0


def test_who_ignores_sigterm_is_killed(house: House) -> None:
    """SIGKILL after kill_grace: no zombie, and the slot is free again."""
    house.handlers(HANDLERS)
    daemon = house.start("--workers", "1", pool__isolation="process")
    job_id = house.enqueue("will_not", timeout=0.3, max_retries=1)
    verdict = daemon.wait_for("job.timed_out", job_id=job_id)
    daemon.wait_for("job.retry_scheduled", after=verdict, job_id=job_id, failure_type="timeout")
    daemon.wait_for("job.dead_lettered", job_id=job_id, failure_type="timeout")
    assert result(house, daemon, "returns") == 1
    assert daemon.events("job.zombified") == []
    assert len({span.pid for span in house.spans(job_id)}) == 2


@pytest.mark.parametrize("how", ["spins", "sleep"])
@pytest.mark.parametrize(("verb", "event", "status"), [
    ("cancel", "job.cancelled", "cancelled"), ("release", "job.released", "pending"),
])
def test_a_request_ends_it(
    house: House, how: str, verb: str, event: str, status: str
) -> None:
    """Cancelled, or back in line, with nothing charged."""
    house.handlers(HANDLERS)
    daemon = house.start("--workers", "1", pool__isolation="process")
    job_id = house.enqueue("heeds", {"how": how})
    daemon.wait_for("job.logged", job_id=job_id)
    house.cli("queue", "pause", "default")
    house.cli(verb, str(job_id))
    daemon.wait_for(event, job_id=job_id)
    job = house.job(job_id)
    assert (job["status"], job["retry_count"], job["execution_over"]) == (status, 0, 1)
    assert daemon.events("job.zombified") == []


DEATHS = [
    ("segfault", "system", "its process was killed by SIGSEGV"),
    ("aborts", "system", "its process was killed by SIGABRT"),
    ("exits", "system", "its process ended with exit status 3"),
    ("sys.exit", "system", "SystemExit: 3"),
    ("killed", "resource", "its process was killed by SIGKILL"),
    ("terminated", "system", "its process got a SIGTERM that was not jobd's"),
    ("babbles", "system", "its process said what makes no sense: JSONDecodeError: "
     "Expecting ',' delimiter: line 1 column 5 (char 4)"),
    ("closes", "system", "its process closed its connection to jobd"),
]


@pytest.mark.parametrize(("how", "failure_type", "error"), DEATHS, ids=[d[0] for d in DEATHS])
def test_a_death_is_that_attempt_s_failure(
    house: House, how: str, failure_type: str, error: str
) -> None:
    """The daemon lives, the neighbour completes, and the slot has a new process."""
    house.handlers(HANDLERS)
    daemon = house.start("--workers", "2", pool__isolation="process")
    gate = house.gate("shut")
    neighbour = house.enqueue("gated", {"gate": "shut"})
    daemon.wait_for("job.logged", job_id=neighbour)
    job_id = house.enqueue("dies", {"how": how}, max_retries=1)
    daemon.wait_for("job.retry_scheduled", job_id=job_id, failure_type=failure_type, error=error)
    ended = daemon.wait_for("job.dead_lettered", job_id=job_id, failure_type=failure_type)
    assert ended["error"] == error
    assert result(house, daemon, "returns") == 1
    gate.open()
    daemon.wait_for("job.completed", job_id=neighbour)
    assert daemon.stop() == 0


@pytest.mark.parametrize("how", ["forks", "forks in C"])
def test_a_fork_that_returns_is_no_second_ending(
    house: House, daemon: RunningDaemon, how: str
) -> None:
    """The child's own return counts; the fork's is swallowed, and later jobs are not confused."""
    assert result(house, daemon, "dies", how=how) == "alive"
    assert [result(house, daemon, "noop", n=n) for n in range(5)] == list(range(5))


ENDINGS = [
    ("returns", {"what": "bad"}, "validation", "the handler's result is not JSON"),
    ("returns", {"what": "nan"}, "validation", "the handler's result is not JSON"),
    ("returns", {"which": 1}, "validation", "payload does not fit returns"),
    ("raises", {"how": "fail"}, "permission", "never"),
    ("raises", {"how": "other"}, "resource", "ConnectionResetError: as the table says"),
]


@pytest.mark.parametrize(("job_type", "payload", "failure_type", "error"), ENDINGS)
def test_an_ending_means_what_it_means_in_a_thread(
    house: House, job_type: str, payload: dict[str, Any], failure_type: str, error: str
) -> None:
    """Failures keep their type, message and traceback; the configured table counts."""
    house.handlers(HANDLERS)
    daemon = house.start(pool__isolation="process", classify__ConnectionResetError="resource")
    job_id = house.enqueue(job_type, payload, max_retries=0)
    ended = daemon.wait_for("job.dead_lettered", job_id=job_id, failure_type=failure_type)
    assert ended["error"].startswith(error)
    traceback = house.job(job_id)["last_error_traceback"] or ""
    assert ("handlers.py" in traceback) == (job_type == "raises")
    assert "isolated.py" not in traceback


def test_retry_and_snooze_come_through(house: House, daemon: RunningDaemon) -> None:
    """A handler's own delay and type; a snooze charges nothing."""
    retried = house.enqueue("raises", {"how": "retry"}, max_retries=1)
    daemon.wait_for("job.retry_scheduled", job_id=retried, failure_type="network", error="later")
    daemon.wait_for("job.dead_lettered", job_id=retried)
    snoozed = house.enqueue("raises", {"how": "snooze"})
    daemon.wait_for("job.snoozed", job_id=snoozed)
    daemon.wait_for("job.completed", job_id=snoozed)
    assert house.job(snoozed)["retry_count"] == 0


def test_what_a_handler_changes_about_its_process_is_undone(house: House) -> None:
    """Working directory and SIGTERM are as before for the next job; prints are not in the log."""
    house.handlers(HANDLERS)
    daemon = house.start("--workers", "1", pool__isolation="process")
    for _ in range(3):
        assert result(house, daemon, "messes") == [True, False]
    daemon.wait_stderr("printed by a handler")
    daemon.wait_stderr("forged")
    assert daemon.events("forged") == []


def test_a_process_gets_nothing_that_belongs_to_the_daemon(house: House) -> None:
    """No systemd socket, no watchdog; the marks of its daemon and of the attempt."""
    house.handlers(HANDLERS)
    private = {"NOTIFY_SOCKET": str(house.root / "none"), "WATCHDOG_USEC": "10000000",
               "WATCHDOG_PID": "1", "LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "x"}
    daemon = house.start(pool__isolation="process", env=private)
    owner = daemon.events("daemon.started")[0]["daemon"]
    job_id = house.enqueue("environment")
    daemon.wait_for("job.completed", job_id=job_id)
    found = json.loads(house.job(job_id)["result"])
    assert found == {"owner": [f"JOBD_OWNER={owner}"], "stdin": "/dev/null", "mine": {
        "JOBD_ATTEMPT": f"{owner}:{job_id}:1", "JOBD_JOB_ID": str(job_id)}}


def test_where_a_job_runs_is_said_by_job_then_handler_then_configuration(house: House) -> None:
    """The nearest word counts."""
    house.handlers(HANDLERS)
    daemon = house.start()
    pid = daemon.pid
    assert result(house, daemon, "where_not_said") == pid
    ids = [house.enqueue(name, isolation="process") for name in ("where", "where_not_said")]
    daemon.wait_for_all("job.completed", ids)
    assert all(json.loads(house.job(each)["result"]) in children(pid) for each in ids)
    daemon.stop()
    again = house.start(pool__isolation="process")
    assert result(house, again, "where") == again.pid
    assert result(house, again, "where_not_said") in children(again.pid)
    job_id = house.enqueue("where_not_said", isolation="thread")
    again.wait_for("job.completed", job_id=job_id)
    assert json.loads(house.job(job_id)["result"]) == again.pid


def test_a_module_that_does_not_import_in_the_child_is_the_configuration_s_fault(
    house: House,
) -> None:
    """That attempt fails with the traceback; mended, the next one runs without a restart."""
    house.handlers(HANDLERS + "\nif (ROOT / 'break').exists():\n    import no_such_module\n")
    daemon = house.start(pool__isolation="process")
    (house.root / "break").touch()
    job_id = house.enqueue("noop", {"n": 1})
    ended = daemon.wait_for("job.dead_lettered", job_id=job_id, failure_type="configuration")
    assert "handlers does not import: ModuleNotFoundError" in ended["error"]
    assert "import no_such_module" in house.job(job_id)["last_error_traceback"]
    (house.root / "break").unlink()
    house.cli("retry", str(job_id))
    daemon.wait_for("job.completed", job_id=job_id)


def test_importing_does_not_count_towards_the_deadline(house: House) -> None:
    """A short deadline and slow modules: the first job runs as well as any."""
    house.handlers("if sys.argv[0] == '-c':\n    time.sleep(1)\n" + HANDLERS)
    daemon = house.start(pool__isolation="process")
    job_id = house.enqueue("noop", {"n": 1}, timeout=0.3)
    daemon.wait_for("job.completed", job_id=job_id)
    assert daemon.events("job.timed_out") == []


def test_a_job_that_is_cancelled_while_its_process_starts_never_runs(house: House) -> None:
    """And the process goes on starting, for the next job."""
    house.handlers("if sys.argv[0] == '-c':\n    wait_at('import')\n" + HANDLERS)
    gate = house.gate("import")
    daemon = house.start("--workers", "1", pool__isolation="process")
    job_id = house.enqueue("noop", {"n": 1})
    until(lambda: children(daemon.pid))
    before = children(daemon.pid)
    house.cli("cancel", str(job_id))
    daemon.wait_for("job.cancelled", job_id=job_id)
    assert house.spans(job_id) == []
    gate.open()
    assert result(house, daemon, "noop", n=2) == 2
    assert children(daemon.pid) == before


def test_programs_of_an_ended_attempt_are_ended(house: House, daemon: RunningDaemon) -> None:
    """Those that `run` started, even when they ignore SIGTERM, and those behind its back."""
    script = f"trap '' TERM; echo $$ >{house.root}/program; while :; do sleep 0.1; done"
    for job_type, payload in (("runs_long", {"script": script}), ("starts_behind_our_back", {})):
        job_id = house.enqueue(job_type, payload)
        program = house.root / "program"
        until(lambda: program.exists() and program.read_text().strip())  # noqa: B023
        house.cli("cancel", str(job_id))
        daemon.wait_for("job.cancelled", job_id=job_id)
        assert not is_running(int(program.read_text()))
        program.unlink()
    assert daemon.events("job.zombified") == []


def test_a_stop_lets_processes_finish_and_then_ends_them(house: House) -> None:
    """Polite until the grace is over; then SIGTERM and SIGKILL, and the jobs are pending again."""
    house.handlers(HANDLERS)
    daemon = house.start("--workers", "3", pool__isolation="process")
    ids = [house.enqueue("heeds", {"how": "spins"}), house.enqueue("will_not"),
           house.enqueue("heeds", {"how": "sleep"})]
    daemon.wait_for_all("job.logged", ids)
    held = children(daemon.pid)
    assert len(held) == 3
    assert daemon.stop() == 0
    assert [house.status(each) for each in ids] == ["pending"] * 3
    assert [house.job(each)["retry_count"] for each in ids] == [0, 0, 0]
    assert [each for each in held if is_running(each)] == []
    drained = daemon.events("daemon.drained")[0]
    assert drained["left_running"] == []


def test_no_child_outlives_a_killed_daemon(house: House) -> None:
    """Within a second, whether it spins, ignores signals or is idle; the jobs are rescued."""
    house.handlers(HANDLERS)
    daemon = house.start("--workers", "3", pool__isolation="process")
    idle = [house.enqueue("noop", {"n": n}) for n in range(3)]
    daemon.wait_for_all("job.completed", idle)
    ids = [house.enqueue("heeds", {"how": "spins"}), house.enqueue("will_not")]
    daemon.wait_for_all("job.logged", ids)
    held = children(daemon.pid)
    assert held
    daemon.kill()
    until(lambda: not any(is_running(each) for each in held), deadline=1)
    again = house.start("--workers", "3", pool__isolation="process")
    for each in ids:
        again.wait_for("job.retry_scheduled", job_id=each, failure_type="worker_lost")
    again.wait_for_all("job.logged", ids)


def test_many_jobs_pass_through_one_process(house: House) -> None:
    """500 jobs, one child, each its own result; the hand-over is cheap."""
    house.handlers(HANDLERS)
    daemon = house.start("--workers", "1", pool__isolation="process")
    ids = [int(each) for each in house.queue.enqueue_many(
        [("noop", {"n": n}) for n in range(500)])]
    daemon.wait_for_all("job.completed", ids)
    results = [json.loads(row["result"]) for row in house.rows(
        "SELECT result FROM job_queue WHERE job_type = 'noop' ORDER BY id")]
    assert results == list(range(500))
    assert len({span.pid for span in house.spans()}) == 1
    took = sorted(line["duration_ms"] for line in daemon.events("job.completed"))
    print(f"\nthrough a process: median {1000 * took[250]:.0f} us, with the journal's two lines")
    assert took[250] < 2


def test_a_frozen_child_is_killed(house: House) -> None:
    """SIGSTOP from outside: at the deadline it is continued, interrupted, and the slot is free."""
    house.handlers(HANDLERS)
    daemon = house.start("--workers", "1", pool__isolation="process")
    job_id = house.enqueue("heeds", {"how": "check"}, timeout=0.5, max_retries=0)
    daemon.wait_for("job.logged", job_id=job_id)
    os.kill(children(daemon.pid)[0], signal.SIGSTOP)
    daemon.wait_for("job.dead_lettered", job_id=job_id, failure_type="timeout")
    assert daemon.events("job.zombified") == []
    assert result(house, daemon, "returns") == 1


def test_a_large_payload_and_result_pass(house: House, daemon: RunningDaemon) -> None:
    """As large as the limits allow, and larger than any socket's buffer."""
    text = "x" * 1_000_000
    house.handlers(HANDLERS)
    assert result(house, daemon, "noop", n=text) == text


def test_an_idle_child_that_is_killed_costs_nothing(house: House) -> None:
    """Nothing ran in it: the next job gets a new one."""
    house.handlers(HANDLERS)
    daemon = house.start("--workers", "1", pool__isolation="process")
    for number in (signal.SIGKILL, signal.SIGTERM):
        assert result(house, daemon, "noop", n=1) == 1
        (child,) = children(daemon.pid)
        os.kill(child, number)
        until(lambda: not is_running(child))  # noqa: B023
    assert result(house, daemon, "noop", n=2) == 2
