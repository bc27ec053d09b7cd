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

    def finished(self, durations: Sequence[float], now: float) -> None:
        """Jobs were finished that took these many seconds each; `now` is monotonic."""
        if durations:
            self._finished.append((now, len(durations), sum(durations)))

    def allowed(self, now: float) -> int:
        jobs, each = self._lately(now)
        return min(jobs, AT_MOST) if each <= SHORT else 0

    def seconds_each(self, now: float) -> float:
        """How long a job took in the last 20 ms; 0 when none was finished."""
        return self._lately(now)[1]

    def _lately(self, now: float) -> tuple[int, float]:
        while self._finished and now - self._finished[0][0] > WINDOW:
            self._finished.popleft()
        jobs = sum(count for _, count, _ in self._finished)
        seconds = sum(total for _, _, total in self._finished)
        return jobs, seconds / max(jobs, 1)
