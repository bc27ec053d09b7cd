"""A file system without one free byte, at every place where jobd writes. Nobody's data goes.

That outcomes wait for room, and that a stop does not, is in tests/daemon/test_disk_and_locks.py;
that the watchdog is fed meanwhile, in tests/systemd/test_notify.py.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd import errors
from tests.daemon.harness import House
from tests.faults.disk import fill, mounted
from tests.faults.test_failing_calls import beats, complaints


@pytest.fixture
def small(house: House) -> Iterator[Path]:
    """A directory on a file system of twelve megabytes."""
    directory = house.root / "small"
    directory.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=12m", "tmpfs", str(directory)):
        yield directory
        house.put_away()


def refused(house: House, *words: str) -> str:
    """What `jobd WORDS` says when it exits with 75: one sentence."""
    ended = subprocess.run(house.argv(*words), env=house.env, capture_output=True, text=True,
                           check=False, timeout=60)
    assert (ended.returncode, ended.stdout) == (75, ""), ended
    assert [line[:6] for line in ended.stderr.splitlines()] == ["jobd: "]
    assert str(house.db) in ended.stderr
    return ended.stderr


RUN = ("run", "--handlers", "handlers", "--path")


@pytest.mark.parametrize("there", [True, False], ids=["a database", "none yet"])
def test_nothing_starts_on_a_full_disk_and_all_does_once_there_is_room(
    there: bool, house: House, small: Path
) -> None:
    """`run` and `enqueue` say that there is no space, exit 75, and leave nothing half-made."""
    house.db = small / "jobd.db"
    if there:
        house.enqueue("quick")
        house.queue.close()
    filler = fill(small)
    for words in ((*RUN, str(house.code)), ("enqueue", "quick")):
        assert "no space left" in refused(house, *words).lower()
    filler.unlink()
    job_id = house.enqueue("quick")
    assert job_id == 1 + there
    house.start().wait_for("job.completed", job_id=job_id)


def enqueue_until_full(house: House, payload: dict[str, object]) -> int:
    """How many jobs still found room."""
    for taken in range(10):
        try:
            house.enqueue("quick", payload, delay=3600)
        except errors.DatabaseFull:
            return taken
    raise AssertionError("there is room for ten megabytes")


def test_an_enqueue_that_finds_no_room_stores_nothing(house: House, small: Path) -> None:
    """Beside a daemon: `jobd enqueue` with a large payload is refused in one sentence."""
    house.db = small / "jobd.db"
    daemon = house.start()
    pad = {"n": 0, "pad": "x" * 1_000_000}
    payload = house.root / "payload"
    payload.write_text(json.dumps(pad))
    enqueue = ("enqueue", "quick", "--payload", f"@{payload}", "--in", "1h")
    filler = fill(small)
    taken = enqueue_until_full(house, pad)
    assert "no space left" in refused(house, *enqueue)
    assert house.rows("SELECT count(*) FROM job_queue")[0][0] == taken
    filler.unlink()
    house.cli(*enqueue)
    assert house.rows("SELECT count(*) FROM job_queue")[0][0] == taken + 1
    assert daemon.stop() == 0


def test_a_batch_that_finds_no_room_is_told_and_taken_out_later(house: House, small: Path) -> None:
    """What could not be taken out either never runs, and goes when the batch is made again."""
    house.db = small / "jobd.db"
    filler: list[Path] = []

    def items() -> Iterator[dict[str, object]]:
        for number in range(20):
            if number == 10:
                filler.append(fill(small))
            yield {"n": number, "pad": "x" * 500_000}

    with pytest.raises(errors.DatabaseFull, match=r"no space left.* never runs, and is taken out"):
        house.queue.batch("b", "quick", items())
    assert house.rows("SELECT count(*) FROM batch_items")[0][0] > 0
    filler[0].unlink()
    house.queue.batch("b", "quick", [{"n": 1}])
    assert house.rows("SELECT count(*) FROM batch_items")[0][0] == 1


def test_a_full_disk_under_the_log_costs_lines_and_no_job(house: House, small: Path) -> None:
    """Jobs go on without their log; afterwards it says how many lines are missing, none is torn."""
    log = small / "jobd.log"
    daemon = house.launch(log__file=str(log))
    house.queue.wait(house.enqueue("quick"), timeout=20)
    filler = fill(small)
    while log.stat().st_size % 4096:  # what is left of its last page
        house.queue.wait(house.enqueue("quick"), timeout=20)
    ids = [house.enqueue("quick") for _ in range(20)]
    for job_id in ids:
        assert house.queue.wait(job_id, timeout=20)["status"] == "completed"
    filler.unlink()
    house.queue.wait(house.enqueue("quick"), timeout=20)
    assert daemon.stop() == 0
    said = []
    for line in log.read_text().splitlines():
        try:
            said.append(json.loads(line)["event"])
        except ValueError:
            said.append("torn")
    assert said.count("torn") <= 1, "only the line at which the room ended"
    assert "log.dropped" in said
    assert said[-1] == "daemon.stopped"


def test_a_command_that_fills_the_disk_ends_and_the_daemon_lives(
    house: House, small: Path
) -> None:
    """Its output is cut to the limit, which makes the room in which its outcome is stored."""
    house.db = small / "jobd.db"
    daemon = house.start(commands__max_output=65_536)
    beats(daemon, 2)  # each sweep has its connection now
    house.cli("exec", "--max-retries", "0", "--", "sh", "-c", "head -c 30000000 /dev/zero; true")
    daemon.wait_for("job.completed", job_id=1, deadline=30)
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    assert set(complaints(daemon)) <= {"store.full", "store.checkpoint_failed"}
    assert daemon.stop() == 0
