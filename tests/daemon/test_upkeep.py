"""The daemon takes care of its file by itself: what it deletes, and that nobody waits for it.

`JOBD_SOAK_SECONDS=600 pytest -s tests/daemon/test_upkeep.py -k soak` soaks it for that long.
"""

import os
import time
from pathlib import Path
from typing import Any

from jobd.store.connection import WAL_LIMIT
from tests.daemon.harness import DEADLINE, House, RunningDaemon

SOAK_SECONDS = float(os.environ.get("JOBD_SOAK_SECONDS", "2"))
SMALL = 10 << 20
SHORT: dict[str, Any] = {"retention__completed": "1s", "retention__ended": "1s"}


def wait_until(house: House, daemon: RunningDaemon, query: str, wanted: int) -> None:
    """Look with each heartbeat whether `query` finds so many."""
    until, beat = time.monotonic() + 2 * DEADLINE, None
    while (found := house.rows(query)[0][0]) != wanted:
        assert time.monotonic() < until, (found, daemon.account())
        beat = daemon.next_beat(beat)


def outputs(house: House) -> set[str]:
    place = Path(f"{house.db}.attempts")
    return set(os.listdir(place)) if place.is_dir() else set()


def test_old_jobs_are_deleted_with_what_they_wrote(house: House) -> None:
    """Completed and parked jobs go when their time has come, and their output goes with them."""
    daemon = house.start(**SHORT)
    ids = [int(house.cli("exec", "-q", "--", "sh", "-c", "echo out")) for _ in range(3)]
    ids.append(int(house.cli("exec", "-q", "--max-retries", "0", "--", "sh", "-c", "exit 64")))
    waiting = house.enqueue("quick", delay=3600)
    daemon.wait_for_all("job.completed", ids[:3])
    wait_until(house, daemon, "SELECT count(*) FROM job_queue", 1)
    assert house.status(waiting) == "pending"
    assert house.rows("SELECT count(*) FROM job_attempts")[0][0] == 0
    wait_until_gone(house, daemon)
    assert daemon.stop() == 0


def wait_until_gone(house: House, daemon: RunningDaemon) -> None:
    until, beat = time.monotonic() + DEADLINE, None
    while outputs(house):
        assert time.monotonic() < until, outputs(house)
        beat = daemon.next_beat(beat)


def test_jobs_stay_for_as_long_as_the_configuration_says(house: House) -> None:
    """ "none" keeps a status for ever, and a reload may change that."""
    daemon = house.start(retention__completed="none", retention__ended="1s")
    kept = house.enqueue("quick")
    failed = int(house.cli("exec", "-q", "--max-retries", "0", "--", "sh", "-c", "exit 64"))
    daemon.wait_for("job.completed", job_id=kept)
    daemon.wait_for("job.dead_lettered", job_id=failed)
    wait_until(house, daemon, f"SELECT count(*) FROM job_queue WHERE id = {failed}", 0)
    assert house.status(kept) == "completed"
    house.write_config(retention__completed="1s")
    daemon.signal(1)
    reloaded = daemon.wait_for("configuration.reloaded")
    assert reloaded["changed"] == ["retention.completed"]
    wait_until(house, daemon, "SELECT count(*) FROM job_queue", 0)
    assert daemon.stop() == 0


def test_output_without_a_job_is_removed_at_the_next_start(house: House) -> None:
    """A deletion may be cut short between the rows and the files."""
    job_id = house.enqueue("quick", delay=3600)
    for number in (job_id, 4711):
        (house.root / "jobd.db.attempts" / str(number) / "1").mkdir(parents=True)
    others = {"note.txt", "4711.txt", "x.stdout"}
    for name in ("4711.stderr", "4712.stdout", *others):
        (house.root / "jobd.db.attempts" / name).write_text("by another hand")
    daemon = house.start(**SHORT)
    until, beat = time.monotonic() + DEADLINE, None
    while outputs(house) != {str(job_id), *others}:
        assert time.monotonic() < until
        beat = daemon.next_beat(beat)
    assert daemon.stop() == 0


def test_a_long_log_is_cut_when_it_is_quiet(house: House) -> None:
    """Nothing else has to be written for that; otherwise it would come once a minute."""
    daemon = house.start(retention__completed="none", retention__ended="none")
    house.queue.enqueue_many([("quick", {"n": 1, "text": "x" * 500_000})] * 20, delay=3600)
    wal, end, beat = Path(f"{house.db}-wal"), time.monotonic() + 2 * DEADLINE, None
    assert wal.stat().st_size > WAL_LIMIT
    while wal.stat().st_size > WAL_LIMIT:
        assert time.monotonic() < end, daemon.account()
        beat = daemon.next_beat(beat)
    assert wal.stat().st_size == WAL_LIMIT
    assert daemon.stop() == 0


def test_a_soak_leaves_a_bounded_file(house: House) -> None:
    """Under a load that would fill it many times over, file and log stay small.

    Payloads of 20 kB at some hundred a second are some MB each second; what is kept is the last
    second's. When it is quiet again the log is cut, and never below what was grown at the start.
    """
    house.handlers('@job("eats")\ndef eats(text):\n    return None\n')
    daemon = house.start(**SHORT, timing__heartbeat="1s")
    wal, largest, longest, put = Path(f"{house.db}-wal"), 0, 0, 0
    until = time.monotonic() + SOAK_SECONDS
    while time.monotonic() < until:
        house.queue.enqueue_many([("eats", {"text": "x" * 20_000})] * 20)
        put += 20
        largest = max(largest, house.db.stat().st_size)
        longest = max(longest, wal.stat().st_size)
        if put % 1000 == 0:
            _wait_for_few(house, daemon)
    _wait_for_few(house, daemon, few=0)
    end, beat = time.monotonic() + 3 * DEADLINE, None
    while wal.stat().st_size > WAL_LIMIT or house.db.stat().st_size > SMALL:
        assert time.monotonic() < end, (wal.stat().st_size, house.db.stat().st_size)
        beat = daemon.next_beat(beat)
    print(f"{put} jobs of 20 kB in {SOAK_SECONDS:.0f} s: the file was {largest >> 20} MiB at most, "
          f"its log {longest >> 20} MiB, and in the end {house.db.stat().st_size >> 20} MiB and "
          f"{wal.stat().st_size >> 20} MiB")
    assert wal.stat().st_size == WAL_LIMIT
    assert longest < 64 << 20
    assert largest < 100 << 20
    assert daemon.stop() == 0


def _wait_for_few(house: House, daemon: RunningDaemon, few: int = 1000) -> None:
    end = time.monotonic() + 3 * DEADLINE
    while house.rows("SELECT count(*) FROM job_queue")[0][0] > few:
        assert time.monotonic() < end, daemon.account()
        daemon.stays_silent(0.1)
