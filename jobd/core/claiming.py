"""Which of the jobs at the head of the line are taken now, and how."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
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
    def attempt(self) -> int: ...
    @property
    def rescue_count(self) -> int: ...


Line = TypeVar("Line", bound=Head)


@dataclass(slots=True)
class Choice(Generic[Line]):
    """Jobs to claim for a free worker, to claim into the buffer, and ids to set aside."""

    direct: list[Line] = field(default_factory=list)
    buffered: list[Line] = field(default_factory=list)
    without_handler: list[int] = field(default_factory=list)


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

    `room` says how many more each limited queue may execute. Only a job that was never claimed
    before is buffered: the start of a buffered job is written a moment after it, so one that
    kills its daemon at once goes uncharged that time, but never again. Of the suspects only one
    runs at a time, so that one culprit cannot take innocent jobs to the bound.
    """
    choice: Choice[Line] = Choice()
    left = dict(room)
    for head in heads:
        if head.job_type not in handled:
            choice.without_handler.append(head.id)
        elif left and left.get(head.queue, 1) <= 0:
            continue
        elif free and not (suspect_runs and head.rescue_count >= SUSPECT):
            choice.direct.append(head)
            free -= 1
            suspect_runs = suspect_runs or head.rescue_count >= SUSPECT
            _use(left, head.queue)
        elif buffer and head.attempt == 0:
            choice.buffered.append(head)
            buffer -= 1
            _use(left, head.queue)
    return choice


def _use(left: dict[str, int], queue: str) -> None:
    if queue in left:
        left[queue] -= 1
