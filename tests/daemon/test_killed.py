"""SIGKILL at any moment: nothing is lost, nothing runs twice at once, and the dead are counted."""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

from tests.daemon.harness import House, RunningDaemon, overlaps

KILLS = int(os.environ.get("JOBD_TEST_KILLS", "8"))
SEED = int(os.environ.get("JOBD_TEST_SEED", "20261122"))

WORK = """
@job("work")
def work(ms: int):
    time.sleep(ms / 1000)
"""


class Producer(threading.Thread):
    """Enqueues a few jobs every 50 ms until it is told to stop; knows what was acknowledged."""

    def __init__(self, house: House, seed: int) -> None:
        super().__init__()
        self.ids: list[int] = []
        self._queue = house.queue
        self._random = random.Random(seed)
        self._enough = threading.Event()

    def run(self) -> None:
        while not self._enough.wait(0.05):
            for _ in range(3):
                milliseconds = self._random.randrange(8, 40)
                self.ids.append(int(self._queue.enqueue("work", {"ms": milliseconds})))

    def stop(self) -> None:
        self._enough.set()
        self.join()


def kill_some_time_later(house: House, chance: random.Random) -> tuple[int, float]:
    """One daemon, killed by a timer that knows nothing of its load; its pid and its death.

    The timer begins at its launch or once it is ready, so that starts are hit and work is too.
    """
    from_launch = chance.random() < 0.4
    daemon = house.launch("--workers", "4", cold=True)
    if not from_launch:
        daemon.wait_ready()
    threading.Event().wait(chance.uniform(0.1, 0.7) if from_launch else chance.uniform(0, 0.4))
    died = time.monotonic()
    daemon.kill()
    return daemon.pid, died


def hit(house: House) -> set[int]:
    """The pids of daemons that died in the middle of an attempt."""
    return {span.pid for span in house.spans() if span.ended is None}


def check_the_file(house: House) -> None:
    assert [tuple(row) for row in house.rows("PRAGMA integrity_check")] == [("ok",)]
    assert house.rows("PRAGMA foreign_key_check") == []
    house.cli("migrate", "verify")


def rest_is_settled(house: House) -> None:
    assert house.rows("SELECT id FROM job_queue WHERE execution_over = 0") == []
    assert house.rows("SELECT id FROM job_queue WHERE status IN "
                      "('running', 'timeout', 'zombie')") == []


def test_kills_at_random_moments_lose_and_double_nothing(house: House) -> None:
    """After N kills every acknowledged job completed once, without overlap, rescues counted."""
    house.handlers(WORK)
    chance, deaths = random.Random(SEED), {}
    producer = Producer(house, SEED)
    producer.start()
    settings = {"retry__worker_lost__max_retries": 1000, "retry__worker_lost__backoff": "fixed",
                "retry__worker_lost__initial_delay": "10ms"}
    house.write_config(**settings)
    while len(deaths) < KILLS or len(hit(house)) < KILLS // 2:
        assert len(deaths) < 5 * KILLS, "hardly any kill hit an attempt"
        pid, died = kill_some_time_later(house, chance)
        deaths[pid] = died
    producer.stop()
    last = house.start("--workers", "4")
    assert house.wait_until_all_ended(last)
    assert last.stop() == 0

    jobs = {row["id"]: row for row in house.rows("SELECT * FROM job_queue")}
    spans = house.spans()
    assert sorted(jobs) == sorted(producer.ids)
    assert {job["status"] for job in jobs.values()} == {"completed"}
    rest_is_settled(house)
    assert overlaps(spans, deaths) == []
    begun = Counter((span.job_id, span.attempt) for span in spans)
    assert [key for key, count in begun.items() if count > 1] == []
    # Every job is longer than the buffer allows, so each claim starts its attempt, and every
    # attempt but the last was lost with its daemon and charged as one rescue.
    assert {i: job["rescue_count"] for i, job in jobs.items()} == {
        i: job["attempt"] - 1 for i, job in jobs.items()}
    unfinished = Counter(span.job_id for span in spans if span.ended is None)
    assert unfinished
    assert all(jobs[i]["rescue_count"] >= count for i, count in unfinished.items())
    assert sum(job["rescue_count"] for job in jobs.values()) <= 4 * len(deaths)
    finals = {span.job_id: span for span in spans}
    assert {i: span.attempt for i, span in finals.items()} == {
        i: job["attempt"] for i, job in jobs.items()}
    assert {span.how for span in finals.values()} == {"returned"}
    told = Counter(line["job_id"] for daemon in house.daemons
                   for line in daemon.events("job.completed"))
    assert max(told.values()) == 1
    assert not any(daemon.events("job.late_result") for daemon in house.daemons)
    check_the_file(house)


