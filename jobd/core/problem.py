"""One thing that is wrong: how bad it is, a word for programs, a sentence, and what to type."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from jobd.core.durations import format_duration


class State(StrEnum):
    """The verdict, worst last."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DOWN = "down"


class Problem(NamedTuple):
    """One thing that is wrong: `cause` is a word for programs, `text` a sentence for people."""

    state: State
    cause: str
    text: str
    next_command: str | None = None


def worst(problems: Iterable[Problem]) -> list[Problem]:
    """The problems with the worst first."""
    order = list(State)
    return sorted(problems, key=lambda each: -order.index(each.state))


def counted(number: int, noun: str) -> str:
    """ "1 job", "2 jobs"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def lasted(ms: int) -> str:
    """How long something took, for a person."""
    return format_duration(max(ms, 0) / 1000 if ms < 10_000 else ms // 1000)
