"""Handlers that change the process they run in: jobd does not depend on what they change."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon.harness import House

HANDLERS = """
CLONE_NEWPID = 0x2000_0000

@job("moves_house")
def moves_house():
    import locale, logging, socket, warnings
    os.chdir("/")
    os.umask(0o777)
    sys.stdout = sys.stderr = None
    sys.path.clear()
    os.environ.clear()
    socket.setdefaulttimeout(0.000001)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error")
    sys.setswitchinterval(1.0)
    os.getpid = threading.get_native_id = lambda: 42
    threading.current_thread().name = "nobody"

@job("forks")
def forks():
    # Both processes return from the handler; only one of them is the daemon.
    pid = os.fork()
    if pid == 0:
        note("child", "returns")
        return "the child"
    note("parent", str(pid))
    return "the parent"

@job("forks_in_a_namespace")
def forks_in_a_namespace():
    import ctypes
    if ctypes.CDLL(None).unshare(CLONE_NEWPID) == 0:
        child = os.fork()
        if child == 0:
            assert os.getpid() == 1
            return "the child"
        os.waitpid(child, 0)
        return "the parent"

@job("ends_them_at_once")
def ends_them_at_once():
    import multiprocessing
    ended = []
    for _ in range(8):
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
        child.terminate()
        child.join()
        ended.append(child.exitcode)
    return ended

@job("waits_for_a_child")
def waits_for_a_child(gate):
    child = os.fork()
    if child == 0:
        wait_at(gate)
        os._exit(0)
    jobd.current_job().log.info("forked", child=child)
    assert os.waitpid(child, 0)[1] == 0

@job("ends_its_children")
def ends_its_children():
    import signal
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        ready, told = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(told, b"!")
            while True:
                time.sleep(1)
        os.read(ready, 1)
        os.kill(child, number)
        if number != signal.SIGTERM:
            os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(ended)

@job("closes")
def closes():
    os.closerange(0, 3)

@job("raises_in_thread")
def raises_in_thread():
    other = threading.Thread(target=lambda: 1 / 0)
    other.start()
    other.join()

@job("leaves_threads")
def leaves_threads():
    for _ in range(20):
        threading.Thread(target=time.sleep, args=(60,)).start()
"""


def children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()]


def test_a_handler_that_changes_the_process_changes_no_other_job(house: House) -> None:
    """Working directory, umask, environment, streams, path: later jobs, SIGHUP and stop work."""
    house.handlers(HANDLERS)
    argv = [sys.executable, "-m", "jobd", "--config", "jobd.toml", "--db", "jobd.db", "run",
            "--handlers", "handlers", "--path", "code", "--workers", "1"]
    daemon = house.run(argv, house.env).wait_ready()
    daemon.wait_for("job.completed", job_id=house.enqueue("moves_house"))
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    house.write_config(retry__network__max_retries=1)
    daemon.signal(signal.SIGHUP)
    assert daemon.wait_for("configuration.reloaded")["changed"] == ["retry.network.max_retries"]
    assert daemon.stop() == 0
    assert not (house.root / "jobd.db.sock").exists()
    house.start().wait_for("job.completed", job_id=house.enqueue("quick"))


def test_a_handler_that_forks_leaves_no_second_daemon(house: House) -> None:
    """The child that returns from the handler ends there: it runs none of jobd's code."""
    house.handlers(HANDLERS)
    daemon = house.start("--workers", "1")
    job_id = house.enqueue("forks")
    daemon.wait_for("job.completed", job_id=job_id)
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    beat = daemon.wait_for("pool.health")
    daemon.wait_for("pool.health", after=beat)
    left = [pid for pid in children(daemon.pid)
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []
    assert house.job(job_id)["result"] == '"the parent"'
    assert len(daemon.events("job.completed", job_id=job_id)) == 1


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_a_handler_may_end_the_children_that_it_forked(house: House, isolation: str) -> None:
    """SIGTERM ends them as usual, and no signal to one of them is one to the daemon."""
    house.handlers(HANDLERS)
    daemon = house.start()
    job_id = house.enqueue("ends_its_children", isolation=isolation)
    daemon.wait_for("job.completed", job_id=job_id)
    assert house.job(job_id)["result"] == "-15"
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    assert daemon.events("daemon.stopping") == daemon.events("configuration.reloaded") == []


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_a_child_that_is_ended_as_it_is_forked_ends(house: House, isolation: str) -> None:
    """A signal in the instant of the fork is neither lost nor the daemon's."""
    house.handlers(HANDLERS)
    daemon = house.start()
    job_id = house.enqueue("ends_them_at_once", isolation=isolation)
    daemon.wait_for("job.completed", job_id=job_id)
    assert house.job(job_id)["result"] == str([-15] * 8).replace(" ", "")
    assert daemon.events("daemon.stopping") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_a_terminal_sends_to_all_disturbs_no_child(
    house: House, number: signal.Signals
) -> None:
    """The daemon stops gently, or reloads, and a job with children completes meanwhile."""
    house.handlers(HANDLERS)
    gate = house.gate("open")
    daemon = house.start(timing__shutdown_grace="60s")
    job_id = house.enqueue("waits_for_a_child", {"gate": "open"})
    daemon.wait_for("job.logged", message="forked", job_id=job_id)
    (child,) = map(int, (line["child"] for line in daemon.events("job.logged", job_id=job_id)))
    daemon.signal(number)
    os.kill(child, number)
    daemon.wait_for("daemon.stopping" if number == signal.SIGINT else "configuration.reloaded")
    gate.open()
    daemon.wait_for("job.completed", job_id=job_id)


def test_a_fork_is_known_that_has_the_pid_of_its_daemon(house: House) -> None:
    """Both are the first process of their namespace, as a daemon in a container is."""
    first = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*first, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no right to make a namespace of pids here")
    house.handlers(HANDLERS)
    run = ("run", "--handlers", "handlers", "--path", "code", "--workers", "1")
    daemon = house.run([*first, *house.argv(*run)], house.env).wait_ready()
    assert daemon.events("daemon.ready")[0]["pid"] == 1
    job_id = house.enqueue("forks_in_a_namespace")
    daemon.wait_for("job.completed", job_id=job_id)
    assert house.job(job_id)["result"] == '"the parent"'


def test_a_handler_that_closes_the_standard_streams(house: House) -> None:
    """The log may be gone; the jobs complete, and no file of jobd's is written over."""
    house.handlers(HANDLERS)
    daemon = house.start("--workers", "1")
    closes, after = house.enqueue("closes"), [house.enqueue("quick") for _ in range(3)]
    for job_id in (closes, *after):
        assert house.queue.wait(job_id, timeout=10)["status"] == "completed"
    assert daemon.stop() == 0
    assert [tuple(row) for row in house.rows("PRAGMA integrity_check")] == [("ok",)]


def test_threads_that_a_handler_leaves_do_not_hold_up_the_stop(house: House) -> None:
    """Twenty sleeping threads, and one that died of an exception: the exit is prompt."""
    house.handlers(HANDLERS)
    daemon = house.start("--workers", "1")
    for job_type in ("raises_in_thread", "leaves_threads"):
        daemon.wait_for("job.completed", job_id=house.enqueue(job_type))
    daemon.signal(signal.SIGTERM)
    assert daemon.exit_status(deadline=5) == 0
