"""Which of the jobs at the head of the line are taken now, and how."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Generic, Protocol, TypeVar

SUSPECT = 2
"""From this many rescues on a job is suspected of killing its daemon, and runs without another."""


class Head(Protocol):
    @property
    def id(self) -> int: ...
    @property
    def queue(self) -> str: ...
    @property
    def job_type(self) -> str: ...
    @property
    def bufferable(self) -> bool: ...
    @property
    def rescue_count(self) -> int: ...
    @property
    def priority(self) -> int: ...


Line = TypeVar("Line", bound=Head)


@dataclass(slots=True)
class Choice(Generic[Line]):
    """Jobs to claim for a free worker, to claim into the buffer, and ids to set aside."""

    direct: list[Line] = field(default_factory=list)
    buffered: list[Line] = field(default_factory=list)
    without_handler: list[int] = field(default_factory=list)
    passed_over: bool = False
    """Whether a suspect had to stay in line while a worker was free."""


def choose(
    heads: Iterable[Line],
    *,
    free: int,
    buffer: int,
    handled: Collection[str],
    room: Mapping[str, int],
    suspect_runs: bool,
) -> Choice[Line]:
    """Choose from `heads` (best first) for `free` workers and `buffer` places behind them.

    `room` says how many more each limited queue may execute. The start of a buffered job is
    written a moment after it, so one that kills its daemon at once goes uncharged that time, but
    never again: it is not `bufferable` after an attempt of which nothing is known. Where that one
    finds no free worker nobody behind it is buffered, or brief jobs would overtake it without end.
    Of the suspects only one runs at a time, so that one culprit cannot take innocent jobs to the
    bound; others are passed over.
    """
    choice: Choice[Line] = Choice()
    left = dict(room)
    for head in heads:
        if head.job_type not in handled:
            choice.without_handler.append(head.id)
        elif left and left.get(head.queue, 1) <= 0:
            continue
        elif suspect_runs and head.rescue_count >= SUSPECT:
            choice.passed_over |= free > 0
        elif free:
            choice.direct.append(head)
            free -= 1
            suspect_runs = suspect_runs or head.rescue_count >= SUSPECT
            _use(left, head.queue)
        elif not head.bufferable:
            buffer = 0
        elif buffer:
            choice.buffered.append(head)
            buffer -= 1
            _use(left, head.queue)
    return choice


def in_line(
    singles: Sequence[Line], lines: Sequence[Sequence[Line]], turn: int
) -> list[Line]:
    """Single jobs and the next items of batches (each best first) as one line.

    Higher priority goes first. Of equal priority, jobs that were enqueued before any of the batches
    was made go first; behind them all take turns, beginning with another one each `turn`, so that
    no batch holds up others however many items it has.
    """
    if not lines:
        return list(singles)
    if len(lines) == 1 and not singles:
        return list(lines[0])
    found: list[Line] = []
    priorities = {head.priority for line in (singles, *lines) for head in line}
    for priority in sorted(priorities, reverse=True):
        alike = [[head for head in line if head.priority == priority] for line in lines]
        alike = [line for line in alike if line]
        first = min((line[0].id for line in alike), default=None)
        later: list[Line] = []
        for head in singles:
            if head.priority == priority:
                (found if first is None or head.id < first else later).append(head)
        found += _in_turns([line for line in (later, *alike) if line], turn)
    return found


def _in_turns(lines: Sequence[Sequence[Line]], turn: int) -> Iterator[Line]:
    """One of each line, again and again, until all are empty."""
    if len(lines) == 1:
        yield from lines[0]
        return
    start = turn % len(lines) if lines else 0
    for row in zip_longest(*lines[start:], *lines[:start]):
        yield from (head for head in row if head is not None)


def _use(left: dict[str, int], queue: str) -> None:
    if queue in left:
        left[queue] -= 1
