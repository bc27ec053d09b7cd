"""What a daemon counts from its start on, and the measurements that come of it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobd.core.prometheus import Family, Histogram, Sample, by_label, counter, gauge, histogram

MOST_SERIES = 500
OTHERS = ("(others)", "(others)")
"""Where jobs are counted once there are five hundred pairs of queue and type."""


@dataclass(slots=True)
class Series:
    """Attempts of one job type from one queue."""

    outcomes: Counter[str] = field(default_factory=Counter)
    waited: Histogram = field(default_factory=Histogram)
    ran: Histogram = field(default_factory=Histogram)


@dataclass(slots=True)
class Counters:
    """Everything since the start. One thread counts; others may read at any time."""

    series: dict[tuple[str, str], Series] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    sweeps: Counter[str] = field(default_factory=Counter)
    sweep_failures: Counter[str] = field(default_factory=Counter)

    def of(self, queue: str, job_type: str) -> Series:
        """The series of a queue and a type."""
        found = self.series.get((queue, job_type))
        if found is None:
            key = (queue, job_type) if len(self.series) < MOST_SERIES else OTHERS
            found = self.series.setdefault(key, Series())
        return found


EVENTS = {
    "late_results": "Results that came after the verdict and changed nothing.",
    "rescues": "Attempts of dead daemons that were disposed of.",
    "timeouts": "Deadlines that passed.",
    "zombies": "Attempts that were told to stop and did not in time.",
}


def families(
    counters: Counters, pruned: Mapping[str, int], started_at: int, told_at: int
) -> list[Family]:
    """The measurements of one daemon; times in ms."""
    found = [(_labels(key), each) for key, each in sorted(counters.series.items())]
    return [
        gauge("jobd_daemon_start_time_seconds", "When the daemon started.",
              [Sample(started_at / 1000)]),
        gauge("jobd_daemon_told_time_seconds", "When the daemon wrote these counters.",
              [Sample(told_at / 1000)]),
        counter("jobd_attempts_total", "Attempts that ended, by how.",
                [Sample(count, {**labels, "outcome": outcome}) for labels, each in found
                 for outcome, count in sorted(each.outcomes.copy().items())]),
        counter("jobd_failures_total", "Attempts that failed, by why.",
                by_label(counters.failures.copy(), "failure_type")),
        histogram("jobd_wait_seconds", "From when a job might have run to when it did.",
                  _each(found, "waited")),
        histogram("jobd_run_seconds", "How long attempts ran.", _each(found, "ran")),
        *(counter(f"jobd_{name}_total", text, [Sample(counters.events[name])])
          for name, text in EVENTS.items()),
        counter("jobd_sweeps_total", "Sweeps that were entered.",
                by_label(counters.sweeps.copy(), "sweep")),
        counter("jobd_sweep_failures_total", "Sweeps that ended by an error.",
                by_label(counters.sweep_failures.copy(), "sweep")),
        counter("jobd_pruned_jobs_total", "Ended jobs that were deleted for their age.",
                by_label(dict(pruned), "status")),
    ]


def _each(found: list[tuple[dict[str, str], Any]], name: str) -> Iterator[Sample]:
    for labels, series in found:
        yield from getattr(series, name).samples(labels)


def _labels(key: tuple[str, str]) -> dict[str, str]:
    return {"queue": key[0], "type": key[1]}
