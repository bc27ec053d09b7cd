"""Durations and times as people write and read them: "1h30m", "3 min ago", "14:30"."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from jobd.errors import BadInput

LONGEST = 36_525 * 86_400.0
"""A hundred years in seconds: the longest duration that is believed."""

_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_DURATION = "".join(f"(?:({_NUMBER}){unit})?" for unit in _UNITS)
_CLOCK = r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000
_YEAR_10000 = 253_402_300_800_000


def parse_duration(text: str) -> float:
    """Seconds of "500ms", "30s", "1.5h", "1h30m" or "0"; BadInput for anything else."""
    if text == "0":
        return 0.0
    if re.fullmatch(_NUMBER, text):
        raise BadInput(f"duration {text!r:.60} has no unit; write 500ms, 30s, 10m, 2h, 7d or 1h30m")
    match = re.fullmatch(_DURATION, text)
    if not text or match is None:
        raise BadInput(f"{text!r:.60} is no duration; write 500ms, 30s, 10m, 2h, 7d or 1h30m")
    parts = zip(match.groups(), _UNITS.values(), strict=True)
    seconds = sum(float(number) * unit for number, unit in parts if number)
    if seconds > LONGEST:
        raise BadInput(f"duration {text!r:.60} is longer than 100 years")
    return seconds


def format_duration(seconds: float) -> str:
    """Short text for a person, at most two units: "1.5 s", "3 min", "2 h 10 min", "4 days"."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if 0 < seconds < 0.9995:
        return f"{max(1, round(seconds * 1000))} ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    return _two_units(round(seconds))


def _two_units(seconds: int) -> str:
    minutes, s = divmod(seconds, 60)
    hours, min_ = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    words = [(days, "day" if days == 1 else "days"), (h, "h"), (min_, "min"), (s, "s")]
    first = next(place for place, (number, _) in enumerate(words) if number)
    return " ".join(f"{number} {word}" for number, word in words[first : first + 2] if number)


def age(ms_now: int, ms_then: int) -> str:
    """How far away a moment is: "3 min ago", "in 10 s", "now" within a second; no stray seconds."""
    seconds = abs(ms_now - ms_then) // 1000
    if seconds == 0:
        return "now"
    text = format_duration(seconds - seconds % 60 if seconds >= 60 else seconds)
    return f"{text} ago" if ms_then < ms_now else f"in {text}"


def parse_time(text: str, now_ms: int) -> int:
    """Milliseconds since the epoch of an ISO 8601 date-time, or of the next "14:30".

    Without a zone it is the machine's local time. BadInput for what is no time, lies more than
    24 hours in the past, or outside the years 1970 to 9999.
    """
    clock = re.fullmatch(_CLOCK, text)
    if clock is not None:
        hour, minute, second = (int(part or 0) for part in clock.groups())
        return _next_local(time(hour, minute, second), now_ms)
    found = _milliseconds(_date_time(text), text)
    if now_ms - found > _DAY_MS:
        raise BadInput(f"time {text!r:.60} is more than 24 hours in the past")
    return found


def _date_time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text) if text.isascii() else None
    except ValueError:
        found = None
    if found is None:
        raise BadInput(f"{text!r:.60} is no time; write 2026-11-22T14:30:00+01:00 or 14:30")
    return found


def _milliseconds(moment: datetime, text: str) -> int:
    try:
        aware = moment if moment.tzinfo else _local(moment)
        ms = (aware - _EPOCH) // timedelta(milliseconds=1)
        exists = moment.tzinfo is not None or _exists(moment, aware)
    except (OverflowError, ValueError, OSError):
        ms, exists = -1, True
    if not 0 <= ms < _YEAR_10000:
        raise BadInput(f"time {text!r:.60} lies outside the years 1970 to 9999")
    if not exists:
        raise BadInput(f"time {text!r:.60} does not exist here: the clocks go forward over it")
    return ms


def _local(naive: datetime) -> datetime:
    """What has no zone, read as the machine's local time."""
    return naive.astimezone()


def _exists(naive: datetime, aware: datetime) -> bool:
    return aware.astimezone(UTC).astimezone().replace(tzinfo=None) == naive


def _next_local(clock: time, now_ms: int) -> int:
    now = _EPOCH + timedelta(milliseconds=now_ms)
    today = now.astimezone().date()
    later = (moment for moment in _readings(clock, today) if moment > now)
    return (next(later) - _EPOCH) // timedelta(milliseconds=1)


def _readings(clock: time, today: date) -> Iterator[datetime]:
    """The moments, today and after, when the local clocks show `clock`; none in a skipped hour."""
    for days in range(3):
        for fold in (0, 1):
            naive = datetime.combine(today + timedelta(days=days), clock.replace(fold=fold))
            aware = _local(naive)
            if _exists(naive, aware):
                yield aware
