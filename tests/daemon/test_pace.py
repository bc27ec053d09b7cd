"""For whom the dispatcher waits between two commits, and for whom not."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

import jobd
from jobd.core.config import Config
from jobd.core.current import CurrentJob, call_as
from jobd.core.job import Job, Succeeded
from jobd.core.registry import Handler
from jobd.daemon.attempt import Attempt, Ended
from jobd.daemon.crew import Crew, new_identity
from jobd.daemon.hand import Hand
from jobd.daemon.inbox import Inbox
from jobd.daemon.pace import BETWEEN_COMMITS, FEW, LULL, Pace
from jobd.daemon.wakeup import Wakeup
from jobd.daemon.worker import JobWorker, WorkerPool
from jobd.poke import FROM_A_JOB, FROM_OUTSIDE, Poker

NOW = 1000.0
A_COMMIT = 0.0003


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database that exists."""
    path = tmp_path / "jobd.db"
    jobd.Queue(path).close()
    return path


@pytest.fixture
def wakeup(path: Path) -> Iterator[Wakeup]:
    with closing(Wakeup(path)) as opened:
        yield opened


@pytest.fixture
def pace(wakeup: Wakeup) -> Pace:
    """Amid a stream: the last commit was a moment ago."""
    made = Pace(hand_of(WorkerPool(1, _no_worker)), wakeup)
    made.not_before = NOW
    return made


def _no_worker(_name: str, _inbox: Inbox) -> JobWorker:
    raise AssertionError("nobody works here")


def poked(wakeup: Wakeup, path: Path, message: bytes) -> None:
    with closing(Poker(path)) as poker:
        poker.poke(None, message)
    assert wakeup.wait(10.0)


def pause(pace: Pace, began: float, *, claimed: int, others_wrote: bool = True) -> float:
    """Seconds after a commit for which the next one waits."""
    pace.committed(began, began + A_COMMIT, others_wrote=others_wrote, claimed=claimed)
    return max(0.0, pace.not_before - (began + A_COMMIT))


def hand_of(pool: WorkerPool) -> Hand:
    return Hand(pool, Crew({}, Config(), new_identity(), lambda _: None))


def busy_hand() -> Hand:
    """Its workers have something to do for a while: short jobs wait, and some have just ended."""
    pool = WorkerPool(1, _no_worker)
    hand = hand_of(pool)
    attempt = Attempt(Job(1, 1, "t", "q", "{}", 0, 0, 0), Handler("t", lambda: None), None, 0.0)
    hand.reports.append(Ended(attempt, Succeeded(None), 0.005))
    hand.hear(NOW)
    pool.inbox.put([attempt])
    return hand


def test_amid_a_stream_more_gathers(pace: Pace, wakeup: Wakeup, path: Path) -> None:
    """A producer without pause has time to put in more than one job for each commit."""
    poked(wakeup, path, FROM_OUTSIDE)
    assert pause(pace, NOW, claimed=1) == pytest.approx(BETWEEN_COMMITS)


def test_after_a_lull_nobody_waits(pace: Pace, wakeup: Wakeup, path: Path) -> None:
    """One job that comes alone: its end is written at once; if more come, those gather."""
    poked(wakeup, path, FROM_OUTSIDE)
    later = NOW + 2 * LULL
    assert pause(pace, later, claimed=1) == 0.0
    assert pause(pace, later + A_COMMIT, claimed=1) == pytest.approx(BETWEEN_COMMITS)


def test_the_next_stages_of_pipelines_are_not_waited_for(
    pace: Pace, wakeup: Wakeup, path: Path
) -> None:
    """What a handler puts in runs at once; of very many more may come."""
    poked(wakeup, path, FROM_A_JOB)
    assert pause(pace, NOW, claimed=FEW) == 0.0
    assert pause(pace, NOW + A_COMMIT, claimed=FEW + 1) == pytest.approx(BETWEEN_COMMITS)


def test_a_queue_tells_whether_a_handler_put_the_job_in(path: Path, wakeup: Wakeup) -> None:
    """By what it pokes with: of others, and of a thread that runs a job."""
    with jobd.Queue(path) as queue:
        queue.enqueue("noop")
        assert wakeup.wait(10.0)
        assert not wakeup.by_a_job
        call_as(cast(CurrentJob, object()), queue.enqueue, "noop")
        assert wakeup.wait(10.0)
    assert wakeup.by_a_job


def test_who_waits_for_a_checkpoint_waits_for_no_other_end(wakeup: Wakeup) -> None:
    """But producers without pause have their time, and a full disk is not asked all the time."""
    hand = busy_hand()
    pace, soon = Pace(hand, wakeup), NOW + A_COMMIT
    pace.committed(NOW, soon, others_wrote=False, claimed=1)
    assert pace.left(soon, asked=False) > 0
    assert pace.left(soon, asked=True) == 0
    pace.put_off(NOW + 1)
    assert pace.left(soon, asked=True) > 0
    pace.put_off(soon)
    pace.committed(soon, soon + A_COMMIT, others_wrote=True, claimed=FEW + 1)
    assert pace.left(soon + A_COMMIT, asked=True) > 0


def test_where_nobody_else_writes_only_busy_workers_leave_time(pace: Pace) -> None:
    """With nothing in the buffer a worker waits for the next commit."""
    assert pause(pace, NOW, claimed=1, others_wrote=False) == 0.0
