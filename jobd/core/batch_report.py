"""What became of a batch: totals, how long its items took, the slowest, the failures by cause."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from typing import Any

from jobd.core.fingerprint import DeadLetter, Groups
from jobd.core.spread import Spread

SLOWEST = 10

Item = Mapping[str, Any]
"""An item with the columns of the view `batch_item_status`."""


@dataclass(slots=True)
class BatchReport:
    """Made of one item after the other, in memory that does not grow with their number."""

    durations: Spread = field(default_factory=Spread)
    """Of the attempts that completed."""
    failures: Groups = field(default_factory=Groups)
    retried: int = 0
    """Items that took more than one attempt."""
    _slowest: list[tuple[int, int, dict[str, Any]]] = field(default_factory=list)

    def add(self, item: Item, job_type: str) -> None:
        self.retried += (item["attempt"] or 0) > 1
        if item["status"] == "failed":
            self.failures.add(failure_of(item, job_type))
        took = duration_of(item)
        if took is None or item["status"] != "completed":
            return
        self.durations.add(took)
        entry = (took, -item["position"], dict(item))
        if len(self._slowest) < SLOWEST:
            heappush(self._slowest, entry)
        elif entry[:2] > self._slowest[0][:2]:
            heappushpop(self._slowest, entry)

    @property
    def slowest(self) -> list[dict[str, Any]]:
        """The items that took longest, the longest first."""
        return [item for _, _, item in sorted(self._slowest, key=lambda each: each[:2])[::-1]]


def duration_of(item: Item) -> int | None:
    """How long its last attempt took, in ms; None when it has not run or not ended."""
    if item["started_at"] is None or item["ended_at"] is None:
        return None
    return max(int(item["ended_at"] - item["started_at"]), 0)


def failure_of(item: Item, job_type: str) -> DeadLetter:
    """A failed item as far as its cause goes."""
    return DeadLetter(
        id=item["job_id"], job_type=job_type, queue="", failure_type=item["failure_type"],
        message=item["error_message"] or item["dead_letter_reason"],
        parked_at=item["ended_at"] or item["created_at"], execution_over=True,
    )
