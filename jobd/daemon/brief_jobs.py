"""Which job types are so brief that one worker is as good as many."""

from collections import defaultdict
from collections.abc import Sequence

from jobd.core.job import Job
from jobd.daemon.attempt import Ended

BRIEF = 0.000_05
"""Seconds: about what it takes to wake a thread."""
LONG = 0.05
"""Seconds: no wait for the interpreter's lock, which brief jobs have too, takes so long."""
REMEMBERED = 1.0
"""Seconds for which a type is not brief after one job that was long."""


class BriefJobs:
    """Types of which most jobs were brief when some last ended, and none long."""

    def __init__(self) -> None:
        self._brief: set[str] = set()
        self._long_at: dict[str, float] = {}

    def ended(self, ended: Sequence[Ended], now: float) -> None:
        """These attempts are over; `now` is monotonic."""
        lasted: dict[str, list[float]] = defaultdict(list)
        for each in ended:
            if each.duration:  # else it was given back before it began, and says nothing
                lasted[each.attempt.job.job_type].append(each.duration)
        for job_type, durations in lasted.items():
            if max(durations) >= LONG:
                self._long_at[job_type] = now
            most = 2 * sum(each < BRIEF for each in durations) > len(durations)
            if most and now - self._long_at.get(job_type, -REMEMBERED) >= REMEMBERED:
                self._brief.add(job_type)
            else:
                self._brief.discard(job_type)

    def workers_for(self, claimed: Sequence[Job]) -> int:
        """How many workers are worth waking: one for all brief jobs, one for each other."""
        others = sum(job.job_type not in self._brief for job in claimed)
        return others + (others < len(claimed))
