"""No room for what a handler prints: the job does not notice, and it is told once."""

import errno

import pytest

from tests.daemon.harness import House
from tests.daemon.villain import logs
from tests.faults.disk import WRITES, FaultyDisk

HANDLERS = """
@job("goes_on")
def goes_on(gates: list):
    print("with room")
    say("first")
    wait_at(gates[0])
    for _ in range(10):
        print("x" * 99)
    say("second")
    wait_at(gates[1])
    print("with room again")
"""


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_a_handler_that_prints_goes_on_without_room(
    isolation: str, house: House, disk: FaultyDisk
) -> None:
    """Nothing is raised; the gap is marked in the file and logged once when the attempt is over."""
    house.handlers(HANDLERS)
    gates = [house.gate("one"), house.gate("two")]
    daemon = house.start(env=disk.env)
    job_id = house.enqueue("goes_on", {"gates": ["one", "two"]}, isolation=isolation)
    daemon.wait_for("job.logged", message="first")
    disk.fail(WRITES, errno.ENOSPC, f"/{job_id}.stdout")
    gates[0].open()
    daemon.wait_for("job.logged", message="second")
    disk.heal()
    gates[1].open()
    daemon.wait_for("job.completed", job_id=job_id)
    mark = b"\n[jobd: 1000 bytes dropped: No space left on device]\n"
    assert logs(house, str(job_id), "--stream", "stdout")[0] == (
        b"with room\n" + mark + b"with room again\n"
    )
    (told,) = daemon.events("job.output_dropped")
    assert (told["job_id"], told["attempt"], told["bytes"]) == (job_id, 1, 1000)
    assert told["error"] == "No space left on device"
    daemon.wait_stderr("x" * 99)
