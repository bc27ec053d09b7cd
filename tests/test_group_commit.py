"""The line of calls before one database, with a writer that the test holds in its hand."""

import sqlite3
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest

from jobd import errors
from jobd.group_commit import GroupCommit
from tests.daemon.harness import DEADLINE
from tests.daemon.villain import until


class Writer:
    """Stores what it gets under the ids 1, 2, ...; each write waits until the test lets it go."""

    def __init__(self) -> None:
        self.writes: list[list[Any]] = []
        self.let_go = threading.Semaphore(0)
        self.refuses: set[Any] = set()
        self.interrupted_by: Exception | None = None
        self._ids = 0

    def __call__(self, jobs: list[Any], before_commit: Callable[[], None]) -> list[int]:
        self.writes.append(jobs)
        if self.refuses.intersection(jobs):
            raise sqlite3.IntegrityError("refused")
        before_commit()
        assert self.let_go.acquire(timeout=DEADLINE)
        if self.interrupted_by is not None and len(self.writes) == 2:
            raise self.interrupted_by
        self._ids += len(jobs)
        return list(range(self._ids - len(jobs) + 1, self._ids + 1))


class Calls:
    """Calls from threads of their own, each in line before the next one comes."""

    def __init__(self) -> None:
        self.writer = Writer()
        self.line = GroupCommit(self.writer)
        self._threads = ThreadPoolExecutor(16)

    def submit(self, *jobs: Any) -> "Future[list[int]]":
        writes, waiting = len(self.writer.writes), len(self.line._line)
        call = self._threads.submit(self.line.submit, list(jobs))
        until(lambda: len(self.line._line) > waiting or len(self.writer.writes) > writes)
        return call


@pytest.fixture
def calls() -> Calls:
    return Calls()


def test_what_comes_while_one_writes_is_written_together(calls: Calls) -> None:
    """In the order of the calls, and each gets its own ids."""
    first, second, third = calls.submit("a"), calls.submit("b", "c"), calls.submit("d")
    calls.writer.let_go.release(2)
    assert first.result(DEADLINE) == [1]
    assert second.result(DEADLINE) == [2, 3]
    assert third.result(DEADLINE) == [4]
    assert calls.writer.writes == [["a"], ["b", "c", "d"]]


def test_nobody_waits_for_the_commit_of_others_that_come_later(calls: Calls) -> None:
    """Whose jobs are stored has his answer while the next are still on their way to the disk."""
    calls.submit("a")
    mine, beside = calls.submit("b"), calls.submit("c")
    calls.writer.let_go.release()
    until(lambda: len(calls.writer.writes) == 2)
    later = calls.submit("d")
    calls.writer.let_go.release()
    assert (mine.result(DEADLINE), beside.result(DEADLINE)) == ([2], [3])
    assert not later.done()
    calls.writer.let_go.release()
    assert later.result(DEADLINE) == [4]


def test_a_refused_job_fails_its_own_call_alone(calls: Calls) -> None:
    """The others of its commit are tried again without it."""
    calls.writer.refuses.add("bad")
    first, good, bad, late = (calls.submit(job) for job in ("a", "b", "bad", "c"))
    calls.writer.let_go.release(4)
    assert [each.result(DEADLINE) for each in (first, good, late)] == [[1], [2], [3]]
    with pytest.raises(sqlite3.IntegrityError):
        bad.result(DEADLINE)


def test_a_write_that_fails_leaves_nobody_asleep(calls: Calls) -> None:
    """Who was to be woken just before its commit is woken all the same."""
    calls.submit("a")
    mine, beside = calls.submit("b"), calls.submit("c")
    calls.writer.let_go.release()
    until(lambda: len(calls.writer.writes) == 2)
    calls.writer.refuses.add("bad")
    bad = calls.submit("bad")
    calls.writer.let_go.release()
    assert (mine.result(DEADLINE), beside.result(DEADLINE)) == ([2], [3])
    with pytest.raises(sqlite3.IntegrityError):
        bad.result(DEADLINE)


def test_what_interrupts_the_one_who_writes_is_his_alone(calls: Calls) -> None:
    """A signal handler's TimeoutError is not the others'; they learn that nobody knows."""
    calls.writer.interrupted_by = TimeoutError("an alarm of the application")
    calls.submit("a")
    mine, beside = calls.submit("b"), calls.submit("c")
    calls.writer.let_go.release(2)
    with pytest.raises(TimeoutError):
        mine.result(DEADLINE)
    with pytest.raises(errors.OutcomeUnknown):
        beside.result(DEADLINE)


def test_a_call_interrupted_as_it_comes_into_line_leaves_nothing_there(calls: Calls) -> None:
    """Nobody else writes its jobs later."""

    def interrupt(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code is GroupCommit._in_line.__code__ and event == "line" and calls.line._line:
            raise KeyboardInterrupt
        return interrupt

    first, before = calls.submit("a"), sys.gettrace()
    sys.settrace(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            calls.line.submit(["b"])
    finally:
        sys.settrace(before)
    calls.writer.let_go.release(2)
    assert first.result(DEADLINE) == [1]
    assert calls.submit("c").result(DEADLINE) == [2]
    assert calls.writer.writes == [["a"], ["c"]]
