"""The spread of durations: every one is counted, whatever there is."""

from itertools import pairwise

import pytest

from jobd.core.spread import Spread


def spread(*durations: int) -> Spread:
    found = Spread()
    for each in durations:
        found.add(each)
    return found


@pytest.mark.parametrize("durations", [
    (0,), (0, 1, 2, 5, 10), (3,), (999, 1_000, 1_001), (1, 10_000_000), (50, 99, 100),
])
def test_each_duration_is_in_one_bucket(durations: tuple[int, ...]) -> None:
    """The buckets touch, begin at the shortest and end after the longest."""
    buckets = spread(*durations).buckets()
    assert sum(each.count for each in buckets) == len(durations)
    assert buckets[0].count
    assert buckets[-1].count
    assert all(a.below == b.least for a, b in pairwise(buckets))


def test_nothing_has_no_buckets() -> None:
    """And no mean."""
    empty = Spread()
    assert (empty.buckets(), empty.mean, empty.share_below(0.5)) == ([], None, None)


def test_the_usual_duration() -> None:
    """Mean, median, and what nine of ten do not exceed."""
    found = spread(*range(1, 101))
    assert (found.mean, found.share_below(0.5), found.share_below(0.9)) == (50, 50, 90)
    assert (found.least, found.most, found.sum) == (1, 100, 5_050)


def test_a_million_different_durations_take_little_memory() -> None:
    """Three digits of each are kept."""
    found = spread(*range(0, 3_000_000, 150))
    assert len(found._seen) < 4_000
    assert found.share_below(0.5) == pytest.approx(1_500_000, rel=0.01)


def test_a_duration_below_nothing_is_nothing() -> None:
    """A clock was set back."""
    assert spread(-5).least == 0


def test_labels_are_words() -> None:
    """As a person reads durations."""
    assert [each.label for each in spread(1_500, 7_000).buckets()] == [
        "1 s to 2 s", "2 s to 5 s", "5 s to 10 s",
    ]
