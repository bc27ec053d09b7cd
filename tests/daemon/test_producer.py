"""`jobd.Queue` in other processes and threads, beside a running daemon."""

import signal
import subprocess
import sys
import threading

import pytest

import jobd
from jobd import errors
from tests.daemon.harness import House

FORKS = """
import os, sys
import jobd
queue = jobd.Queue(sys.argv[1])
mine = [int(queue.enqueue("quick", {"n": 0}))]
children = []
for number in range(1, 4):
    pid = os.fork()
    if pid == 0:
        for _ in range(20):
            queue.enqueue("quick", {"n": number})
        os._exit(0)
    children.append(pid)
for _ in range(20):
    queue.enqueue("quick", {"n": 0})
status = [os.waitpid(pid, 0)[1] for pid in children]
queue.enqueue("quick", {"n": 0})
queue.close()
sys.exit(max(status))
"""

ENDLESS = """
import sys
import jobd
queue = jobd.Queue(sys.argv[1])
while True:
    print(int(queue.enqueue("quick")), flush=True)
"""


def test_many_threads_share_one_queue(house: House) -> None:
    """Sixteen threads, one Queue: every job is there once, and every one runs."""
    daemon, queue = house.start("--workers", "2"), house.queue
    ids: list[int] = []
    problems: list[BaseException] = []

    def produce() -> None:
        try:
            ids.extend([queue.enqueue("quick") for _ in range(25)])
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=produce) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(set(ids)) == 400
    daemon.wait_for_all("job.completed", ids)
    assert len(house.spans()) == 400


