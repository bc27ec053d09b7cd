"""What commands write: bounded, marked where it was cut, kept byte for byte otherwise."""

import re
import sys
import threading
from pathlib import Path

import pytest

from tests.daemon.harness import House
from tests.daemon.villain import logs, until

MAX = 64 * 1024
MARK = re.compile(rb"\n\[jobd: (\d+) bytes cut\]\n")

FLOOD = """
import os, sys, time
piece = bytes(range(256)) * 400
while True:
    os.write(1, piece)
    os.write(2, piece)
    time.sleep(0.01)
"""

WRITES_ON_AFTER_EACH_CUT = """
import os, time
for _ in range(3):
    os.write(1, b"x" * 200_000)
    while os.fstat(1).st_size > 150_000:
        time.sleep(0.005)
os.write(1, b"the end")
"""

CUT_BEFORE_IT_ENDS = """
while os.fstat(2).st_size > 150_000:
    time.sleep(0.005)
"""

LEAVES_A_WRITER = """
import os, sys, time
if os.fork() == 0:
    for _ in range(100):
        os.write(1, b"x" * 20_000)
        time.sleep(0.01)
    open(sys.argv[1], "w").close()
"""


@pytest.fixture
def flooded(house: House) -> House:
    """A house with a daemon that keeps little."""
    house.start(commands__max_output=MAX)
    return house


def exec_python(house: House, script: str, *args: str) -> int:
    return int(house.cli("exec", "-q", "--max-retries", "0", "--", sys.executable, "-ISc", script,
                         *args))


def test_what_an_earlier_database_left_is_not_this_jobs(house: House) -> None:
    """The file was deleted and made anew, and the directory of outputs is still there."""
    left = stream(house, 1, "stdout")
    left.parent.mkdir(parents=True)
    left.write_text("of another job\n")
    daemon = house.start()
    job_id = int(house.cli("exec", "-q", "--", "echo", "ours"))
    daemon.wait_for("job.completed", job_id=job_id)
    assert (job_id, logs(house, "1")[0]) == (1, b"ours\n")


def stream(house: House, job_id: int, name: str) -> Path:
    """The file of one stream of a job's first attempt, as ARCHITECTURE.md says where it is."""
    return Path(f"{house.db}.attempts") / str(job_id) / "1" / name


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_a_flood_is_bounded_and_can_be_cancelled(flooded: House) -> None:
    """Ten megabytes a second without end: small marked files, no memory, and cancel works."""
    daemon = flooded.daemons[-1]
    before = resident(daemon.pid)
    job_id = exec_python(flooded, FLOOD)
    files = [stream(flooded, job_id, name) for name in ("stdout", "stderr")]
    largest, cuts, last = 0, 0, 0
    until(files[1].exists)
    while cuts < 8:
        threading.Event().wait(0.002)
        now = size(files[1])
        cuts, last, largest = cuts + (now < last), now, max(largest, now)
    assert largest < MAX + 8_000_000
    assert resident(daemon.pid) - before < 16_000_000
    flooded.cli("cancel", str(job_id))
    daemon.wait_for("job.cancelled", job_id=job_id)
    for file in files:
        kept = file.read_bytes()
        assert len(kept) < MAX + 100
        assert MARK.search(kept)
        assert kept[: MAX // 2] == (bytes(range(256)) * 400)[: MAX // 2]


def test_the_marks_tell_how_much_was_cut(flooded: House) -> None:
    """What is kept and what the marks say was cut add up to what was written."""
    job_id = exec_python(flooded, WRITES_ON_AFTER_EACH_CUT)
    flooded.daemons[-1].wait_for("job.completed", job_id=job_id)
    kept = logs(flooded, str(job_id))[0]
    cut = sum(int(number) for number in MARK.findall(kept))
    assert kept.endswith(b"the end")
    assert len(MARK.sub(b"", kept)) + cut == 600_007


@pytest.mark.parametrize("before_its_end", ["", CUT_BEFORE_IT_ENDS])
def test_a_failure_after_a_flood_is_told_in_the_programs_words(
    flooded: House, before_its_end: str
) -> None:
    """The error message is the program's last line, cut by a sweep or when it had ended."""
    words = r"b'noise ' * 50_000 + b'\nthe disk is on fire\n'"
    job_id = exec_python(
        flooded, f"import os, time\nos.write(2, {words})\n{before_its_end}\nos._exit(1)"
    )
    line = flooded.daemons[-1].wait_for("job.dead_lettered", job_id=job_id)
    assert line["error"] == "exited with 1: the disk is on fire"
    assert size(stream(flooded, job_id, "stderr")) < MAX + 100


def test_what_a_good_command_left_behind_may_not_write_without_bound(flooded: House) -> None:
    """A process that outlives its job goes on writing to the job's file, which stays bounded."""
    done = flooded.root / "done"
    job_id = exec_python(flooded, LEAVES_A_WRITER, str(done))
    flooded.daemons[-1].wait_for("job.completed", job_id=job_id)
    until(done.exists)
    file = stream(flooded, job_id, "stdout")
    until(lambda: size(file) < MAX + 100, 3)


def test_binary_output_is_kept_byte_for_byte(house: House) -> None:
    """A quarter of a million random bytes, on both streams."""
    daemon = house.start()
    copy = house.root / "copy"
    script = f"head -c 250000 /dev/urandom | tee {copy} | tee /dev/stderr"
    job_id = int(house.cli("exec", "-q", "--", "sh", "-c", script))
    daemon.wait_for("job.completed", job_id=job_id)
    assert logs(house, str(job_id)) == (copy.read_bytes(), copy.read_bytes())


def test_captured_output_is_private(house: House) -> None:
    """The files are 0600, and their directories are open to nobody else."""
    daemon = house.start()
    job_id = int(house.cli("exec", "-q", "--", "true"))
    daemon.wait_for("job.completed", job_id=job_id)
    file = stream(house, job_id, "stdout")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [parent.stat().st_mode & 0o007 for parent in list(file.parents)[:3]] == [0, 0, 0]
