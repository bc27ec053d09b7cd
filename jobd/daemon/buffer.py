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
        while self._finished and now - self._finished[0][0] > WINDOW:
            self._finished.popleft()
        jobs = sum(count for _, count, _ in self._finished)
        seconds = sum(total for _, _, total in self._finished)
        return min(jobs, AT_MOST) if jobs and seconds / jobs <= SHORT else 0
