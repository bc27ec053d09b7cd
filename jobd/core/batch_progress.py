"""How far a batch is: how fast it goes, the time left, and both on one line that fits."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from jobd.core.durations import format_duration

ENOUGH_ENDS = 3
"""Fewer ends say nothing about the next."""

SHORTEST_MS = 200
"""What ended in less says nothing about the next."""

WINDOW_ENDS, WINDOW_PER_PLACE, WINDOW_MS = 30, 8, 10_000
"""How far back one looks: as many ends, as many for each place, and as long, whatever is most."""

A_STALL_MS, A_STALL = 30_000, 20
"""So many times the usual distance of two ends of one place is a stop, and no slow item."""

LONGEST_SECONDS = 366 * 86_400.0

Sample = tuple[int, int]
"""A moment in ms, and how many items had ended by then."""


class Pace(NamedTuple):
    """Ends per second, lately; None when nobody can tell."""

    per_second: float | None

    def left(self, items: int) -> float | None:
        """Seconds until so many more have ended; None is unknown."""
        if items <= 0:
            return 0.0
        if not self.per_second:
            return None
        seconds = items / self.per_second
        return seconds if seconds <= LONGEST_SECONDS else None


def pace(samples: Sequence[Sample], places: int, now: int) -> Pace:
    """How fast items end lately, when `places` of them run at once.

    Only the latest samples count, and none from before a stop, so that a slow start and a pause
    are soon forgotten. When nothing ends any more it sinks, and is unknown in the end.
    """
    changes = [samples[0], *(b for a, b in pairwise(samples) if b[1] > a[1])] if samples else []
    if len(changes) < 2:
        return Pace(None)
    first, last = changes[_first_of_window(changes, places)], changes[-1]
    ends, span = last[1] - first[1], last[0] - first[0]
    if ends < ENOUGH_ENDS or span < SHORTEST_MS:
        return Pace(None)
    silence, usual = now - last[0], places * span / ends
    if silence > _stall(usual):
        return Pace(None)
    if silence > 3 * usual:
        span += silence
    return Pace(1000 * ends / span)


def _first_of_window(changes: Sequence[Sample], places: int) -> int:
    """Where the latest samples begin that are enough to tell by."""
    last, wanted = changes[-1], max(WINDOW_ENDS, WINDOW_PER_PLACE * places)
    for index in range(len(changes) - 2, -1, -1):
        ends, span = last[1] - changes[index + 1][1], last[0] - changes[index + 1][0]
        # Ends of one wave are no distance apart: two waves at least say how slow is slow.
        if ends >= max(ENOUGH_ENDS, 2 * places):
            gap = changes[index + 1][0] - changes[index][0]
            if gap > _stall(places * span / ends) or (ends >= wanted and span >= WINDOW_MS):
                return index + 1
    return 0


def _stall(usual: float) -> float:
    return max(A_STALL_MS, A_STALL * usual)


def said(seconds: float | None) -> str:
    """Time left as a person reads it."""
    if seconds is None:
        return "unknown"
    return format_duration(max(1, round(seconds))) if seconds else "none"


def per_time(per_second: float | None) -> str:
    """A rate in the unit in which it is a number that says something."""
    if not per_second:
        return "-"
    for unit, seconds in (("s", 1), ("min", 60), ("h", 3_600)):
        if per_second * seconds >= 1 or unit == "h":
            number = per_second * seconds
            return f"{number:,.0f}/{unit}" if number >= 9.95 else f"{number:.1f}/{unit}"
    raise AssertionError


def bar(done: int, failed: int, total: int, width: int, *, letters: bool) -> str:
    """A bar of exactly `width` columns: what succeeded, what failed, what is left.

    A single failure among a million is seen, and no bar is full before everything has ended.
    """
    if width <= 0:
        return ""
    total = max(total, done, 1)
    full, bad, empty = "█▒·" if letters else "#x."
    ended = width if done >= total else min(width * done // total, width - 1)
    wrong = min(ended, max(1, round(width * failed / total))) if failed else 0
    return full * (ended - wrong) + bad * wrong + empty * (width - ended)


def progress_line(
    done: int, failed: int, total: int, columns: int, *, words: Sequence[str], letters: bool
) -> str:
    """A bar with its percentage and `words`, as many of them as leave room for a bar."""
    percent = f"{100 * done // max(total, 1):3d} %"
    kept = list(words)
    while True:
        text = "  ".join([percent, *kept])
        room = columns - len(text) - 3
        if room >= 10 or not kept:
            break
        kept.pop()
    if room < 3:
        return text[: max(columns, 0)]
    return f"[{bar(done, failed, total, min(room, 60), letters=letters)}] {text}"
