"""What the sweeps decide, as plain functions of what they see and what time it is."""

import sys
import traceback
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from jobd.core.config import Timing
from jobd.core.job import Row, StopReason
from jobd.core.lifecycle import LOSE, PARK, TIME_OUT
from jobd.core.worker_health import HealthStatus
from jobd.daemon.attempt import Attempt
from jobd.daemon.turn import Verdict
from jobd.store.daemons import WorkerState

DEEPEST_STACK = 60
KILL_TAKES = 1.5
"""Seconds that SIGKILL, sent after `kill_grace`, has to end a process before it is a zombie."""


def sweep_timeouts(attempts: Iterable[Attempt], running: float) -> list[Verdict]:
    """A verdict for each attempt whose deadline has passed, with the stack of its thread."""
    return [
        Verdict(attempt, TIME_OUT, stack_of(attempt))
        for attempt in attempts
        if attempt.overdue(running)
    ]


def sweep_zombies(attempts: Iterable[Attempt], timing: Timing, running: float) -> list[Verdict]:
    """A verdict for each attempt that was told to stop and did not, and for each held too long."""
    verdicts = []
    for attempt in attempts:
        if attempt.ended or attempt.told_at is None:
            continue
        if attempt.zombie_since is None:
            if _stopping_too_long(attempt, timing, running):
                verdicts.append(Verdict(attempt, LOSE, stack_of(attempt)))
        elif not attempt.parked and running - attempt.zombie_since >= timing.zombie_hold:
            verdicts.append(Verdict(attempt, PARK, stack_of(attempt)))
    return verdicts


def _stopping_too_long(attempt: Attempt, timing: Timing, running: float) -> bool:
    """A daemon's own stop has its own grace; only the other reasons make a zombie."""
    if attempt.stopping.reason is StopReason.STOP or attempt.told_at is None:
        return False
    patience = timing.kill_grace + (KILL_TAKES if attempt.killable else 0.0)
    return running - attempt.told_at >= patience


@dataclass(slots=True)
class OrphanSweep:
    """Finds rows that execute by the database but not in this process.

    A row must be seen twice with the same attempt: a claim is committed a moment before the
    dispatcher knows it, and the ending of an attempt a moment after.
    """

    seen: frozenset[tuple[int, int]] = frozenset()

    def sweep(self, rows: Iterable[Row], in_hand: Collection[int]) -> list[Row]:
        strays = {(row.id, row.attempt): row for row in rows if row.id not in in_hand}
        found = [row for key, row in strays.items() if key in self.seen]
        self.seen = frozenset(strays)
        return found


def health(name: str, attempt: Attempt | None, timing: Timing, running: float) -> WorkerState:
    """How a worker is, by the attempt that it runs."""
    if attempt is None:
        return WorkerState(name)
    status = HealthStatus.NORMAL
    if attempt.zombie_since is not None or _stopping_too_long(attempt, timing, running):
        status = HealthStatus.UNHEALTHY
    elif _is_told(attempt) or _without_progress(attempt, timing, running):
        status = HealthStatus.POTENTIALLY_STUCK
    stuck = None if status is HealthStatus.NORMAL else attempt.job.id
    job = attempt.job
    return WorkerState(name, status, job.id, job.attempt, attempt.started_at, stuck)


def _is_told(attempt: Attempt) -> bool:
    """A stop of the daemon says nothing about the attempt."""
    return attempt.told_at is not None and attempt.stopping.reason is not StopReason.STOP


def _without_progress(attempt: Attempt, timing: Timing, running: float) -> bool:
    """Only of a handler that reports progress its silence says something."""
    reported, stuck_after = attempt.progressed_at, timing.stuck_after
    return reported is not None and stuck_after is not None and running - reported >= stuck_after


def stack_of(attempt: Attempt) -> str | None:
    """Where exactly the thread of this attempt is, innermost call last."""
    if attempt.thread_id is None:
        return None
    if attempt.coroutine is not None:
        return _stack_of_coroutine(attempt.coroutine)
    frame = sys._current_frames().get(attempt.thread_id)
    if frame is None:
        return None
    stack = "".join(traceback.format_stack(frame, DEEPEST_STACK))[-16_000:]
    # The thread may have gone on to another job while we looked.
    return None if attempt.ended else stack


def _stack_of_coroutine(coroutine: Any) -> str:
    """Where a suspended coroutine waits, from the handler down to what it awaits."""
    frames: list[tuple[Any, int]] = []
    while coroutine is not None and len(frames) < DEEPEST_STACK:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None:
            frames.append((frame, frame.f_lineno))
        coroutine = getattr(coroutine, "cr_await", None)
    return "".join(traceback.StackSummary.extract(frames).format())
