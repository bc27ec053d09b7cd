"""The power fails: what had reached the disk, and only that, is there afterwards.

An ext4 on a file stands for the disk. The processes are frozen, and the file is copied as it is:
it holds what the file system had written out, and nothing of what was only in memory.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon.harness import House, Lines
from tests.faults.disk import mounted
from tests.faults.walk import WIDE

CUTS = 20 if WIDE else 2

PRODUCER = """
import sys, jobd
with jobd.Queue(sys.argv[1]) as queue:
    while True:
        print(int(queue.enqueue("quick")), flush=True)
"""


def make_disk(image: Path) -> None:
    """An empty ext4 of forty megabytes in a file."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("a disk in a file needs root and mkfs.ext4")
    with image.open("wb") as file:
        file.truncate(40 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-b", "4096", image], check=True)


def freeze(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)


def test_what_was_acknowledged_survives_a_power_cut(house: House) -> None:
    """Every id that enqueue returned and every outcome in the log is in what the disk holds."""
    image, before = house.root / "image", house.root / "before"
    make_disk(image)
    before.mkdir()
    with mounted("-o", "loop", str(image), str(before)):
        house.db = before / "jobd.db"
        for cut in range(CUTS):
            daemon = house.start()
            producer = subprocess.Popen([sys.executable, "-c", PRODUCER, str(house.db)],
                                        stdout=subprocess.PIPE)
            told = Lines(producer.stdout, int)
            assert told.first(bool, 30 + 50 * cut, 20) is not None
            daemon.wait_for("job.completed")
            daemon.freeze()
            freeze(producer)
            cut_at = house.root / f"cut{cut}"
            shutil.copyfile(image, cut_at)
            producer.kill()
            producer.wait()
            daemon.kill()
            told.join()
            completed = [line["job_id"] for line in daemon.events("job.completed")]
            look_at(house, cut_at, told.seen, completed)
        house.put_away()


def look_at(house: House, image: Path, acknowledged: list[int], completed: list[int]) -> None:
    """Mount the copy, as a machine that comes up again does, and compare."""
    after, here = house.root / f"{image.name}.after", house.db
    after.mkdir()
    with mounted("-o", "loop", str(image), str(after)):
        house.db = after / "jobd.db"
        assert [tuple(row) for row in house.rows("PRAGMA integrity_check")] == [("ok",)]
        status = {row["id"]: row["status"] for row in house.rows("SELECT * FROM job_queue")}
        assert set(acknowledged) - set(status) == set()
        assert {status[job_id] for job_id in completed} <= {"completed"}
        assert acknowledged
        assert completed
    house.db = here
