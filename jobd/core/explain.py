"""Why a job is not running, or why it is dead, and what to type: one paragraph per cause."""

from collections.abc import Callable, Mapping

from jobd.core.facts import Explanation, Facts
from jobd.core.lifecycle import JobStatus
from jobd.core.why_ended import why_cancelled, why_completed, why_dead, why_failed
from jobd.core.why_executing import why_running, why_timeout, why_zombie
from jobd.core.why_waiting import why_pending, why_retrying

_BY_STATUS: Mapping[JobStatus, Callable[[Facts], Explanation]] = {
    JobStatus.PENDING: why_pending,
    JobStatus.RUNNING: why_running,
    JobStatus.TIMEOUT: why_timeout,
    JobStatus.ZOMBIE: why_zombie,
    JobStatus.RETRYING: why_retrying,
    JobStatus.COMPLETED: why_completed,
    JobStatus.FAILED: why_failed,
    JobStatus.DEAD_LETTER: why_dead,
    JobStatus.CANCELLED: why_cancelled,
}


def explain(facts: Facts) -> Explanation:
    """The cause that stands in the way first, in the words of a person, and the way on."""
    return _BY_STATUS[facts.status](facts)


__all__ = ["Explanation", "Facts", "explain"]
