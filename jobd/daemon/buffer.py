"""How many claimed jobs may wait for a worker: only while jobs are short, and never many."""

from collections import deque
from collections.abc import Sequence

WINDOW = 0.020
SHORT = 0.006
"""Seconds: jobs of 5 ms, and what it takes to wake their threads."""
AT_MOST = 256


class BufferRoom:
    """At most what was finished in the last 20 ms, never more than 256, none for long jobs."""

    def __init__(self) -> None:
        self._finished: deque[tuple[float, int, float]] = deque()
        self._jobs = 0
        self._seconds = 0.0

    def finished(self, durations: Sequence[float], now: float) -> None:
        """Jobs were finished that took these many seconds each; `now` is monotonic."""
        if durations:
            jobs, seconds = len(durations), sum(durations)
            self._finished.append((now, jobs, seconds))
            self._jobs += jobs
            self._seconds += seconds

    def allowed(self, now: float) -> int:
        return min(self._jobs, AT_MOST) if self.seconds_each(now) <= SHORT else 0

    def seconds_each(self, now: float) -> float:
        """How long a job took in the last 20 ms; 0 when none was finished."""
        while self._finished and now - self._finished[0][0] > WINDOW:
            _, jobs, seconds = self._finished.popleft()
            self._jobs -= jobs
            self._seconds -= seconds if self._jobs else self._seconds  # nothing is lost to rounding
        return self._seconds / self._jobs if self._jobs else 0.0
