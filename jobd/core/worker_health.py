"""How a worker may be."""

from collections.abc import Mapping
from enum import StrEnum


class HealthStatus(StrEnum):
    """How a worker is, as the sweep sees it."""

    NORMAL = "normal"
    POTENTIALLY_STUCK = "potentially_stuck"
    UNHEALTHY = "unhealthy"


NOT_WELL: Mapping[str, str] = {
    HealthStatus.POTENTIALLY_STUCK:
        "may be stuck: it was told to stop and has not yet, or it reports no progress",
    HealthStatus.UNHEALTHY: "does not stop: it still executes after timing.kill_grace",
}
"""What is said of a worker that is not normal."""
