"""What the daemon measures, as `jobd metrics` and the textfile collector see it."""

import time
from pathlib import Path

from tests.daemon.harness import DEADLINE, House, RunningDaemon
from tests.exposition import Read, read

HANDLERS = """
@job("fails", max_retries=0)
def fails():
    raise ConnectionError("refused")

@job("slow", timeout=0.2, max_retries=0)
def slow(gate):
    wait_at(gate)
"""


def measured(house: House) -> dict[str, Read]:
    return read(house.cli("metrics"))


def counted(
    house: House, daemon: RunningDaemon, family: str, wanted: float, **labels: str
) -> dict[str, Read]:
    """The measurements as soon as a counter has this value."""
    until, beat = time.monotonic() + 2 * DEADLINE, None
    while True:
        found = measured(house)
        key = ("", frozenset(labels.items()))
        if family in found and found[family].samples.get(key) == wanted:
            return found
        assert time.monotonic() < until, (family, labels, house.cli("metrics"))
        beat = daemon.next_beat(beat)


def test_attempts_are_counted_and_timed_by_queue_and_type(house: House) -> None:
    """Outcomes, failures, how long jobs waited and ran."""
    house.handlers(HANDLERS)
    daemon = house.start(metrics__interval="1s")
    ids = house.queue.enqueue_many([("quick", {"n": n}) for n in range(20)], queue="media")
    failed = house.enqueue("fails")
    daemon.wait_for_all("job.completed", ids)
    daemon.wait_for("job.dead_lettered", job_id=failed)
    quick = {"queue": "media", "type": "quick"}
    found = counted(house, daemon, "jobd_failures_total", 1, failure_type="network")
    assert found["jobd_attempts_total"].value(**quick, outcome="completed") == 20
    assert found["jobd_run_seconds"].value("_count", **quick) == 20
    assert found["jobd_wait_seconds"].value("_count", **quick) == 20
    assert 0 <= found["jobd_wait_seconds"].value("_sum", **quick) < 20 * DEADLINE
    assert found["jobd_attempts_total"].value(
        queue="default", type="fails", outcome="dead_letter") == 1
    assert found["jobd_jobs"].value(status="completed", **quick) == 20
    assert found["jobd_jobs"].value(status="dead_letter", queue="default", type="fails") == 1
    assert found["jobd_up"].value() == 1
    assert sum(found["jobd_workers"].samples.values()) == 4
    assert found["jobd_wal_bytes"].value() > 0
    assert found["jobd_sweeps_total"].value(sweep="timeouts") >= 1


def test_timeouts_zombies_and_late_results_are_counted(house: House) -> None:
    """And the thread that does not stop is shown while it does not."""
    house.handlers(HANDLERS)
    daemon = house.start(metrics__interval="1s", timing__zombie_hold="1h")
    job_id = house.enqueue("slow", {"gate": "g"})
    gate = house.gate("g")
    daemon.wait_for("job.zombified", job_id=job_id)
    found = counted(house, daemon, "jobd_zombies_total", 1)
    assert found["jobd_timeouts_total"].value() == 1
    counted(house, daemon, "jobd_stuck_threads", 1)
    gate.open()
    counted(house, daemon, "jobd_late_results_total", 1)
    counted(house, daemon, "jobd_stuck_threads", 0)


def test_the_late_result_of_a_parked_job_is_counted(house: House) -> None:
    """It changes nothing else."""
    house.handlers(HANDLERS)
    daemon = house.start(metrics__interval="1s")
    gate = house.gate("g")
    job_id = house.enqueue("slow", {"gate": "g"})
    daemon.wait_for("job.dead_lettered", job_id=job_id)
    gate.open()
    daemon.wait_for("job.late_result", job_id=job_id)
    counted(house, daemon, "jobd_late_results_total", 1)


def test_rescues_are_counted_by_the_daemon_that_made_them(house: House) -> None:
    """A killed daemon's counters go with it."""
    house.handlers("")
    first = house.start(metrics__interval="1s")
    job_id = house.enqueue("patient")
    first.wait_for("job.logged", job_id=job_id)
    first.kill()
    assert "jobd_rescues_total" not in measured(house)
    assert measured(house)["jobd_up"].value() == 0
    second = house.start()
    counted(house, second, "jobd_rescues_total", 1)


def test_deleted_jobs_are_counted(house: House) -> None:
    """Retention shows in the measurements."""
    daemon = house.start(metrics__interval="1s", retention__completed="1s")
    house.queue.enqueue_many([("quick", {})] * 5)
    counted(house, daemon, "jobd_pruned_jobs_total", 5, status="completed")


def test_the_file_for_the_collector_has_everything(house: House) -> None:
    """It is whole whenever it is read, open to all, and of the name that was configured."""
    target = house.root / "collector" / "jobd.prom"
    target.parent.mkdir()
    daemon = house.start(metrics__interval="1s", metrics__file=str(target))
    daemon.wait_for_all("job.completed", [house.enqueue("quick")])
    until, beat, sizes = time.monotonic() + 2 * DEADLINE, None, set()
    while True:
        beat = daemon.next_beat(beat)
        found = read(target.read_text()) if target.exists() else {}
        sizes.add(len(found))
        if "jobd_attempts_total" in found and found["jobd_jobs"].samples:
            break
        assert time.monotonic() < until
    assert found["jobd_jobs"].value(status="completed", queue="default", type="quick") == 1
    assert set(measured(house)) == set(found)
    assert target.stat().st_mode & 0o777 == 0o644
    assert daemon.stop() == 0
    assert [each.name for each in target.parent.iterdir()] == ["jobd.prom"]


def test_a_file_that_cannot_be_written_is_told_and_harms_nobody(house: House) -> None:
    """`jobd metrics` goes on, and so does the work."""
    daemon = house.start(metrics__interval="1s", metrics__file=str(house.root / "no" / "x"))
    failed = daemon.wait_for("metrics.failed")
    assert Path(failed["file"]).parent == house.root / "no"
    daemon.wait_for_all("job.completed", [house.enqueue("quick")])
    counted(house, daemon, "jobd_attempts_total", 1, queue="default", type="quick",
            outcome="completed")
    assert len(daemon.events("metrics.failed")) == 1


def test_without_a_daemon_the_database_is_measured(house: House) -> None:
    """What it holds, and that nobody works on it."""
    house.queue.enqueue("quick")
    found = measured(house)
    assert found["jobd_jobs"].value(status="pending", queue="default", type="quick") == 1
    assert found["jobd_queue_ready_jobs"].value(queue="default") == 1
    assert found["jobd_up"].value() == 0
    assert "jobd_attempts_total" not in found
