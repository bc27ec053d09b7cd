"""The line in which attempts wait for a worker, and who is woken for them."""

import queue
import threading
from types import SimpleNamespace
from typing import Any

from jobd.core.job import Job, Succeeded
from jobd.core.registry import Handler
from jobd.daemon.attempt import Attempt, Ended
from jobd.daemon.brief_jobs import BriefJobs
from jobd.daemon.hand import Hand
from jobd.daemon.inbox import Bell, Inbox
from tests.daemon.harness import House

MUCH_LATER = 10.0
HANDLERS = """
@job("brief")
def brief():
    pass
"""


class Takers:
    """Threads that take from an inbox until each has got a None."""

    def __init__(self, inbox: Inbox, count: int) -> None:
        self.taken: list[Any] = []
        self.came = threading.Semaphore(0)
        self.threads = [threading.Thread(target=self._work, args=(inbox,)) for _ in range(count)]
        for each in self.threads:
            each.start()

    def _work(self, inbox: Inbox) -> None:
        bell: Bell = queue.SimpleQueue()
        while (found := inbox.get(bell)) is not None:
            self.taken.append(found)
            self.came.release()

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self.came.acquire(timeout=MUCH_LATER)

    def end(self, inbox: Inbox) -> None:
        inbox.put([None] * len(self.threads))
        inbox.wake(len(self.threads))
        for each in self.threads:
            each.join(MUCH_LATER)
            assert not each.is_alive()


def test_one_that_is_woken_takes_all_that_waits() -> None:
    """The others are not needed for it."""
    inbox = Inbox()
    takers = Takers(inbox, 3)
    inbox.put(range(100))  # type: ignore[arg-type]
    inbox.wake(1)
    takers.wait_for(100)
    takers.end(inbox)
    assert sorted(takers.taken) == list(range(100))


def test_whatever_is_put_in_and_rung_for_is_taken_once() -> None:
    """Those who put in and those who fall asleep meet at any moment; nothing lies there unseen."""
    inbox = Inbox()
    takers = Takers(inbox, 4)
    for number in range(20_000):
        inbox.put([number])  # type: ignore[arg-type]
        inbox.wake(1)
        if number % 3 == 0:
            takers.came.acquire(timeout=MUCH_LATER)
    takers.wait_for(20_000 - 6_667)
    takers.end(inbox)
    assert sorted(takers.taken) == list(range(20_000))


def test_either_a_worker_takes_it_or_it_is_taken_back() -> None:
    """Also when both want it at the same moment; nothing is got twice, and nothing by nobody."""
    inbox = Inbox()
    takers = Takers(inbox, 2)
    back = []
    for number in range(20_000):
        inbox.put([number])  # type: ignore[list-item]
        inbox.wake(1)
        if number % 3 == 0:
            takers.came.acquire(timeout=MUCH_LATER)
        elif inbox.take_back(number):  # type: ignore[arg-type]
            back.append(number)
    takers.end(inbox)
    assert back
    assert not inbox.take_back(back[0])  # type: ignore[arg-type]
    assert sorted([*takers.taken, *back]) == list(range(20_000))


def job(job_type: str) -> Job:
    return Job(1, 1, job_type, "default", "{}", 0, 0, 0)


def ended(job_type: str, *durations: float) -> list[Ended]:
    attempt = Attempt(job(job_type), Handler(job_type, lambda: None), None, 0.0)
    return [Ended(attempt, Succeeded(None), duration) for duration in durations]


def test_one_worker_is_woken_for_all_brief_jobs_and_one_for_each_other() -> None:
    """A type of which no job ran to its end may be long, and one of which one was long is not
    brief."""
    brief = BriefJobs()
    assert brief.workers_for([]) == 0
    brief.ended(ended("a", 0.0), 0.5)
    assert brief.workers_for([job("a")] * 9) == 9
    brief.ended([*ended("a", *[0.00001] * 9, *[0.002] * 8), *ended("b", 0.002)], 1.0)
    assert brief.workers_for([job("a")] * 9) == 1
    assert brief.workers_for([job("a"), job("b"), job("a"), job("c")]) == 3
    brief.ended(ended("a", *[0.00001] * 9, 0.3), 2.0)
    brief.ended(ended("a", 0.00001), 2.9)
    assert brief.workers_for([job("a")] * 9) == 9
    brief.ended(ended("a", 0.00001), 3.1)
    assert brief.workers_for([job("a")] * 9) == 1


def test_a_worker_is_woken_for_each_that_waits_when_nothing_ends() -> None:
    """The one that was woken for it has something longer to do; more would only be in the way."""
    woken: list[int] = []
    pool: Any = SimpleNamespace(size=3, inbox=Inbox(), wake=woken.append)
    hand = Hand(pool, SimpleNamespace())  # type: ignore[arg-type]
    hand.wake_enough()
    pool.inbox.put([None, None])
    hand.wake_enough()
    assert woken == [0, 2]


def test_a_long_job_among_brief_ones_keeps_none_of_them_waiting(house: House) -> None:
    """Beside brief jobs few workers are awake; when those get a long one, others take over."""
    house.handlers(HANDLERS)
    shut = [("gated", {"gate": "shut"})]
    gate = house.gate("shut")
    brief: list[tuple[str, dict[str, Any]]] = [("brief", {})] * 400
    ids = [int(each) for each in house.queue.enqueue_many((brief + shut) * 3 + brief)]
    daemon = house.start("--workers", "4")
    long = {ids[400], ids[801], ids[1202]}
    daemon.wait_for_all("job.completed", [each for each in ids if each not in long])
    assert daemon.events("job.released") == []
    gate.open()
    daemon.wait_for_all("job.completed", sorted(long))