def test_a_forked_child_enqueues_through_a_connection_of_its_own(house: House) -> None:
    """Parent and children enqueue at once after a fork; the parent's Queue is none the worse."""
    daemon = house.start("--workers", "2")
    done = subprocess.run([sys.executable, "-c", FORKS, str(house.db)], capture_output=True,
                          text=True, check=False, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
    counted = house.rows("SELECT payload, count(*) FROM job_queue GROUP BY payload ORDER BY 1")
    assert [tuple(row) for row in counted] == [
        ('{"n":0}', 22), ('{"n":1}', 20), ('{"n":2}', 20), ('{"n":3}', 20)]
    daemon.wait_for_all("job.completed", range(1, 83))
    assert [tuple(row) for row in house.rows("PRAGMA integrity_check")] == [("ok",)]


def test_what_was_acknowledged_survives_the_producers_death(house: House) -> None:
    """SIGKILL amid enqueues: every id that was handed out is there, at most one more."""
    producer = subprocess.Popen([sys.executable, "-c", ENDLESS, str(house.db)],
                                stdout=subprocess.PIPE, text=True)
    assert producer.stdout is not None
    told = [int(producer.stdout.readline()) for _ in range(50)]
    producer.send_signal(signal.SIGKILL)
    told += [int(line) for line in producer.stdout if line.endswith("\n")]
    producer.wait()
    producer.stdout.close()
    found = [row["id"] for row in house.rows("SELECT id FROM job_queue ORDER BY id")]
    assert found[:len(told)] == told
    assert len(found) <= len(told) + 1
    house.start().wait_for("job.completed", job_id=found[-1])


def test_wait_returns_the_ended_job_and_gives_up_in_time(house: House) -> None:
    """`wait` returns what `get` would; TimeoutError when it has not ended."""
    gate = house.gate("shut")
    daemon = house.start()
    job_id = house.enqueue("gated", {"gate": "shut"})
    daemon.wait_for("job.logged", job_id=job_id)
    with pytest.raises(TimeoutError, match=f"job {job_id} has not ended"):
        house.queue.wait(job_id, timeout=0.1)
    gate.open()
    ended = house.queue.wait(job_id, timeout=10)
    assert ended == house.queue.get(job_id)
    assert (ended["status"], ended["attempt"]) == ("completed", 1)
    with pytest.raises(errors.NotFound):
        house.queue.wait(999, timeout=1)


def test_a_unique_key_is_one_live_job(house: House) -> None:
    """The second call gets the first one's id; once that has ended the key is free."""
    gate = house.gate("shut")
    daemon = house.start()
    payload = {"gate": "shut"}
    first = house.queue.enqueue("gated", payload, unique_key="nightly")
    daemon.wait_for("job.logged", job_id=first)
    again = house.queue.enqueue("gated", payload, unique_key="nightly")
    assert (first.created, again.created, int(again)) == (True, False, int(first))
    gate.open()
    daemon.wait_for("job.completed", job_id=first)
    other = house.queue.enqueue("gated", payload, unique_key="nightly")
    assert other.created
    daemon.wait_for("job.completed", job_id=other)
    assert len(house.spans()) == 2


def test_a_unique_key_is_kept_through_failure_and_rescue(house: House) -> None:
    """retrying and running after a rescue are live; `retry` of a loser is refused by name."""
    house.handlers("""
@job("fails")
def fails():
    raise OSError
""")
    daemon = house.start(retry__system__initial_delay="1h", retry__system__max_delay="1h")
    first = house.enqueue("fails", unique_key="k")
    daemon.wait_for("job.retry_scheduled", job_id=first)
    assert house.enqueue("fails", unique_key="k") == first
    house.queue.cancel(first)
    second = house.enqueue("fails", unique_key="k")
    assert second != first
    house.cli("retry", str(first), expect=1)
    assert f"job {second}" in house.said


def test_a_request_id_is_one_job_ever(house: House) -> None:
    """Repeating a call after its job has ended still gives that job."""
    daemon = house.start()
    first = house.queue.enqueue("quick", request_id="order-17")
    daemon.wait_for("job.completed", job_id=first)
    again = house.queue.enqueue("quick", request_id="order-17")
    assert (int(again), again.created) == (int(first), False)
    many = house.queue.enqueue_many(
        [("quick", {}, {"request_id": "order-17"}), ("quick", {}, {"request_id": "order-18"})])
    assert [(int(i), i.created) for i in many] == [(first, False), (many[1], True)]
    daemon.wait_for("job.completed", job_id=many[1])
    assert len(house.spans()) == 2


def test_enqueue_many_is_all_or_none(house: House) -> None:
    """One bad job among many: its place is named, and nothing was stored."""
    jobs = [("quick", {"n": 1}), ("quick", {"n": float("nan")}), ("quick", {"n": 3})]
    with pytest.raises(errors.BadInput, match="job 1: "):
        house.queue.enqueue_many(jobs)
    assert house.rows("SELECT count(*) FROM job_queue")[0][0] == 0
    ids = house.queue.enqueue_many(jobs[::2], priority=3)
    assert [house.job(i)["priority"] for i in ids] == [3, 3]


def test_a_migration_underneath_is_noticed(house: House) -> None:
    """After `migrate down` each call says SchemaChanged and writes nothing; after `up` it works."""
    queue = house.queue
    first = house.enqueue("quick")
    house.cli("migrate", "down")
    with pytest.raises(errors.SchemaChanged):
        queue.enqueue("quick")
    with pytest.raises(errors.SchemaError):
        jobd.Queue(house.db)
    house.cli("migrate", "up")
    second = int(queue.enqueue("quick"))
    daemon = house.start()
    daemon.wait_for_all("job.completed", [first, second])
    assert house.rows("SELECT count(*) FROM job_queue")[0][0] == 2


def test_asking_through_the_queue(house: House) -> None:
    """cancel, release and retry of a Queue act on a running daemon as the verbs do."""
    daemon = house.start()
    cancelled, released = house.enqueue("patient"), house.enqueue("patient")
    daemon.wait_for_all("job.logged", [cancelled, released])
    house.queue.cancel(cancelled)
    daemon.wait_for("job.cancelled", job_id=cancelled)
    house.queue.release(released)
    daemon.wait_for("job.logged", job_id=released, attempt=2)
    with pytest.raises(errors.Refused, match="still executing"):
        house.queue.retry(released)
    house.queue.retry(cancelled)
    daemon.wait_for("job.logged", job_id=cancelled, attempt=2)
    with pytest.raises(errors.NotFound):
        house.queue.cancel(999)
