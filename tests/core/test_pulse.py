"""Rates and little bars, from how many attempts ended in each second."""

import pytest

from jobd.core.pulse import ASCII_BARS, BARS, SECONDS, course, rates, share, sparkline

NOW = 1_700_000_000


def test_rates_count_whole_seconds_only() -> None:
    """The second that is not over would make every rate too low."""
    beats = [(NOW, 1_000, 0), (NOW - 1, 10, 0), (NOW - 5, 10, 5), (NOW - 6, 35, 0),
             (NOW - 60, 100, 0), (NOW - 61, 750, 0), (NOW - SECONDS - 1, 10**6, 0)]
    found = rates(beats, NOW)
    assert found.now == pytest.approx(25 / 5)
    assert found.minute == pytest.approx(160 / 60)
    assert found.quarter == pytest.approx(910 / SECONDS)
    assert rates(beats, NOW, failed=True).now == 1


def test_nothing_ends_at_no_rate() -> None:
    """An empty file, or one from yesterday."""
    old = [(NOW - 86_400, 5, 5)]
    assert rates([], NOW) == rates(old, NOW)
    assert (rates([], NOW).now, course(old, NOW, 5)) == (0, [0] * 5)


def test_the_course_has_the_latest_at_its_right_end() -> None:
    """Equal parts of a quarter of an hour; times from the future are left out."""
    beats = [(NOW - 1, 1, 1), (NOW - SECONDS, 3, 0), (NOW - SECONDS // 2, 4, 0), (NOW + 5, 9, 9)]
    assert course(beats, NOW, 3) == [3, 4, 2]
    assert sum(course(beats, NOW, 47)) == 9


@pytest.mark.parametrize("bars", [BARS, ASCII_BARS])
def test_a_sparkline_shows_the_least_and_the_most(bars: str) -> None:
    """Nothing is blank, anything else is seen, the most is the highest bar."""
    line = sparkline([0, 0.001, 500, 1_000], bars)
    assert (line[0], line[1], line[3]) == (bars[0], bars[1], bars[-1])
    assert sparkline([0, 0], bars) == bars[0] * 2
    assert sparkline([], bars) == ""
    assert ASCII_BARS.isascii()


@pytest.mark.parametrize(("room", "wanted", "given"), [
    (10, [3, 3], [3, 3]), (4, [9, 9], [2, 2]), (5, [1, 9, 2], [1, 2, 2]), (0, [5], [0]),
    (-3, [5], [0]), (5, [], []), (2, [3, 3, 3], [1, 1, 0]),
])
def test_lines_are_shared_by_turns(room: int, wanted: list[int], given: list[int]) -> None:
    """Nobody gets more than it wants, and nobody starves while others feast."""
    assert share(room, wanted) == given
