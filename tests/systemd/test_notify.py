"""What the daemon tells systemd, heard at a socket of our own: no root, no systemd needed."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

from tests.daemon.harness import House, RunningDaemon
from tests.daemon.test_disk_and_locks import HOLDER, fill
from tests.systemd.listener import Listener

WATCHDOG = 3.0
"""Seconds: a sign every half second, while the dispatcher comes round within one."""

BREAKING = """
import jobd.daemon.patrol
from jobd.daemon.dispatcher import Dispatcher

def hung(*_):
    threading.Event().wait()

@job("hangs_the_dispatcher")
def hangs_the_dispatcher():
    Dispatcher._gather = hung
    say("from now on")

@job("hangs_a_sweep")
def hangs_a_sweep():
    jobd.daemon.patrol.sweep_zombies = hung
    say("from now on")

@job("bulky")
def bulky(gate: str, size: int):
    wait_at(gate)
    return "x" * size

@job("variables")
def variables():
    return sorted(os.environ)
"""


def watched(house: House, *args: str, **options: object) -> RunningDaemon:
    """A daemon whose signs of life systemd waits for."""
    house.env["WATCHDOG_USEC"] = str(round(WATCHDOG * 1_000_000))
    house.handlers(BREAKING)
    return house.start(*args, **options)


def beats(daemon: RunningDaemon, seconds: float) -> None:
    """Follow the heartbeats for as long."""
    until, beat = time.monotonic() + seconds, None
    while time.monotonic() < until:
        beat = daemon.next_beat(beat)
        assert beat is not None, daemon.account()


def test_ready_is_told_after_the_dead_were_judged(house: House, listener: Listener) -> None:
    """READY=1 comes once, after the rescue of what a dead daemon left."""
    first = house.start()
    job_id = house.enqueue("patient")
    first.wait_for("worker.heartbeat", job_id=job_id)
    first.kill()
    before = len(listener.heard)
    second = house.launch()
    listener.wait(before, READY="1")
    assert house.job(job_id)["rescue_count"] == 1
    second.wait_ready()
    second.stop()
    assert [told for told in listener.heard[before:] if "READY" in told] == [
        listener.heard[listener.wait(before, READY="1")]
    ]


def test_a_second_daemon_says_whom_it_waits_for(house: House, listener: Listener) -> None:
    """A start that goes on and on because another daemon is active has that as its status."""
    first = house.start()
    before = len(listener.heard)
    second = house.launch()
    place = listener.wait(before, STATUS=f"waits for jobd pid {first.pid}, which is active")
    first.stop()
    listener.wait(place, READY="1")
    second.wait_ready()


def test_the_status_counts(house: House, listener: Listener) -> None:
    """One line: workers, what runs, what is ready, what is dead, in the right number."""
    house.handlers("@job('broken', max_retries=0)\ndef broken():\n    raise RuntimeError\n")
    house.start("--workers", "1")
    listener.wait(STATUS="1 worker, 0 running, 0 ready, 0 dead letters")
    gate = house.gate("shut")
    house.enqueue("broken")
    for _ in range(4):
        house.enqueue("gated", {"gate": "shut"})
    listener.wait(STATUS="1 worker, 1 running, 3 ready, 1 dead letter")
    gate.open()
    listener.wait(STATUS="1 worker, 0 running, 0 ready, 1 dead letter")
    house.gate("barred")
    house.queue.batch("b", "gated", [{"gate": "barred"}] * 3)
    listener.wait(STATUS="1 running, 0 ready, 1 dead letter, 3 items left in batches")


def test_the_status_is_told_when_it_changes(house: House, listener: Listener) -> None:
    """Nothing is said again and again to a systemd that has heard it."""
    daemon = house.start()
    listener.wait(STATUS="0 running")
    before = len(listener.heard)
    beats(daemon, 1)
    assert listener.heard[before:] == []


def test_signs_of_life_come_in_time(house: House, listener: Listener) -> None:
    """An idle daemon gives several in each interval of the watchdog, however short that is."""
    daemon = watched(house)
    beats(daemon, 2)
    signs = listener.signs()
    assert len(signs) >= 3
    assert max(later - sign for sign, later in pairwise(signs)) < WATCHDOG
    assert min(later - sign for sign, later in pairwise(signs)) < WATCHDOG / 4


def test_no_signs_where_nobody_waits_for_them(house: House, listener: Listener) -> None:
    """Without a watchdog, or with one for another process, none is given."""
    beats(house.start(), 1)
    house.daemons[-1].stop()
    house.env["WATCHDOG_PID"] = "1"
    beats(watched(house), 1)
    assert listener.signs() == []


def silent_once(house: House, listener: Listener, job_type: str) -> None:
    daemon = watched(house)
    listener.wait(WATCHDOG="1")
    job_id = house.enqueue(job_type)
    daemon.wait_for("job.logged", job_id=job_id)
    # What it takes to be noticed, and then three signs that do not come.
    beats(daemon, 1.7)
    before = len(listener.heard)
    beats(daemon, WATCHDOG / 2)
    assert listener.signs(before) == []
    assert daemon.process.poll() is None


def test_a_hung_dispatcher_ends_the_signs(house: House, listener: Listener) -> None:
    """The main thread and the sweeps live on; systemd learns that the daemon does not."""
    silent_once(house, listener, "hangs_the_dispatcher")


def test_a_hung_sweep_ends_the_signs(house: House, listener: Listener) -> None:
    """A daemon that no longer looks for the stuck is no better."""
    silent_once(house, listener, "hangs_a_sweep")


def test_a_long_lock_is_named_and_is_no_hang(house: House, listener: Listener) -> None:
    """While another process holds the write lock signs of life come, and the status says why
    nothing goes on."""
    gate = house.gate("shut")
    daemon = watched(house)
    job_id = house.enqueue("gated", {"gate": "shut"})
    daemon.wait_for("worker.heartbeat", job_id=job_id)
    with subprocess.Popen([sys.executable, "-c", HOLDER, house.db], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        gate.open()
        first = listener.wait(STATUS="; waits for the write lock, for 1 s now")
        listener.wait(STATUS="; waits for the write lock, for 3 s now")
        signs = listener.signs(first)
        assert holder.stdin is not None
        holder.stdin.close()
    assert len(signs) >= 2
    daemon.wait_for("job.completed", job_id=job_id)
    idle, place = "4 workers, 0 running, 0 ready, 0 dead letters", first
    while listener.heard[place]["STATUS"] != idle:
        place = listener.wait(place + 1, STATUS=idle)


def test_a_full_disk_is_named_and_is_no_hang(small_disk: House, listener: Listener) -> None:
    """The same while there is no room for a commit."""
    gate = small_disk.gate("shut")
    daemon = watched(small_disk, "--workers", "8")
    ids = [small_disk.enqueue("bulky", {"gate": "shut", "size": 900_000}) for _ in range(8)]
    for job_id in ids:
        daemon.wait_for("worker.heartbeat", job_id=job_id)
    filler = fill(small_disk.db.parent)
    gate.open()
    full = listener.wait(STATUS="; waits for disk space")
    beats(daemon, WATCHDOG / 2)
    told = small_disk.cli_json("status")["problems"]
    assert [each["cause"] for each in told] == ["disk_space"]
    assert len(listener.signs(full)) >= 2
    filler.unlink()
    daemon.wait_for_all("job.completed", ids)
    listener.wait(full + 1, STATUS="8 workers, 0 running, 0 ready, 0 dead letters")


def test_a_reload_is_told_from_its_beginning_to_its_end(house: House, listener: Listener) -> None:
    """RELOADING=1 with the time of its beginning, then READY=1; also when it is refused."""
    daemon = house.start()
    for setting in ("2s", "never"):
        before, began = len(listener.heard), time.monotonic_ns() // 1000
        house.write_config(timing__kill_grace=setting)
        daemon.signal(signal.SIGHUP)
        place = listener.wait(before, RELOADING="1")
        assert began <= int(listener.heard[place]["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        listener.wait(place, READY="1")
    daemon.wait_for("configuration.reloaded")
    daemon.wait_for("configuration.refused")


def test_a_stop_is_told_and_asks_for_its_time(house: House, listener: Listener) -> None:
    """STOPPING=1, then who is waited for and how long, and more time each second; signs of life
    go on."""
    gate = house.gate("shut")
    daemon = watched(house, timing__shutdown_grace="1h")
    job_id = house.enqueue("gated", {"gate": "shut"})
    daemon.wait_for("worker.heartbeat", job_id=job_id)
    before = len(listener.heard)
    daemon.signal(signal.SIGTERM)
    place = listener.wait(before, STOPPING="1")
    listener.wait(place, STATUS="stopping: waits for 1 job, 3600 s at most")
    for _ in range(3):
        place = listener.wait(place + 1, EXTEND_TIMEOUT_USEC="")
        assert int(listener.heard[place]["EXTEND_TIMEOUT_USEC"]) >= 10_000_000
    assert listener.signs(before)
    gate.open()
    assert daemon.exit_status() == 0
    assert house.status(job_id) == "completed"


def test_handlers_do_not_find_what_systemd_gave_the_daemon(
    house: House, listener: Listener
) -> None:
    """Its variables are gone before the first handler is imported, in threads and processes."""
    house.env |= {"LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "x"}
    daemon = watched(house)
    for isolation in ("thread", "process"):
        job_id = house.enqueue("variables", isolation=isolation)
        daemon.wait_for("job.completed", job_id=job_id)
        found = house.queue.get(job_id)["result"]
        assert "PATH" in found
        private = ("NOTIFY_", "WATCHDOG_", "LISTEN_")
        assert [name for name in found if name.startswith(private)] == []


def test_a_name_outside_the_file_system_is_found(house: House) -> None:
    """systemd may listen at an abstract address, written with an @."""
    with Listener(f"@jobd-test-{os.getpid()}") as listener:
        house.env["NOTIFY_SOCKET"] = listener.address
        house.launch()
        listener.wait(READY="1")


def test_a_manager_that_has_gone_is_no_harm(house: House) -> None:
    """Where nobody listens any more, jobs run as before."""
    house.env["NOTIFY_SOCKET"] = str(house.root / "nobody")
    daemon = watched(house)
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    assert daemon.stop() == 0
