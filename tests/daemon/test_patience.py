"""Nothing is deleted for its age while the wall clock may be wrong."""

import pytest

from jobd.daemon.patience import Patience

WEEK = 7 * 86_400.0
T0 = 1_800_000_000_000
YEAR_MS = 365 * 86_400_000


def test_after_a_start_it_waits_ten_minutes() -> None:
    """A machine without a battery learns the time a while after its start."""
    patience = Patience(T0, 0.0)
    assert patience.holds(WEEK, T0 + 599_000, 599.0)
    assert not patience.holds(WEEK, T0 + 601_000, 601.0)


def test_with_a_short_retention_it_waits_a_hundredth_of_it() -> None:
    """What is kept for a minute is old after a minute."""
    patience = Patience(T0, 0.0)
    assert patience.holds(60.0, T0 + 500, 0.5)
    assert not patience.holds(60.0, T0 + 700, 0.7)


def test_a_leap_ahead_holds_it_back_for_a_day_and_is_told_once() -> None:
    """Every job looks old when the clock says next year."""
    patience = Patience(T0, 0.0)
    assert not patience.holds(WEEK, T0 + 700_000, 700.0)
    assert patience.holds(WEEK, T0 + YEAR_MS + 800_000, 800.0)
    assert patience.news == {"moved_ms": YEAR_MS, "for_s": 86_400.0}
    assert patience.holds(WEEK, T0 + YEAR_MS + 900_000, 900.0)
    assert patience.news is None
    later = 800.0 + 86_401
    assert not patience.holds(WEEK, T0 + YEAR_MS + round(later * 1000), later)


@pytest.mark.parametrize("moved_ms", [-YEAR_MS, -3_600_000, 1_500, 60_000])
def test_small_steps_and_steps_back_are_no_reason(moved_ms: int) -> None:
    """They make no job look old that is young."""
    patience = Patience(T0, 0.0)
    assert not patience.holds(WEEK, T0 + moved_ms + 700_000, 700.0)


def test_a_machine_that_slept_for_a_year_has_not_leapt() -> None:
    """Its clock is right, and what is old is old."""
    patience = Patience(T0, 0.0, 50.0)
    assert not patience.holds(WEEK, T0 + YEAR_MS + 700_000, 700.0, 50.0 + YEAR_MS / 1000)
    assert patience.news is None
