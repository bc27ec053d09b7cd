"""How durations spread: a histogram, and the usual one, in little memory whatever their number."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from jobd.core.durations import format_duration


@dataclass(frozen=True, slots=True)
class Bucket:
    """Durations from `least` up to, but not, `below`, in ms."""

    least: int
    below: int
    count: int

    @property
    def label(self) -> str:
        return f"{'0' if not self.least else _short(self.least)} to {_short(self.below)}"


@dataclass(slots=True)
class Spread:
    """Durations in ms, kept to three digits."""

    count: int = 0
    sum: int = 0
    least: int | None = None
    most: int | None = None
    _seen: Counter[int] = field(default_factory=Counter)

    def add(self, ms: int) -> None:
        """Count one; a clock that was set back makes it nothing, not less."""
        ms = max(ms, 0)
        self.count += 1
        self.sum += ms
        self.least = ms if self.least is None else min(self.least, ms)
        self.most = ms if self.most is None else max(self.most, ms)
        self._seen[_rounded(ms)] += 1

    @property
    def mean(self) -> int | None:
        return round(self.sum / self.count) if self.count else None

    def share_below(self, part: float) -> int | None:
        """The duration that this part of them does not exceed; 0.5 is the median."""
        passed = 0
        for ms in sorted(self._seen):
            passed += self._seen[ms]
            if passed >= part * self.count:
                return ms
        return None

    def buckets(self) -> list[Bucket]:
        """From the shortest to the longest, in steps of 1, 2, 5, 10 …, empty ones between too."""
        if self.least is None or self.most is None:
            return []
        found: list[Bucket] = []
        for least, below in pairwise(_bounds(self.most)):
            if below > self.least:
                inside = sum(n for ms, n in self._seen.items() if least <= ms < below)
                found.append(Bucket(least, below, inside))
        return found


def _bounds(most: int) -> Iterator[int]:
    """0, 1, 2, 5, 10, 20 … up to the first that is more than `most`."""
    yield 0
    size = 1
    while True:
        for step in (1, 2, 5):
            yield step * size
            if step * size > most:
                return
        size *= 10


def _rounded(ms: int) -> int:
    """Three digits of it, the rest cut: no more than 900 different ones for each power of ten."""
    size = 1
    while ms >= 1_000 * size:
        size *= 10
    return ms // size * size


def _short(ms: int) -> str:
    return format_duration(ms / 1000)
