"""A batch beside a real daemon: limits, turns, pauses and stops, and exactly one end a run."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from jobd import Batch
from tests.daemon.harness import House, RunningDaemon, most_at_once

KILLS = int(os.environ.get("JOBD_TEST_KILLS", "6"))
SEED = int(os.environ.get("JOBD_TEST_SEED", "20261122"))

HANDLERS = """
@job("told")
def told(batch):
    say("told", batch=batch)

@job("work")
def work(n: int, ms: int = 0):
    time.sleep(ms / 1000)
    return n

@job("picky")
def picky(n: int, bad: int = 3):
    if n % bad == 0:
        raise jobd.Fail("divisible")
    return n

@job("counted")
def counted(to: int):
    me = jobd.current_job()
    start = me.last_checkpoint or 0
    for number in range(start, to):
        me.progress(number, to)
        me.checkpoint(number)
        if number == to // 2 and start < number:
            say("half way", number=number)
            me.sleep(60)
    return [start, to]
"""


@pytest.fixture(autouse=True)
def _handlers(house: House) -> None:
    house.handlers(HANDLERS)


def check_counters(house: House, batch: Batch) -> dict[str, Any]:
    """The batch as it is; its counters are what a count says."""
    row = house.rows("SELECT * FROM batch_jobs WHERE id = ?", batch.id)[0]
    found = dict(house.rows(
        "SELECT status, count(*) FROM batch_item_status WHERE batch_job_id = ? GROUP BY 1",
        batch.id,
    ))
    assert row["total_items"] == sum(found.values())
    assert row["successful_items"] == found.get("completed", 0)
    assert row["failed_items"] == found.get("failed", 0)
    assert row["cancelled_items"] == found.get("cancelled", 0)
    return dict(row)


def callbacks(house: House) -> list[tuple[int, int]]:
    """(batch, run) of each callback that was ever enqueued."""
    rows = house.rows("SELECT payload FROM job_queue WHERE job_type = 'told' ORDER BY id")
    told = [json.loads(row["payload"])["batch"] for row in rows]
    return [(each["id"], each["run"]) for each in told]


def results(house: House, batch: Batch) -> list[Any]:
    """What the items returned, in input order."""
    rows = house.rows(
        "SELECT result FROM batch_item_status WHERE batch_job_id = ? ORDER BY position", batch.id
    )
    return [row["result"] and json.loads(row["result"]) for row in rows]


def finished(daemon: RunningDaemon, batch: Batch, **keys: Any) -> dict[str, Any]:
    return daemon.wait_for("batch.finished", batch_id=batch.id, **keys)


def test_a_batch_runs_within_its_limit_and_ends_with_its_last_item(house: House) -> None:
    """No more than so many items at once; the callback says what became of them."""
    batch = house.queue.batch("b", "work", ({"n": n, "ms": 5} for n in range(40)), concurrency=2,
                              on_success="told", on_failure="quick")
    daemon = house.start("--workers", "4")
    single = house.enqueue("quick")
    line = finished(daemon, batch)
    assert (line["status"], line["successful_items"], line["run"]) == ("completed", 40, 1)
    assert results(house, batch) == list(range(40))
    items = {row["job_id"] for row in house.rows("SELECT job_id FROM batch_items")}
    assert most_at_once([each for each in house.spans() if each.job_id in items]) == 2
    daemon.wait_for("job.completed", job_id=single)
    daemon.wait_for("job.logged", message="told")
    check_counters(house, batch)


def test_a_large_batch_holds_up_no_single_job(house: House) -> None:
    """A job of equal priority that comes later takes turns with the items."""
    batch = house.queue.batch("b", "work", ({"n": n, "ms": 2} for n in range(3_000)))
    daemon = house.start("--workers", "1")
    daemon.wait_for("batch.started")
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    assert check_counters(house, batch)["completed_items"] < 1_500
    batch.cancel()
    assert finished(daemon, batch)["status"] == "cancelled"


def test_the_beat_of_the_pool_counts_what_is_left_of_batches(house: House) -> None:
    """Items are not among the ready jobs, and a log without them would look idle."""
    batch = house.queue.batch("b", "work", ({"n": n} for n in range(40)))
    batch.pause()
    daemon = house.start(timing__heartbeat="100ms")
    beat = daemon.wait_for("pool.health", batch_items=40)
    assert beat["ready"] == 0
    batch.resume()
    daemon.wait_for("pool.health", after=finished(daemon, batch), batch_items=0)


def test_items_that_no_handler_waits_for_are_told_with_other_jobs(house: House) -> None:
    """They are claimed by what their batch says, and looked for there."""
    house.enqueue("nosuch")
    house.queue.batch("b", "nosuch", [{}] * 3)
    house.start().wait_ready()
    (problem,) = house.cli_json("health", expect=1)["problems"]
    assert problem["cause"] == "without_handler"
    assert "4 jobs of type nosuch wait" in problem["text"]


def test_failed_items_stop_their_batch(house: House) -> None:
    """The items that wait are cancelled, the batch ends as failed, and may be run again."""
    batch = house.queue.batch("b", "picky", ({"n": n} for n in range(1, 2_001)), stop_after=5,
                              on_failure="told")
    daemon = house.start("--workers", "2")
    stopped = daemon.wait_for("batch.stopped", batch_id=batch.id)
    assert stopped["reason"].endswith("items failed, and 5 stop it")
    line = finished(daemon, batch)
    assert (line["status"], line["failed_items"] >= 5) == ("failed", True)
    row = check_counters(house, batch)
    assert row["cancelled_items"] > 1_000
    assert batch.retry_failed() == row["failed_items"]
    finished(daemon, batch, run=2)
    check_counters(house, batch)
    assert callbacks(house) == [(batch.id, 1), (batch.id, 2)]


def test_an_item_of_a_stopped_batch_runs_again_alone(house: House) -> None:
    """What failed before does not stop the run of what is brought back now."""
    batch = house.queue.batch("b", "picky", ({"n": n} for n in (3, 6, 7, 8)), concurrency=1,
                              error_handling="stop")
    daemon = house.start("--workers", "1")
    assert finished(daemon, batch)["cancelled_items"] == 3
    third = house.rows("SELECT job_id FROM batch_items WHERE position = 3")[0]["job_id"]
    house.cli("retry", str(third))
    assert finished(daemon, batch, run=2)["successful_items"] == 1
    assert house.status(third) == "completed"
    check_counters(house, batch)


def test_a_pause_lets_items_finish_and_outlives_the_daemon(house: House) -> None:
    """Nothing more begins until the batch is resumed, also after a restart."""
    gate = house.gate("open")
    batch = house.queue.batch("b", "gated", [{"gate": "open"}] * 5)
    daemon = house.start("--workers", "1")
    daemon.wait_for("job.logged", message="at the gate")
    house.queue.find_batch("b").pause()
    daemon.wait_for("batch.paused", batch_id=batch.id)
    gate.open()
    daemon.wait_for("job.completed")
    assert daemon.stop() == 0
    daemon = house.start("--workers", "1")
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    assert check_counters(house, batch)["completed_items"] == 1
    batch.resume()
    assert finished(daemon, batch)["successful_items"] == 5


def test_a_pause_that_stops_goes_on_from_the_checkpoint(house: House) -> None:
    """A released item begins again where it was, and nothing is charged."""
    batch = house.queue.batch("b", "counted", [{"to": 10}])
    daemon = house.start("--workers", "1")
    daemon.wait_for("job.logged", message="half way")
    batch.pause(stop=True)
    daemon.wait_for("job.released")
    assert house.rows("SELECT state FROM batch_checkpoints")[0]["state"] == "5"
    batch.resume()
    finished(daemon, batch)
    assert results(house, batch) == [[5, 10]]
    assert house.rows("SELECT count(*) AS n FROM batch_checkpoints")[0]["n"] == 0


def test_a_cancel_that_stops_ends_what_runs(house: House) -> None:
    """Running items are told to stop, waiting ones never begin."""
    batch = house.queue.batch("b", "patient", [{}] * 1_200, on_end="told", on_success="quick")
    daemon = house.start("--workers", "2")
    daemon.wait_for("job.logged", message="waiting")
    batch.cancel(stop=True)
    line = finished(daemon, batch)
    assert (line["status"], line["cancelled_items"]) == ("cancelled", 1_200)
    assert callbacks(house) == [(batch.id, 1)]
    check_counters(house, batch)


def test_items_of_an_unknown_type_wait_and_stand_in_nobody_s_way(house: House) -> None:
    """They are taken by the next daemon that has a handler."""
    batch = house.queue.batch("b", "later", [{"n": 1}, {"n": 2}])
    daemon = house.start()
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    assert check_counters(house, batch)["status"] == "queued"
    daemon.stop()
    house.handlers(HANDLERS + '\n@job("later")\ndef later(n):\n    return n\n')
    assert finished(house.start(), batch)["successful_items"] == 2


MAKER = """
import sys, jobd
def items():
    for n in range(10**9):
        if n == 5_000:
            print("half", flush=True)
        if n == 6_000:
            sys.stdin.read()
        yield {"n": n}
