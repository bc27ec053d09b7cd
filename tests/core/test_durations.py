"""Durations and times, as people write and read them."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from jobd.core.durations import age, format_duration, parse_duration, parse_time
from jobd.errors import BadInput


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("10m", 600),
        ("2h", 7_200),
        ("7d", 604_800),
        ("1h30m", 5_400),
        ("1d2h3m4s5ms", 93_784.005),
        ("1.5h", 5_400),
        ("0.25s", 0.25),
        ("0", 0),
        ("0s", 0),
        ("36525d", 3_155_760_000),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, seconds: float) -> None:
    """Units go from days to milliseconds, largest first, and "0" needs none."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is no duration; write 500ms, 30s, 10m, 2h, 7d or 1h30m"),
        ("10", "duration '10' has no unit; write 500ms, 30s"),
        ("1.5", "duration '1.5' has no unit"),
        ("10m10", "'10m10' is no duration"),
        ("30m1h", "'30m1h' is no duration"),
        ("1m1m", "is no duration"),
        ("-5s", "is no duration"),
        ("nan", "is no duration"),
        ("infs", "is no duration"),
        ("s", "is no duration"),
        (".5s", "is no duration"),
        ("1e3s", "is no duration"),
        ("5 s", "is no duration"),
        ("5s\n", "is no duration"),
        ("5S", "is no duration"),
        ("٣s", "is no duration"),
        ("36526d", "duration '36526d' is longer than 100 years"),
        ("9" * 400 + "s", "is longer than 100 years"),
    ],
)
def test_anything_else_is_refused_by_one_sentence(text: str, says: str) -> None:
    """The sentence quotes the value, shortened when it is long."""
    with pytest.raises(BadInput) as refused:
        parse_duration(text)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 160


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0001, "1 ms"),
        (0.25, "250 ms"),
        (0.9996, "1 s"),
        (1.5, "1.5 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (90, "1 min 30 s"),
        (180, "3 min"),
        (7_800, "2 h 10 min"),
        (7_205, "2 h"),
        (86_400, "1 day"),
        (100_000, "1 day 3 h"),
        (345_600, "4 days"),
        (-3, "-3 s"),
    ],
)
def test_a_person_reads_two_units_at_most(seconds: float, text: str) -> None:
    """The second unit is there when it is not zero."""
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("now", "then", "text"),
    [
        (200_000, 20_000, "3 min ago"),
        (200_000, 5_000, "3 min ago"),
        (0, 10_000, "in 10 s"),
        (7_800_000, 0, "2 h 10 min ago"),
        (500, 0, "now"),
        (0, 500, "now"),
    ],
)
def test_an_age_says_how_far_away_a_moment_is(now: int, then: int, text: str) -> None:
    """Beyond a minute nobody wants the seconds."""
    assert age(now, then) == text


SetZone = Callable[[str], None]


@pytest.fixture
def zone() -> Iterator[SetZone]:
    """Put the process into a time zone."""
    before = os.environ.get("TZ")

    def put(name: str | None) -> None:
        os.environ.pop("TZ", None)
        if name is not None:
            os.environ["TZ"] = name
        time.tzset()

    yield put
    put(before)


BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
"""Berlin's rules spelt out, so that the test needs no zone files."""


def _ms(iso: str) -> int:
    return round(datetime.fromisoformat(iso).timestamp() * 1000)


NOW = _ms("2026-11-22T13:00:00+00:00")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-22T14:30:00+01:00", "2026-11-22T13:30:00+00:00"),
        ("2026-11-22T14:30:00Z", "2026-11-22T14:30:00+00:00"),
        ("2026-11-22T14:30:00", "2026-11-22T13:30:00+00:00"),
        ("2026-11-22 14:30", "2026-11-22T13:30:00+00:00"),
        ("2026-11-23", "2026-11-22T23:00:00+00:00"),
        ("2027-07-01T12:00", "2027-07-01T10:00:00+00:00"),
        ("2026-11-21T14:00:00+01:00", "2026-11-21T13:00:00+00:00"),
        ("14:30", "2026-11-22T13:30:00+00:00"),
        ("14:30:15", "2026-11-22T13:30:15+00:00"),
        ("14:00", "2026-11-23T13:00:00+00:00"),
        ("9:05", "2026-11-23T08:05:00+00:00"),
    ],
)
def test_a_time_without_a_zone_is_local(zone: SetZone, text: str, meant: str) -> None:
    """Seen from Berlin at 14:00 on 22 November 2026; a bare time of day is the next one."""
    zone(BERLIN)
    assert parse_time(text, NOW) == _ms(meant)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is no time; write 2026-11-22T14:30:00+01:00 or 14:30"),
        ("tomorrow", "'tomorrow' is no time"),
        ("2026-02-30T10:00", "is no time"),
        ("24:00", "is no time"),
        ("14:60", "is no time"),
        ("2026-11-22T14:30:60", "is no time"),
        ("٢٠٢٦-11-22T14:30", "is no time"),
        ("10000-01-01T00:00:00Z", "is no time"),
        ("1969-12-31T23:59:59Z", "lies outside the years 1970 to 9999"),
        ("0001-01-01T00:00:00", "lies outside the years 1970 to 9999"),
        ("9999-12-31T23:59:59-05:00", "lies outside the years 1970 to 9999"),
        ("2026-11-21T12:59:59Z", "is more than 24 hours in the past"),
        ("2027-03-28T02:30:00", "does not exist here: the clocks go forward over it"),
    ],
)
def test_what_is_no_time_to_come_is_refused(zone: SetZone, text: str, says: str) -> None:
    """One sentence quotes the value and says what is wrong with it."""
    zone(BERLIN)
    with pytest.raises(BadInput) as refused:
        parse_time(text, NOW)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("now", "meant"),
    [
        ("2027-03-28T00:00:00+01:00", "2027-03-29T02:30:00+02:00"),
        ("2027-10-31T00:00:00+02:00", "2027-10-31T02:30:00+02:00"),
        ("2027-10-31T02:45:00+02:00", "2027-10-31T02:30:00+01:00"),
    ],
)
def test_a_time_of_day_is_the_next_that_the_clocks_show(
    zone: SetZone, now: str, meant: str
) -> None:
    """In the skipped hour that is tomorrow's; in the repeated hour it may be the second one."""
    zone(BERLIN)
    assert parse_time("02:30", _ms(now)) == _ms(meant)


def test_the_epoch_itself_is_a_time() -> None:
    """The first year begins with millisecond zero."""
    assert parse_time("1970-01-01T00:00:00Z", 0) == 0
    assert datetime.fromtimestamp(0, UTC).year == 1970
