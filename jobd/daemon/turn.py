"""What goes into one transaction of the dispatcher, and what comes out of it."""

import sqlite3
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field

from jobd.core.job import Row, Settlement
from jobd.core.lifecycle import Move
from jobd.daemon.attempt import Attempt, Ended
from jobd.daemon.context import Checkpoint

Write = Callable[[sqlite3.Connection, int], object]
"""Something small to be written with the next transaction, given the time in ms."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a sweep decided about an attempt that still executes: TIME_OUT, LOSE or PARK."""

    attempt: Attempt
    move: Move
    stack: str | None = None


Arrival = Verdict | Row | Settlement | Checkpoint | Write


@dataclass(slots=True)
class Batch:
    """Everything that has arrived for the next transaction."""

    ended: list[Ended] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    orphans: list[Row] = field(default_factory=list)
    """Rows of dead daemons whose execution is over."""
    haunted: list[Row] = field(default_factory=list)
    """Rows of dead daemons for whom processes still run: zombies, until those are gone."""
    parks: list[Settlement] = field(default_factory=list)
    """Of those, the ones whose processes cannot be ended."""
    checkpoints: list[Checkpoint] = field(default_factory=list)
    starts: list[Attempt] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)

    def add(self, arrival: Arrival, in_hand: Container[int]) -> None:
        """Sort in what a sweep or handler handed in; `in_hand` has the ids of our own attempts."""
        match arrival:
            case Verdict():
                self.verdicts.append(arrival)
            case Row():
                if arrival.id not in in_hand:
                    self.orphans.append(arrival)
            case Settlement():
                self.parks.append(arrival)
            case Checkpoint():
                self.checkpoints.append(arrival)
            case write:
                self.writes.append(write)

    def __bool__(self) -> bool:
        return bool(self.ended or self.verdicts or self.orphans or self.haunted or self.parks
                    or self.checkpoints or self.starts or self.writes)


@dataclass(frozen=True, slots=True)
class Settled:
    """An attempt that ended with this move; `ended` is None when its owner had died."""

    move: Move
    settlement: Settlement
    ended: Ended | None


@dataclass(slots=True)
class Applied:
    """What the transaction really changed; it is durable once the commit has returned."""

    completed: list[tuple[Ended, Sequence[int]]] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)
    late: list[Ended] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    checkpoints: set[int] = field(default_factory=set)

    def is_plain(self) -> bool:
        """Whether it holds nothing but successes: then no other job became due for later."""
        others = self.settled or self.late or self.verdicts or self.checkpoints
        return not others and not any(enqueued for _, enqueued in self.completed)
