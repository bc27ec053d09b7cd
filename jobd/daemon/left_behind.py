"""What commands left running that ended well: it is told once, and its output stays bounded."""

from collections import deque

from jobd.daemon.attempt import Attempt
from jobd.daemon.survivors import marked
from jobd.log import logger
from jobd.store.attempt_files import cut


class LeftBehind:
    """Commands that ended well, for as long as something of them runs."""

    def __init__(self) -> None:
        self._ended: deque[tuple[str, Attempt]] = deque()
        self._told: dict[str, Attempt] = {}

    def add(self, attempt: Attempt, mark: str) -> None:
        """The attempt whose processes carry `mark` has ended well."""
        self._ended.append((mark, attempt))

    def look(self, max_output: int) -> None:
        """Log `job.left_processes` for each that left any; cut what those write to `max_output`."""
        new = dict(self._ended.popleft() for _ in range(len(self._ended)))
        known = {**self._told, **new}
        left = marked(known) if known else {}
        self._told = {mark: known[mark] for mark in left}
        for mark in left.keys() & new.keys():
            _tell(new[mark], left[mark])
        # Those that have gone since the last look may have written until then.
        for path in (path for attempt in known.values() for path in attempt.output):
            cut(path, max_output)


def _tell(attempt: Attempt, pids: list[int]) -> None:
    job = attempt.job
    logger().info("job.left_processes", job_id=job.id, job_type=job.job_type, queue=job.queue,
                  attempt=job.attempt, worker=attempt.worker, pids=pids)
