"""When an ended job may be deleted."""

from collections.abc import Iterable
from dataclasses import dataclass

from jobd.core.lifecycle import CANCELLED, COMPLETED, DEAD_LETTER, FAILED, JobStatus
from jobd.core.upkeep import Retention

PRUNABLE = (COMPLETED, FAILED, DEAD_LETTER, CANCELLED)
"""The ends; whatever else a job is, it is never deleted."""

WITH_REQUEST_ID_MS = 86_400_000
"""For so long after its end a job with a request id is kept: the call may yet be repeated."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """Jobs in `status` may go that ended at `before` or earlier; times in ms.

    Those that have a request id only if they ended at `keyed_before` or earlier.
    """

    status: JobStatus
    before: int
    keyed_before: int


def expiry(status: JobStatus, seconds: float, now: int) -> Expiry:
    """Jobs in `status` are kept for so long."""
    before = now - round(1000 * seconds)
    return Expiry(status, before, min(before, now - WITH_REQUEST_ID_MS))


def expiries(
    retention: Retention, now: int, statuses: Iterable[JobStatus] = PRUNABLE
) -> list[Expiry]:
    """What the configuration lets go of; a status that is kept for ever is missing."""
    kept = {status: _kept(retention, status) for status in statuses}
    return [expiry(status, kept_for, now) for status, kept_for in kept.items()
            if kept_for is not None]


def shortest(retention: Retention) -> float | None:
    """The shortest time for which anything is kept, in seconds; None when all is, for ever."""
    return min((each for each in (retention.completed, retention.ended) if each is not None),
               default=None)


def _kept(retention: Retention, status: JobStatus) -> float | None:
    return retention.completed if status is COMPLETED else retention.ended