jobd.Queue(sys.argv[1]).batch("half", "work", items())
"""


def test_what_a_dead_maker_left_is_removed(house: House) -> None:
    """Nothing of it ever runs, and its name is free; one that lives is let be."""
    daemon = house.start()
    maker = subprocess.Popen(
        [sys.executable, "-c", MAKER, str(house.db)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env=house.env,
    )
    assert maker.stdin is not None
    assert maker.stdout is not None
    assert maker.stdout.readline() == b"half\n"
    maker.send_signal(signal.SIGKILL)
    maker.wait()
    daemon.wait_for("batch.removed", batch="half")
    assert house.rows("SELECT count(*) AS n FROM job_queue")[0]["n"] == 0
    assert house.spans() == []
    batch = house.queue.batch("half", "work", [{"n": 1}])
    finished(daemon, batch)
    maker.stdin.close()
    maker.stdout.close()


def test_a_batch_survives_kills_pauses_and_resumes(house: House) -> None:
    """At random moments; each item completes, the counters are true, and one end is told."""
    chance = random.Random(SEED)
    batch = house.queue.batch("b", "work", ({"n": n, "ms": 4} for n in range(600)),
                              on_end="told", concurrency=3)
    for _ in range(KILLS):
        daemon = house.start("--workers", "4")
        for verb in chance.choices((batch.pause, batch.resume), k=2):
            threading.Event().wait(chance.uniform(0, 0.1))
            if batch.get()["status"] in ("queued", "processing", "paused"):
                verb()
        threading.Event().wait(chance.uniform(0, 0.2))
        daemon.kill()
        check_counters(house, batch)
    if batch.get()["status"] == "paused":
        batch.resume()
    daemon = house.start("--workers", "4")
    assert batch.wait(30)["status"] == "completed"
    assert results(house, batch) == list(range(600))
    check_counters(house, batch)
    assert callbacks(house) == [(batch.id, 1)]
