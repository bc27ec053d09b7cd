"""Each option of a new job: what it may be, what becomes of it, and what is refused."""

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from jobd.core.new_job import NewJob, new_job
from jobd.errors import BadInput

NOW = 1_700_000_000_000
A_DAY = 86_400_000
HUNDRED_YEARS = 100 * 365 * 86_400
LAST = 253_402_300_799_999
MOMENT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def made(**options: Any) -> NewJob:
    return new_job("thumbnail", {"path": "a.jpg"}, options, NOW, 1_000)


def test_a_job_without_options() -> None:
    """Everything but type and payload has a default."""
    assert made() == NewJob("thumbnail", '{"path":"a.jpg"}')
    assert new_job("t", None, {}, NOW, 1_000).payload == "{}"


def test_now_is_what_the_table_of_times_counts_from() -> None:
    """The clock of this page stands at 2023-11-14 22:13:20 UTC."""
    assert round(MOMENT.timestamp() * 1000) == NOW


@pytest.mark.parametrize(
    ("option", "value", "attribute", "stored"),
    [
        ("queue", None, "queue", None),
        ("queue", "media", "queue", "media"),
        ("queue", "a.b:c-d_e", "queue", "a.b:c-d_e"),
        ("queue", "x" * 128, "queue", "x" * 128),
        ("priority", 0, "priority", 0),
        ("priority", 1_000, "priority", 1_000),
        ("priority", -1_000, "priority", -1_000),
        ("delay", None, "scheduled_at", None),
        ("delay", 0, "scheduled_at", NOW),
        ("delay", 30, "scheduled_at", NOW + 30_000),
        ("delay", 0.5, "scheduled_at", NOW + 500),
        ("delay", "10m", "scheduled_at", NOW + 600_000),
        ("delay", "1h30m", "scheduled_at", NOW + 5_400_000),
        ("delay", HUNDRED_YEARS, "scheduled_at", NOW + 1_000 * HUNDRED_YEARS),
        ("at", None, "scheduled_at", None),
        ("at", MOMENT, "scheduled_at", NOW),
        ("at", MOMENT + timedelta(hours=1), "scheduled_at", NOW + 3_600_000),
        ("at", MOMENT - timedelta(hours=24), "scheduled_at", NOW - A_DAY),
        ("at", MOMENT.astimezone(timezone(timedelta(hours=5))), "scheduled_at", NOW),
        ("at", "2023-11-15T00:13:20+01:00", "scheduled_at", NOW + 3_600_000),
        ("at", "2023-11-14T22:13:20.250Z", "scheduled_at", NOW + 250),
        ("at", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "scheduled_at", LAST - 999),
        ("timeout", None, "timeout_ms", None),
        ("timeout", 30, "timeout_ms", 30_000),
        ("timeout", 0.001, "timeout_ms", 1),
        ("timeout", "500ms", "timeout_ms", 500),
        ("timeout", "7d", "timeout_ms", 604_800_000),
        ("max_retries", None, "max_retries", None),
        ("max_retries", 0, "max_retries", 0),
        ("max_retries", 1_000_000, "max_retries", 1_000_000),
        ("unique_key", None, "unique_key", None),
        ("unique_key", "order 17", "unique_key", "order 17"),
        ("unique_key", "Größe/é", "unique_key", "Größe/é"),
        ("unique_key", "k" * 512, "unique_key", "k" * 512),
        ("request_id", "9b2f", "request_id", "9b2f"),
        ("isolation", None, "isolation", None),
        ("isolation", "thread", "isolation", "thread"),
        ("isolation", "process", "isolation", "process"),
    ],
)
def test_what_an_option_becomes(
    option: str, value: object, attribute: str, stored: object
) -> None:
    """Durations and times become milliseconds; the rest stays as it is."""
    assert getattr(made(**{option: value}), attribute) == stored


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("queue", "", "queue '' is no name"),
        ("queue", "a b", "queue 'a b' is no name"),
        ("queue", 7, "queue 7 is no name"),
        ("queue", "x" * 129, "is no name"),
        ("priority", 1_001, "priority must be an integer from -1000 to 1000, not 1001"),
        ("priority", -1_001, "priority must be an integer from -1000 to 1000, not -1001"),
        ("priority", 1.0, "priority must be an integer from -1000 to 1000, not 1.0"),
        ("priority", True, "priority must be an integer"),
        ("priority", "5", "priority must be an integer"),
        ("priority", None, "priority must be an integer"),
        ("delay", -1, "delay must be between 0 and 100 years, not -1"),
        ("delay", HUNDRED_YEARS + 1, "delay must be between 0 and 100 years"),
        ("delay", math.nan, "delay must be between 0 and 100 years, not nan"),
        ("delay", math.inf, "delay must be between 0 and 100 years, not inf"),
        ("delay", 10**400, "delay must be between 0 and 100 years"),
        ("delay", True, "delay must be seconds or a duration such as '30s', not True"),
        ("delay", [1], "delay must be seconds or a duration such as '30s'"),
        ("delay", "soon", "'soon' is no duration"),
        ("delay", "10", "has no unit"),
        ("at", datetime(2023, 11, 14), "has no time zone"),  # noqa: DTZ001 - what is refused
        ("at", MOMENT - timedelta(hours=24, milliseconds=1), "more than 24 hours"),
        ("at", "2023-11-13T22:13:19Z", "more than 24 hours"),
        ("at", datetime.min.replace(tzinfo=UTC), "more than 24 hours"),
        ("at", datetime.max.replace(tzinfo=UTC), "after the year 9999"),
        ("at", "tomorrow", "'tomorrow' is no time"),
        ("at", NOW, f"at={NOW} is neither a datetime nor ISO 8601 text"),
        ("at", MOMENT.date(), "is neither a datetime nor ISO 8601 text"),
        ("timeout", 0, "a timeout must be longer than 0, not 0"),
        ("timeout", "0s", "a timeout must be longer than 0, not '0s'"),
        ("timeout", 0.0004, "a timeout must be longer than 0"),
        ("timeout", -5, "timeout must be between 0 and 100 years, not -5"),
        ("timeout", math.nan, "timeout must be between 0 and 100 years, not nan"),
        ("timeout", "half an hour", "is no duration"),
        ("timeout", False, "timeout must be seconds"),
        ("max_retries", -1, "max_retries must be an integer from 0 to 1000000, not -1"),
        ("max_retries", 1_000_001, "max_retries must be an integer from 0 to 1000000"),
        ("max_retries", True, "max_retries must be an integer"),
        ("max_retries", 2.5, "max_retries must be an integer"),
        ("unique_key", "", "unique_key must be 1 to 512 printable characters"),
        ("unique_key", "k" * 513, "unique_key must be 1 to 512 printable characters"),
        ("unique_key", "a\nb", "unique_key must be 1 to 512 printable characters"),
        ("unique_key", "a\0", "unique_key must be 1 to 512 printable characters"),
        ("unique_key", "\ud800", "unique_key must be 1 to 512 printable characters"),
        ("unique_key", 17, "unique_key must be 1 to 512 printable characters"),
        ("request_id", "", "request_id must be 1 to 512 printable characters"),
        ("request_id", b"x", "request_id must be 1 to 512 printable characters"),
        ("isolation", "command", "isolation must be 'thread' or 'process', not 'command'"),
        ("isolation", "", "isolation must be 'thread' or 'process', not ''"),
        ("isolation", True, "isolation must be 'thread' or 'process', not True"),
        ("prio", 1, "unknown option 'prio'; there are at, delay, isolation, max_retries, "),
        ("id", 1, "unknown option 'id'"),
    ],
)
def test_what_an_option_may_not_be(option: str, value: object, says: str) -> None:
    """One sentence names the option, what it must be, and the value."""
    with pytest.raises(BadInput) as refused:
        made(**{option: value})
    assert says in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_delay_and_a_time_exclude_each_other() -> None:
    """When a job is due is said once."""
    with pytest.raises(BadInput, match="give either a delay or a time, not both"):
        made(delay=1, at=MOMENT)


@pytest.mark.parametrize("job_type", ["", "a b", "x" * 129, None, 7, b"t"])
def test_a_job_type_is_a_name(job_type: Any) -> None:
    """What is no name cannot be a job type."""
    with pytest.raises(BadInput, match=r"^job type .* is no name"):
        new_job(job_type, None, {}, NOW, 1_000)


def test_the_payload_passes_the_same_door() -> None:
    """A payload beyond the limit is refused with the job."""
    with pytest.raises(BadInput, match="more than the limit of 10"):
        new_job("t", {"path": "x" * 10}, {}, NOW, 10)
