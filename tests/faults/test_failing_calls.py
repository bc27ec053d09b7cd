"""System calls on the database's files that fail: injected at write, sync, truncate and read."""

import errno
import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass

import pytest

from tests.daemon.harness import House, RunningDaemon
from tests.faults.disk import READS, SYNCS, TRUNCATES, WRITES, FaultyDisk
from tests.faults.walk import WIDE

WAL, DB = "jobd.db-wal", "jobd.db"
SERIOUS = ("warning", "error", "critical")


def complaints(daemon: RunningDaemon) -> list[str]:
    """What it complained of, jobs and what only counts them aside."""
    return [line["event"] for line in daemon.log
            if line["level"] in SERIOUS and not line["event"].startswith(("job.", "metrics."))]


def beats(daemon: RunningDaemon, count: int) -> None:
    """Wait for so many heartbeats from now on."""
    beat = daemon.log[-1]
    for _ in range(count):
        beat = daemon.wait_for("pool.health", after=beat)


def completed(house: House) -> Counter[int]:
    """How often each job was said to be completed, by any daemon."""
    return Counter(line["job_id"] for daemon in house.daemons
                   for line in daemon.events("job.completed"))


@dataclass(frozen=True)
class Fault:
    """Calls that fail from now on, and what the daemon says of it, once."""

    calls: int
    error: int
    name: str
    event: str
    says: str
    times: int = -1


LASTING = {
    "no space for a commit": Fault(WRITES, errno.ENOSPC, WAL, "store.full", "no space left for"),
    "no space for a checkpoint": Fault(
        WRITES, errno.ENOSPC, DB, "store.checkpoint_failed", "no space left for"),
    "a checkpoint that cannot be written": Fault(
        WRITES, errno.EIO, DB, "store.checkpoint_failed", "the disk failed under"),
    "a database that cannot be truncated": Fault(
        TRUNCATES, errno.EIO, DB, "store.checkpoint_failed", "the disk failed under"),
}


RARE = {"a checkpoint that cannot be written", "a commit on what became read-only",
        "no space at the sync of a commit", "a commit that cannot be synced once"}
"""They go the way of another one: only where there is time."""


def tried(faults: dict[str, Fault]) -> list[str]:
    return [name for name in faults if WIDE or name not in RARE]


@pytest.mark.parametrize("name", tried(LASTING))
def test_a_fault_that_can_be_waited_out_is(name: str, house: House, disk: FaultyDisk) -> None:
    """It is said once, nothing is lost, and all goes on by itself when it is over."""
    fault, gate = LASTING[name], house.gate("shut")
    daemon = house.start(env=disk.env)
    first = house.enqueue("gated", {"gate": "shut"})
    daemon.wait_for("job.logged", job_id=first)
    disk.fail(fault.calls, fault.error, fault.name)
    gate.open()
    second = house.enqueue("quick")
    said = daemon.wait_for(fault.event)
    beats(daemon, 3)
    assert disk.hits > 0
    assert fault.says in said["error"]
    assert str(house.db) in said["error"]
    assert complaints(daemon) == [fault.event]
    disk.heal()
    daemon.wait_for("store.recovered")
    daemon.wait_for_all("job.completed", [first, second])
    assert daemon.stop() == 0
    assert complaints(daemon) == [fault.event]
    assert [span.attempt for span in house.spans()] == [1, 1]


FATAL = {
    "a commit that cannot be written": Fault(WRITES, errno.EIO, WAL, "", "the disk failed under"),
    "a commit on what became read-only": Fault(
        WRITES, errno.EROFS, WAL, "", "the disk failed under"),
    "a commit that cannot be synced": Fault(SYNCS, errno.EIO, WAL, "", "may or may not be there"),
    "a commit that cannot be synced once": Fault(
        SYNCS, errno.EIO, WAL, "", "may or may not be there", times=1),
    "no space at the sync of a commit": Fault(
        SYNCS, errno.ENOSPC, WAL, "", "may or may not be there"),
    "a checkpoint that cannot be synced": Fault(
        SYNCS, errno.EIO, DB, "", "may or may not be there"),
    "a log that cannot be read": Fault(READS, errno.ENXIO, WAL, "", "the disk"),
    "a database that cannot be read": Fault(READS, errno.EIO, DB, "", "the disk"),
}


