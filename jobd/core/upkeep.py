"""How long ended jobs are kept, and where measurements go: two tables of the configuration."""

from dataclasses import dataclass

from jobd.core.settings import Duration, Text, setting

_DAY = 86_400.0
_HUNDRED_YEARS = 36_525 * _DAY


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a job stays after it has ended, in seconds; None is for ever."""

    completed: float | None = setting(
        7 * _DAY,
        'How long completed jobs, and batches without failures, are kept; or "none": for ever.',
        Duration(1, _HUNDRED_YEARS, optional=True),
    )
    ended: float | None = setting(
        90 * _DAY,
        'How long jobs and batches are kept that ended otherwise; or "none": for ever.',
        Duration(1, _HUNDRED_YEARS, optional=True),
    )


@dataclass(frozen=True, slots=True)
class Metrics:
    """What is written for the textfile collector of Prometheus' node exporter."""

    file: str = setting(
        "",
        "The file that gets all measurements in the text format of Prometheus; empty is none.",
        Text("a path", empty=True),
    )
    interval: float = setting(15.0, "How often measurements are written.", Duration(1, 3_600))
