"""How a worker may be."""

from enum import StrEnum


class HealthStatus(StrEnum):
    """How a worker is, as the sweep sees it."""

    NORMAL = "normal"
    POTENTIALLY_STUCK = "potentially_stuck"
    UNHEALTHY = "unhealthy"
