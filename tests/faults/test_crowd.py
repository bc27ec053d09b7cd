"""Four producers, a daemon and a waiting one on one file: nobody starves, nobody sees a lock."""

from tests.daemon.harness import House
from tests.faults.crowd import crowd
from tests.faults.test_failing_calls import complaints
from tests.faults.walk import WIDE

SECONDS = 60 if WIDE else 5
SLOWEST_P99 = 0.25
SLOWEST = 2.0
LEAST_SHARE = 0.1
"""Bounds for a machine that has other things to do; `crowd.py` prints what it really takes."""


def test_no_process_starves_and_no_lock_error_reaches_a_producer(house: House) -> None:
    """p99 and the worst enqueue are bounded, each has its share, and the daemon works meanwhile."""
    active = house.start()
    waiting = house.launch()
    waiting.wait_stderr("waiting")
    producers = crowd(house.db, SECONDS)
    print("", *producers, sep="\n")
    completed = len(active.events("job.completed"))
    assert [producer.errors for producer in producers] == [[], [], [], []]
    assert max(producer.quantile(0.99) for producer in producers) < SLOWEST_P99
    assert max(max(producer.took) for producer in producers) < SLOWEST
    counts = [len(producer.ids) for producer in producers]
    assert min(counts) >= LEAST_SHARE * sum(counts) / len(counts)
    assert completed > 0
    assert complaints(active) == []
    assert waiting.process.poll() is None
    assert waiting.log == []
    stored = {row["id"] for row in house.rows("SELECT id FROM job_queue")}
    assert stored == {job_id for producer in producers for job_id in producer.ids}
    active.kill()
    waiting.wait_ready()
