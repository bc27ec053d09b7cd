"""The only reader of clocks, and the only place that waits without anything to wait for."""

import select
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache

FIRST_WAIT = 0.001


def now_ms() -> int:
    """Wall clock: milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


now_ns = time.time_ns
"""The same in nanoseconds, to be compared with the times of files."""

monotonic = time.monotonic
"""Seconds on a clock that no one can set."""


def asleep() -> float:
    """Seconds that the machine was suspended since it was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def pause(seconds: float) -> None:
    """Wait in a client that has nothing to be interrupted by but a signal."""
    select.select([], [], [], seconds)


@lru_cache(maxsize=256)
def iso(at_ms: int | None) -> str | None:
    """ISO 8601 in UTC with milliseconds, as every face shows a time.

    Kept, because jobs that are claimed together share a time, and short ones begin in the same.
    Values outside what a calendar can show (years 1 to 9999) come back as the number itself.
    """
    if at_ms is None:
        return None
    second, milliseconds = divmod(at_ms, 1_000)
    try:
        return f"{_second(second)}.{milliseconds:03}Z"
    except (ValueError, OverflowError, OSError):
        return str(at_ms)


@lru_cache(maxsize=64)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().removesuffix("+00:00")


def growing_waits(longest: float) -> Iterator[float]:
    """Seconds between looks at what may come soon or late: 1 ms first, each a quarter more than the
    one before, `longest` at most; so what is waited for is seen with a quarter more than it took.
    """
    wait = FIRST_WAIT
    while True:
        yield wait
        wait = min(1.25 * wait, longest)


class RunningClock:
    """Seconds in which this process really ran (DESIGN: deadlines of a frozen daemon).

    `tick` is called by the sweep. Each step counts as at most `longest_step` seconds, so that
    a process stopped by SIGSTOP or a suspended machine judges no time in which it slept.
    """

    def __init__(self, longest_step: float, now: float) -> None:
        self._longest_step = longest_step
        self._last = now
        self._sum = 0.0

    def tick(self, now: float) -> float:
        """Count the step since the last tick; return the sum."""
        self._sum += min(max(now - self._last, 0.0), self._longest_step)
        self._last = now
        return self._sum

    def running(self, now: float) -> float:
        """The sum as of `now`, without ending the current step."""
        step = now - self._last
        if step <= 0.0:
            return self._sum
        return self._sum + min(step, self._longest_step)
