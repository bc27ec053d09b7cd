"""Clocks that step, stand still or sleep, through the arguments by which jobd gets its times."""

from typing import Any

import pytest

from jobd import clock
from jobd.core.config import Timing
from jobd.core.job import Job, StopReason
from jobd.core.registry import Handler
from jobd.daemon.attempt import Attempt
from jobd.daemon.sweeper import StepDetector
from jobd.daemon.sweeps import sweep_timeouts, sweep_zombies

HOUR = 3_600.0
NOON = 1_800_000_000_000


def an_attempt(timeout: float | None, started: float) -> Attempt:
    job = Job(1, 1, "quick", "default", "{}", 0, 0, 0)
    attempt = Attempt(job, Handler("quick", lambda: None), timeout, started)
    attempt.begin("JobWorker-1", 0, NOON, started)
    attempt.thread_id = None
    return attempt


@pytest.mark.parametrize("gap", [10.0, 8 * HOUR, 365 * 24 * HOUR])
def test_time_in_which_the_process_stood_still_counts_as_two_sweeps(gap: float) -> None:
    """SIGSTOP, a frozen cgroup, a held interpreter: the running clock goes on by two intervals."""
    running = clock.RunningClock(longest_step=2.0, now=100.0)
    assert running.tick(101.0) == pytest.approx(1.0)
    assert running.tick(101.0 + gap) == pytest.approx(3.0)
    assert running.running(101.0 + 2 * gap) == pytest.approx(5.0)
    assert running.tick(102.0 + gap) == pytest.approx(4.0)


def test_a_monotonic_clock_that_went_back_takes_no_time_back() -> None:
    """Some virtual machines have had one: nothing is younger than it was."""
    running = clock.RunningClock(longest_step=2.0, now=100.0)
    running.tick(101.0)
    assert running.tick(50.0) == pytest.approx(1.0)
    assert running.tick(51.0) == pytest.approx(2.0)


def test_no_attempt_is_judged_for_time_that_did_not_run() -> None:
    """A deadline, a grace and a hold, each shorter than the gap: none has passed after it, and
    all pass when they really do."""
    ticking = clock.RunningClock(longest_step=2.0, now=0.0)
    timing = Timing(kill_grace=5.0, zombie_hold=300.0)
    slow, told, stuck = (an_attempt(10.0, 0.0), an_attempt(None, 0.0), an_attempt(None, 0.0))
    told.tell_to_stop(StopReason.CANCEL, 0.0)
    stuck.tell_to_stop(StopReason.CANCEL, 0.0)
    stuck.zombie_since = 0.0

    def judged(now: float) -> list[Any]:
        running = ticking.tick(now)
        return [verdict.attempt for verdict in (
            *sweep_timeouts([slow], running), *sweep_zombies([told, stuck], timing, running))]

    assert judged(1.0) == judged(1.0 + 8 * HOUR) == []
    seen: list[Any] = []
    for second in range(310):
        seen += [each for each in judged(2.0 + 8 * HOUR + second) if each not in seen]
        told.zombie_since = told.zombie_since or (0.0 if told in seen else None)
        slow.timed_out = slow in seen
    assert seen == [told, slow, stuck]


STEPS = [(-HOUR, 0.0), (8 * HOUR, 0.0), (8 * HOUR, 8 * HOUR), (8 * HOUR, 3 * HOUR),
         (-56 * 365 * 24 * HOUR, 0.0), (1.5, 0.0)]


@pytest.mark.parametrize(("moved", "slept"), STEPS)
def test_a_step_is_told_with_its_size_its_direction_and_its_sleep(
    moved: float, slept: float
) -> None:
    """Once, and the same clock is right from then on."""
    steps = StepDetector(NOON, 100.0, 7.0)
    assert steps.step(NOON + 500, 100.5, 7.0) == 0
    later = NOON + 1_000 + round(1000 * moved)
    assert steps.step(later, 101.0, 7.0 + slept) == round(1000 * moved)
    assert steps.suspended_ms == round(1000 * slept)
    assert steps.step(later + 500, 101.5, 7.0 + slept) == 0


def test_a_clock_that_is_slewed_makes_no_step() -> None:
    """NTP moves it by half a millisecond a second, for a day."""
    steps = StepDetector(NOON, 0.0, 0.0)
    assert {steps.step(NOON + round(1000.5 * second), float(second), 0.0)
            for second in range(86_400)} == {0}
