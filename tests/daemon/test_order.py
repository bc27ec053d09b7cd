"""Which job is next, how many run at once, and queues that are paused or limited."""

import sqlite3
from contextlib import closing

from tests.daemon.harness import House, most_at_once

HANDLERS = """
@job("takes_a_while")
def takes_a_while(ms: int = 60):
    time.sleep(ms / 1000)

@job("stuck", timeout=0.2, queue="narrow")
def stuck(gate: str):
    say("begun")
    wait_at(gate)

@job("narrow", queue="narrow")
def narrow():
    time.sleep(0.05)
"""


def test_higher_priority_first_then_first_in_first_out(house: House) -> None:
    """One worker, jobs enqueued while it is busy: by priority, and by id within one."""
    gate = house.gate("shut")
    daemon = house.start("--workers", "1")
    blocker = house.enqueue("gated", {"gate": "shut"})
    daemon.wait_for("job.logged", job_id=blocker)
    priorities = [0, 5, -3, 5, 0, 1000, -1000, 5, 0, -3]
    ids = [house.enqueue("quick", priority=priority) for priority in priorities]
    gate.open()
    daemon.wait_for_all("job.completed", ids)
    expected = [job_id for _, job_id in sorted(zip((-p for p in priorities), ids, strict=True))]
    assert [span.job_id for span in house.spans()] == [blocker, *expected]


def test_an_urgent_job_overtakes_those_in_the_buffer(house: House) -> None:
    """Many short jobs are buffered; one of higher priority still does not wait for them all."""
    house.handlers(HANDLERS)
    many = house.queue.enqueue_many([("quick", {"n": n}) for n in range(4000)])
    daemon = house.start("--workers", "1")
    daemon.wait_for("job.completed", job_id=int(many[200]))
    urgent = house.enqueue("quick", priority=10)
    daemon.wait_for("job.completed", job_id=urgent)
    daemon.kill()
    before = [span.job_id for span in house.spans()].index(urgent)
    assert before < 3500


def test_a_queues_limit_holds_at_every_moment(house: House) -> None:
    """concurrency = 2 beside 4 workers: never more than two at once, and the others are busy."""
    house.handlers(HANDLERS)
    daemon = house.start("--workers", "4", queues__narrow__concurrency=2)
    narrow = [house.enqueue("narrow") for _ in range(8)]
    wide = [house.enqueue("takes_a_while") for _ in range(8)]
    daemon.wait_for_all("job.completed", [*narrow, *wide])
    spans = house.spans()
    assert most_at_once([span for span in spans if span.job_id in narrow]) == 2
    assert most_at_once(spans) == 4


def test_a_limited_queue_of_brief_jobs_holds_up_no_other(house: House) -> None:
    """Thousands of its jobs stand first in line; the workers it leaves idle take those behind."""
    house.handlers(HANDLERS)
    narrow = house.queue.enqueue_many([("quick", {"n": n}) for n in range(3000)], queue="narrow")
    wide = house.queue.enqueue_many([("quick", {"n": n}) for n in range(300)])
    daemon = house.start("--workers", "4", queues__narrow__concurrency=1)
    daemon.wait_for_all("job.completed", wide)
    daemon.kill()
    begun = {span.job_id for span in house.spans()}
    assert len(begun & set(map(int, narrow))) < 2000


def test_suspects_that_wait_for_each_other_hold_up_no_other(house: House) -> None:
    """Only one of them runs at a time, however many stand first in line; free workers go on."""
    house.gate("shut")
    suspects = [house.enqueue("gated", {"gate": "shut"}) for _ in range(20)]
    with closing(sqlite3.connect(house.db, isolation_level=None)) as db:
        db.execute("UPDATE job_queue SET rescue_count = 2")
    behind = house.enqueue("quick")
    daemon = house.start("--workers", "2")
    daemon.wait_for("job.completed", job_id=behind)
    why = house.cli_json("explain", str(suspects[1]))
    assert why["next_command"] == f"jobd explain {suspects[0]}"
    daemon.kill()
    assert [span.job_id for span in house.spans() if span.ended is None] == suspects[:1]


def test_suspects_of_a_batch_keep_its_places_from_no_other_item(house: House) -> None:
    """While one runs elsewhere they wait; of themselves one runs, and the rest go on beside it."""
    gate = house.gate("shut")
    elsewhere = house.enqueue("gated", {"gate": "shut"}, priority=1)
    house.queue.batch("b", "quick", [{}] * 8, concurrency=2)
    with closing(sqlite3.connect(house.db, isolation_level=None)) as db:
        db.execute("UPDATE job_queue SET rescue_count = 2 WHERE id <= 4")
    daemon = house.start("--workers", "4")
    daemon.wait_for_all("job.completed", range(5, 10))
    assert [house.status(each) for each in range(1, 5)] == ["running", *["pending"] * 3]
    gate.open()
    daemon.wait_for_all("job.completed", [elsewhere, 2, 3, 4])
    assert most_at_once([each for each in house.spans() if each.job_id in (1, 2, 3, 4)]) == 1