def test_kills_among_short_jobs_charge_only_what_had_begun(house: House) -> None:
    """With jobs short enough to be buffered, an attempt that never began is never charged."""
    chance, deaths = random.Random(SEED), {}
    house.queue.enqueue_many([("quick", {"n": n}) for n in range(3000)])
    house.write_config(retry__worker_lost__initial_delay="10ms")
    for _ in range(4):
        daemon = house.start("--workers", "2")
        threading.Event().wait(chance.uniform(0.02, 0.15))
        deaths[daemon.pid] = time.monotonic()
        daemon.kill()
    assert house.wait_until_all_ended(house.start("--workers", "2"))
    spans = house.spans()
    jobs = {row["id"]: row for row in house.rows("SELECT * FROM job_queue")}
    assert {job["status"] for job in jobs.values()} == {"completed"}
    assert overlaps(spans, deaths) == []
    assert all(job["rescue_count"] <= 4 for job in jobs.values())
    begun = Counter(span.job_id for span in spans)
    doubled = Counter((span.job_id, span.attempt) for span in spans)
    assert max(doubled.values()) == 1
    assert all(begun[i] <= job["attempt"] for i, job in jobs.items())
    rest_is_settled(house)


BUFFERED = """
@job("last_straw")
def last_straw():
    if first_time("broken"):
        time.sleep(0.03)  # long enough for its own start to be on disk, not for the buffer to empty
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_buffered_jobs_are_given_back_uncharged(house: House) -> None:
    """Jobs that were claimed into the buffer and never began are pending again, uncharged."""
    house.handlers(BUFFERED)
    jobs = [("quick", {"n": n}) for n in range(60)] + [("last_straw", {})]
    jobs += [("quick", {"n": n}) for n in range(60)]
    ids = [int(i) for i in house.queue.enqueue_many(jobs)]
    first = house.launch("--workers", "1")
    assert first.exit_status() == -9
    buffered = [row["id"] for row in house.rows(
        "SELECT id FROM job_queue WHERE status = 'running' AND started_at IS NULL")]
    assert buffered, "nothing was in the buffer when the daemon died"
    assert house.wait_until_all_ended(house.start("--workers", "1"))
    begun = Counter(span.job_id for span in house.spans())
    found = {i: house.job(i) for i in buffered}
    assert {i: job["rescue_count"] for i, job in found.items()} == dict.fromkeys(buffered, 0)
    assert {i: job["attempt"] for i, job in found.items()} == dict.fromkeys(buffered, 2)
    assert {i: begun[i] for i in buffered if i != ids[60]} == {
        i: 1 for i in buffered if i != ids[60]}


POISON = """
@job("poison")
def poison():
    time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)

@job("bystander")
def bystander():
    time.sleep(0.1)