@pytest.mark.parametrize("name", tried(FATAL))
def test_a_fault_that_makes_the_outcome_unknown_ends_the_daemon(
    name: str, house: House, disk: FaultyDisk
) -> None:
    """One sentence, a documented status, no traceback; the next daemon reads the truth."""
    fault, gate = FATAL[name], house.gate("shut")
    daemon = house.start(env=disk.env)
    first = house.enqueue("gated", {"gate": "shut"})
    daemon.wait_for("job.logged", job_id=first)
    disk.fail(fault.calls, fault.error, fault.name, times=fault.times)
    gate.open()
    second = house.enqueue("quick")
    assert daemon.exit_status() in ((75, 78) if fault.calls == READS else (75,))
    told = Counter(complaints(daemon))
    assert told.pop("daemon.failed") == 1
    # Sweeps read too, and may be the first to meet it; none says what another has said.
    assert set(told) <= ({"sweep.failed"} if fault.calls == READS else set())
    said = Counter(line["error"] for line in daemon.events("sweep.failed"))
    assert set(said.values()) <= {1}, said
    failed = daemon.wait_for("daemon.failed")
    assert fault.says in failed["error"]
    assert str(house.db) in failed["error"]
    assert "exception" not in failed
    assert "Traceback" not in daemon.stderr
    assert house.wait_until_all_ended(house.start())
    assert {house.status(job_id) for job_id in (first, second)} == {"completed"}
    assert max(completed(house).values(), default=0) <= 1
    begun = Counter(span.job_id for span in house.spans())
    for job_id in (first, second):
        assert begun[job_id] <= house.job(job_id)["attempt"]
    assert [tuple(row) for row in house.rows("PRAGMA integrity_check")] == [("ok",)]


def test_a_disk_that_syncs_slowly_slows_the_commits_and_nothing_else(
    house: House, disk: FaultyDisk
) -> None:
    """Each sync takes 0.4 s: heartbeats go on, nothing is judged late, a stop stores what ended."""
    daemon = house.start(env=disk.env)
    disk.fail(SYNCS, 0, WAL, delay_ms=400)
    ids = [house.enqueue("quick", timeout=60) for _ in range(3)]
    beats(daemon, 5)
    daemon.wait_for_all("job.completed", ids)
    last = house.enqueue("quick")
    daemon.wait_for("job.completed", job_id=last)
    assert daemon.stop() == 0
    assert complaints(daemon) == []
    assert disk.hits >= 3


PRODUCER_FAULTS = {
    "full": (WRITES, errno.ENOSPC, "no space left for"),
    "broken": (WRITES, errno.EIO, "the disk failed under"),
    "unsynced": (SYNCS, errno.EIO, "repeating it with the same request id is safe"),
}


@pytest.mark.parametrize("name", PRODUCER_FAULTS)
def test_a_producer_gets_one_sentence_and_may_try_again(
    name: str, house: House, disk: FaultyDisk
) -> None:
    """`jobd enqueue` exits 75; with the same request id the second try makes exactly one job."""
    house.enqueue("quick")
    calls, error, says = PRODUCER_FAULTS[name]
    disk.fail(calls, error)
    words = ("enqueue", "quick", "--request-id", "r", "--json")
    refused = subprocess.run(house.argv(*words), env={**house.env, **disk.env},
                             capture_output=True, text=True, check=False)
    assert disk.hits > 0
    assert refused.returncode == 75
    assert refused.stdout == ""
    assert [line[:6] for line in refused.stderr.splitlines()] == ["jobd: "]
    assert says in refused.stderr
    assert str(house.db) in refused.stderr
    assert isinstance(json.loads(house.cli(*words)), dict)
    assert house.rows("SELECT count(*) FROM job_queue")[0][0] == 2


QUEUE = """
import sys, jobd
queue = jobd.Queue(sys.argv[1])
first = queue.enqueue("quick")
print("ready", flush=True)
sys.stdin.readline()
for _ in range(2):
    try:
        print(queue.enqueue("quick") - first, flush=True)
    except jobd.errors.JobdError as error:
        print(type(error).__name__, error.exit_status, flush=True)
    sys.stdin.readline()
"""


def test_an_application_gets_an_error_of_jobd_and_goes_on(house: House, disk: FaultyDisk) -> None:
    """A Queue whose disk is full raises DatabaseFull; once there is room it enqueues again."""
    application = subprocess.Popen(
        [sys.executable, "-c", QUEUE, str(house.db)], env={**house.env, **disk.env}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert application.stdin is not None
    assert application.stdout is not None
    assert application.stdout.readline() == "ready\n"
    disk.fail(WRITES, errno.ENOSPC)
    print(file=application.stdin, flush=True)
    assert application.stdout.readline() == "DatabaseFull 75\n"
    disk.heal()
    print(file=application.stdin, flush=True)
    assert application.stdout.readline() == "1\n"
    application.communicate("\n")