def test_a_zombie_counts_towards_its_queues_limit(house: House) -> None:
    """As long as a thread is stuck, its place in the queue is taken; then the queue goes on."""
    house.handlers(HANDLERS)
    gate = house.gate("shut")
    daemon = house.start("--workers", "2", queues__narrow__concurrency=1,
                         timing__zombie_hold="1s")
    stuck = house.enqueue("stuck", {"gate": "shut"}, max_retries=0)
    daemon.wait_for("job.logged", job_id=stuck)
    narrow = house.enqueue("narrow")
    daemon.wait_for("job.zombified", job_id=stuck)
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    daemon.wait_for("job.dead_lettered", job_id=stuck)
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    assert house.spans(narrow) == []
    assert house.cli_json("explain", str(stuck))["next_command"] == f"kill {daemon.process.pid}"
    gate.open()
    daemon.wait_for("job.completed", job_id=narrow)
    one, other = house.spans(stuck)[0], house.spans(narrow)[0]
    assert one.ended is not None
    assert one.ended <= other.began


def test_pause_and_resume_take_effect_on_a_running_daemon(house: House) -> None:
    """A paused queue starts nothing, what runs goes on, other queues too; resume lets it go on."""
    gate = house.gate("shut")
    daemon = house.start("--workers", "2")
    running = house.enqueue("gated", {"gate": "shut"}, queue="media")
    daemon.wait_for("job.logged", job_id=running)
    house.cli("queue", "pause", "media")
    waiting = house.enqueue("quick", queue="media", priority=5)
    other = house.enqueue("quick")
    daemon.wait_for("job.completed", job_id=other)
    gate.open()
    daemon.wait_for("job.completed", job_id=running)
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    assert house.status(waiting) == "pending"
    house.cli("queue", "resume", "media")
    daemon.wait_for("job.completed", job_id=waiting)


def test_a_pause_outlives_the_daemon(house: House) -> None:
    """A queue paused while no daemon runs, and across a restart, stays paused."""
    waiting = house.enqueue("quick", queue="media")
    house.cli("queue", "pause", "media")
    daemon = house.start()
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    assert house.status(waiting) == "pending"
    house.cli("queue", "resume", "media")
    daemon.wait_for("job.completed", job_id=waiting)


def test_a_delayed_job_runs_when_its_time_has_come_and_not_before(house: House) -> None:
    """`delay` and `at` are kept; a later job that is due now does not wait for it."""
    daemon = house.start("--workers", "1")
    delayed = house.enqueue("quick", delay=0.4)
    at_once = house.enqueue("quick")
    daemon.wait_for("job.completed", job_id=at_once)
    done = daemon.wait_for("job.completed", job_id=delayed)
    job = house.job(delayed)
    # The time of the call and that of its write may stand on two sides of a tick.
    assert 399 <= job["scheduled_at"] - job["created_at"] <= 400
    assert 0 <= job["started_at"] - job["scheduled_at"] < 300
    assert done["attempt"] == 1


def test_an_unknown_type_waits_for_a_daemon_that_has_a_handler(house: House) -> None:
    """It stays pending, stands in nobody's way, `explain` says so, and runs after a restart."""
    daemon = house.start("--workers", "1")
    unknown = [house.enqueue("resize", priority=1000) for _ in range(30)]
    known = house.enqueue("quick", priority=-1000)
    daemon.wait_for("job.completed", job_id=known)
    assert {house.status(i) for i in unknown} == {"pending"}
    assert "handler" in house.cli("explain", str(unknown[0]))
    assert daemon.stop() == 0
    house.handlers("""
@job("resize")
def resize():
    pass
""")
    again = house.start("--workers", "1")
    again.wait_for_all("job.completed", unknown)
    assert {house.job(i)["attempt"] for i in unknown} == {1}


def test_jobs_that_nobody_can_run_hold_up_no_others(house: House) -> None:
    """However many stand in front: they are set aside by the thousand, with no rest in between."""
    house.queue.enqueue_many([("nobody", {})] * 20_000)
    daemon = house.start("--workers", "2")
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    assert house.rows("SELECT count(*) FROM job_queue WHERE ready = 1")[0][0] == 0
