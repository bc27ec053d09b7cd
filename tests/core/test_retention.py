"""When an ended job may be deleted: by its status, its age and the configuration."""

from jobd.core.lifecycle import ENDED, JobStatus
from jobd.core.retention import PRUNABLE, Expiry, expiries, expiry, shortest
from jobd.core.upkeep import Retention

DAY = 86_400_000
NOW = 1_800_000_000_000


def test_only_ends_are_ever_deleted() -> None:
    """What lives has no age at which it goes."""
    assert set(PRUNABLE) == set(ENDED)


def test_completed_jobs_go_after_a_week_and_the_other_ends_after_three_months() -> None:
    """As the defaults say."""
    found = {each.status: NOW - each.before for each in expiries(Retention(), NOW)}
    assert found.pop(JobStatus.COMPLETED) == 7 * DAY
    assert set(found.values()) == {90 * DAY}


def test_what_is_kept_for_ever_is_not_looked_for() -> None:
    """ "none" takes a status out of the list."""
    found = expiries(Retention(completed=None), NOW)
    assert JobStatus.COMPLETED not in {each.status for each in found}
    assert expiries(Retention(None, None), NOW) == []


def test_a_job_with_a_request_id_stays_for_a_day_at_least() -> None:
    """A repeated call must find it, however short the retention is."""
    assert expiry(JobStatus.FAILED, 60.0, NOW) == Expiry(JobStatus.FAILED, NOW - 60_000, NOW - DAY)
    longer = expiry(JobStatus.FAILED, 2 * 86_400.0, NOW)
    assert longer.keyed_before == longer.before == NOW - 2 * DAY


def test_the_shortest_time_is_told() -> None:
    """None when nothing is ever deleted."""
    assert shortest(Retention()) == 7 * 86_400.0
    assert shortest(Retention(None, 60.0)) == 60.0
    assert shortest(Retention(None, None)) is None