"""


def run_until_it_survives(house: House, *args: str, most: int = 12) -> tuple[RunningDaemon, int]:
    """Start daemons until one does not die; that one, and how many died."""
    for deaths in range(most):
        daemon = house.launch(*args)
        if house.wait_until_all_ended(daemon):
            return daemon, deaths
        assert daemon.exit_status() == -9
    raise AssertionError(f"{most} daemons died")


def test_a_job_that_kills_its_daemon_ends_as_poison(house: House) -> None:
    """After four deaths (three rescues) it is dead_letter; the innocent beside it complete."""
    house.handlers(POISON)
    poison = house.enqueue("poison")
    innocent = [house.enqueue("bystander") for _ in range(6)]
    _, deaths = run_until_it_survives(house, "--workers", "3")
    assert deaths == 4
    job = house.job(poison)
    assert (job["status"], job["failure_type"], job["rescue_count"], job["attempt"]) == (
        "dead_letter", "worker_lost", 3, 4)
    assert "poison" in job["dead_letter_reason"]
    assert job["execution_over"] == 1
    others = [house.job(i) for i in innocent]
    assert {other["status"] for other in others} == {"completed"}
    assert max(other["rescue_count"] for other in others) <= 2
    assert house.cli("retry", str(poison)).startswith(f"job {poison}")


def test_poison_that_kills_before_its_start_is_on_disk_is_bounded_too(house: House) -> None:
    """A job claimed into the buffer that kills at once is charged and ends as poison as well."""
    house.handlers(POISON.replace("time.sleep(0.05)", "pass"))
    jobs = [("quick", {"n": n}) for n in range(200)]
    house.queue.enqueue_many(jobs)
    poison = house.enqueue("poison")
    house.queue.enqueue_many(jobs)
    _, deaths = run_until_it_survives(house, "--workers", "1", most=10)
    assert house.status(poison) == "dead_letter"
    assert deaths <= 6
    left = house.rows("SELECT id FROM job_queue WHERE status <> 'completed'")
    assert [row["id"] for row in left] == [poison]


def test_a_kill_during_the_rescue_rescues_once(house: House) -> None:
    """Daemons killed while they start up charge one rescue for one death, not two."""
    house.handlers("")
    house.gate("shut")
    ids = [house.enqueue("gated", {"gate": "shut"}) for _ in range(4)]
    first = house.start("--workers", "4")
    first.wait_for_all("job.logged", ids)
    first.kill()
    (house.gates / "shut").unlink()
    house.gate("shut").open()
    for delay in (0.20, 0.24, 0.28):
        daemon = house.launch("--workers", "4", cold=True)
        threading.Event().wait(delay)
        daemon.kill()
    last = house.start("--workers", "4")
    assert house.wait_until_all_ended(last)
    assert last.stop() == 0
    for job_id in ids:
        job = house.job(job_id)
        assert job["status"] == "completed"
        lost = [row["attempt"] for row in house.attempts(job_id)]
        assert lost == list(range(1, job["attempt"])), "an attempt was charged twice, or not at all"
        assert job["rescue_count"] == job["attempt"] - 1


ORPHANS = """
@job("starts_a_program")
def starts_a_program(ready: str):
    if jobd.current_job().attempt == 1:
        script = f"echo $$ > {ready}.pid; : > {ready}; exec sleep 61"
        jobd.current_job().run(["sh", "-c", script])
    program = Path(f"/proc/{Path(f'{ready}.pid').read_text().strip()}/stat")
    return program.exists() and program.read_text().rsplit(")")[-1].split()[0] not in "ZX"
"""


def test_a_program_of_a_dead_daemon_is_ended_before_the_next_attempt(house: House) -> None:
    """What `run(argv)` started belongs to the attempt: the rescue never runs beside it."""
    house.handlers(ORPHANS)
    ready = house.root / "ready"
    os.mkfifo(ready)
    daemon = house.start()
    job_id = house.enqueue("starts_a_program", {"ready": str(ready)})
    ready.read_bytes()
    daemon.kill()
    try:
        house.start().wait_for("job.completed", job_id=job_id, attempt=2)
        assert house.job(job_id)["result"] == "false", "its program was still running"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(Path(f"{ready}.pid").read_text()), signal.SIGKILL)
