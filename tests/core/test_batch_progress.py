"""How fast a batch goes and how long it still takes, at every moment of its life."""

import pytest

from jobd.core.batch_progress import (
    Pace,
    bar,
    pace,
    per_time,
    progress_line,
    said,
)


def ends(*parts: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Samples: for each (start, number, every) so many ends, one each `every` ms."""
    moments = [start + every * (number + 1) for start, count, every in parts
               for number in range(count)]
    return [(parts[0][0], 0), *((at, index) for index, at in enumerate(moments, 1))]


def rate(samples: list[tuple[int, int]], places: int = 1, after: int = 0) -> float | None:
    return pace(samples, places, samples[-1][0] + after).per_second


def test_a_steady_batch() -> None:
    """One each 100 ms is ten a second."""
    assert rate(ends((0, 500, 100))) == pytest.approx(10)


def test_nothing_is_known_at_the_beginning() -> None:
    """Before there are three ends, any number would be nonsense."""
    assert pace([], 1, 0).per_second is None
    assert rate(ends((0, 0, 1))) is None
    assert rate(ends((0, 2, 100))) is None
    assert rate(ends((0, 3, 100))) == pytest.approx(10)


def test_a_slow_start_is_forgotten() -> None:
    """Ten minutes of cold caches, then ten a second: the estimate is that of now."""
    assert rate(ends((0, 60, 10_000), (600_000, 150, 100))) == pytest.approx(10, rel=0.05)


def test_a_batch_that_slows_down_is_noticed() -> None:
    """Fast at first, then one each 2 s."""
    assert rate(ends((0, 10_000, 10), (100_000, 60, 2_000))) == pytest.approx(0.5, rel=0.05)


def test_a_pause_does_not_count() -> None:
    """After ten hours of rest the rate is that of the ends since."""
    assert rate(ends((0, 1_000, 100), (36_000_000, 5, 100))) == pytest.approx(10, rel=0.3)


def test_while_nothing_ends_the_rate_sinks_and_is_then_unknown() -> None:
    """A stopped daemon does not promise an end in 3 s for hours."""
    samples = ends((0, 500, 100))
    shortly, later = rate(samples, after=200), rate(samples, after=20_000)
    assert shortly == pytest.approx(10)
    assert later is not None
    assert later < 10
    assert rate(samples, after=600_000) is None


def test_waves_of_equal_items_count_as_what_they_are() -> None:
    """Eight at once, each a minute: 8 a minute, in the middle of a wave too."""
    samples = [(60_000 * wave, 8 * wave) for wave in range(6)]
    assert pace(samples, 8, 300_000 + 59_000).per_second == pytest.approx(8 / 60)
    one_by_one = [(0, 0), *((60_000 * (n // 8 + 1), n + 1) for n in range(40))]
    assert pace(one_by_one, 8, 300_000).per_second == pytest.approx(8 / 60)


def test_a_clock_that_was_set_back_makes_no_nonsense() -> None:
    """A rate is never negative, whatever the moments."""
    for now in (0, 10_000, 60_000):
        found = pace([(50_000, 1), (50_001, 2), (51_000, 5), (50_500, 9)], 1, now).per_second
        assert found is None or found > 0


def test_what_ended_within_a_moment_says_nothing() -> None:
    """Six hundred items in one millisecond are the work of a time that nobody counted."""
    assert pace([(0, 0), (1, 619)], 2, 1).per_second is None


@pytest.mark.parametrize(("per_second", "items", "text"), [
    (2.0, 240, "2 min"), (None, 10, "unknown"), (None, 0, "none"), (0.0, 5, "unknown"),
    (1e-9, 1_000, "unknown"), (100.0, 1, "1 s"),
])
def test_what_is_left_in_words(per_second: float | None, items: int, text: str) -> None:
    """Unknown rather than nonsense: no centuries."""
    assert said(Pace(per_second).left(items)) == text


@pytest.mark.parametrize(("per_second", "text"), [
    (None, "-"), (12_345.0, "12,345/s"), (2.0, "2.0/s"), (0.5, "30/min"), (0.01, "36/h"),
])
def test_a_rate_in_its_unit(per_second: float | None, text: str) -> None:
    """A number that says something."""
    assert per_time(per_second) == text


@pytest.mark.parametrize("letters", [True, False])
@pytest.mark.parametrize("width", [0, 1, 7, 60])
@pytest.mark.parametrize(("done", "failed", "total"), [
    (0, 0, 0), (0, 0, 10), (1, 1, 1_000_000), (999_999, 1, 1_000_000), (10, 10, 10), (12, 0, 10),
])
def test_a_bar_has_exactly_its_width(
    done: int, failed: int, total: int, width: int, letters: bool
) -> None:
    """Whatever the numbers; in ASCII where the terminal wants that."""
    found = bar(done, failed, total, width, letters=letters)
    assert len(found) == width
    assert letters or found.isascii()


def test_a_bar_is_full_only_at_the_end_and_shows_one_failure() -> None:
    """One of a million left, or failed, is seen."""
    assert bar(999_999, 1, 1_000_000, 10, letters=False) == "########x."
    assert bar(1_000_000, 0, 1_000_000, 10, letters=False) == "##########"


@pytest.mark.parametrize("columns", range(0, 130, 3))
def test_a_line_fits(columns: int) -> None:
    """Words go before the bar does."""
    words = ["4,200 of 10,000", "120/s", "48 s left", "3 failed"]
    line = progress_line(4_200, 3, 10_000, columns, words=words, letters=True)
    assert len(line) <= columns
    assert columns < 80 or line.endswith("3 failed")
    assert columns < 20 or line.startswith("[█")
