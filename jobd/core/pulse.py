"""How fast jobs end: rates of the last moments, and their course as a line of little bars."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SECONDS = 900
"""How far back one looks."""
A_MOMENT, A_MINUTE = 5, 60

BARS = " ▁▂▃▄▅▆▇█"
ASCII_BARS = " .:-=+*#@"

Beat = tuple[int, int, int]
"""A second since the epoch, and how many attempts completed and failed in it."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Ended attempts per second: now, in the last minute, in the last quarter of an hour."""

    now: float
    minute: float
    quarter: float


def rates(beats: Iterable[Beat], second: int, *, failed: bool = False) -> Rates:
    """The rates as of `second`, which itself is not over and does not count."""
    counts = {at: (beat_failed if failed else completed + beat_failed)
              for at, completed, beat_failed in beats}
    sums = [
        sum(count for at, count in counts.items() if second - span <= at < second) / span
        for span in (A_MOMENT, A_MINUTE, SECONDS)
    ]
    return Rates(*sums)


def course(beats: Iterable[Beat], second: int, columns: int) -> list[int]:
    """How many attempts ended in each of `columns` equal parts of the last quarter of an hour."""
    found = [0] * columns
    for at, completed, failed in beats:
        age = second - 1 - at
        if 0 <= age < SECONDS:
            found[columns - 1 - age * columns // SECONDS] += completed + failed
    return found


def sparkline(values: Sequence[float], bars: str = BARS) -> str:
    """A bar for each value; anything above nothing is at least the lowest bar."""
    most = max(values, default=0)
    steps = len(bars) - 1
    return "".join(
        bars[0] if value <= 0 or most <= 0 else bars[max(1, round(steps * value / most))]
        for value in values
    )


def share(room: int, wanted: Sequence[int]) -> list[int]:
    """How many lines each part gets when there are `room`: by turns, until all have enough."""
    given = [0] * len(wanted)
    while room > 0 and given != list(wanted):
        for index, wish in enumerate(wanted):
            if room > 0 and given[index] < wish:
                given[index] += 1
                room -= 1
    return given
