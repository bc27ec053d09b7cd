"""Telling what commands left running that ended well: one look at /proc for many of them."""

from collections import deque

from jobd.daemon.attempt import Attempt
from jobd.daemon.survivors import marked
from jobd.log import logger


class LeftBehind:
    """Commands that ended well since the last look."""

    def __init__(self) -> None:
        self._ended: deque[tuple[Attempt, str]] = deque()

    def add(self, attempt: Attempt, mark: str) -> None:
        """The attempt whose processes carry `mark` has ended well."""
        self._ended.append((attempt, mark))

    def look(self) -> None:
        """Log `job.left_processes` for each that left any."""
        ended = {mark: attempt for attempt, mark in self._take()}
        for mark, pids in (marked(ended) if ended else {}).items():
            job = ended[mark].job
            logger().info("job.left_processes", job_id=job.id, job_type=job.job_type,
                          queue=job.queue, attempt=job.attempt, worker=ended[mark].worker,
                          pids=pids)

    def _take(self) -> list[tuple[Attempt, str]]:
        return [self._ended.popleft() for _ in range(len(self._ended))]
