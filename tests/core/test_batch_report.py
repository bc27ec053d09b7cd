"""The report of a batch: every item counts once, the slowest are the slowest."""

from typing import Any

from jobd.core.batch_report import SLOWEST, BatchReport, duration_of

BLANK: dict[str, Any] = {
    "position": 1, "job_id": 1, "topic": None, "status": "completed", "attempt": 1,
    "failure_type": None, "error_message": None, "dead_letter_reason": None,
    "created_at": 0, "started_at": 1_000, "ended_at": 1_000,
}


def report(*items: dict[str, Any]) -> BatchReport:
    found = BatchReport()
    for number, item in enumerate(items, 1):
        found.add(BLANK | {"position": number, "job_id": 100 + number} | item, "thumb")
    return found


def test_the_slowest_items_in_their_order() -> None:
    """The longest first, of equal ones the earlier, and no more than ten."""
    found = report(*({"ended_at": 1_000 + took} for took in [5, 90, 90, *range(10, 40)]))
    assert [each["position"] for each in found.slowest[:3]] == [2, 3, 33]
    assert len(found.slowest) == SLOWEST


def test_only_what_completed_has_a_duration_that_counts() -> None:
    """A failure after 2 ms says nothing about how long the work takes."""
    found = report({}, {"status": "failed"}, {"status": "queued", "started_at": None})
    assert found.durations.count == 1


def test_failures_have_a_cause_whatever_their_numbers() -> None:
    """Grouped by fingerprint, the parked and the failed alike."""
    found = report(
        {"status": "failed", "failure_type": "network", "error_message": "port 8080 is shut"},
        {"status": "failed", "failure_type": "network", "error_message": "port 9090 is shut"},
        {"status": "failed", "failure_type": "worker_lost", "dead_letter_reason": "poison"},
        {},
    )
    groups = found.failures.largest_first()
    assert [(each.count, each.error) for each in groups] == [(2, "port <n> is shut"), (1, "poison")]


def test_items_that_needed_more_than_one_attempt() -> None:
    """They are counted, however they ended."""
    found = report({"attempt": 3}, {"attempt": 2, "status": "failed"}, {}, {"attempt": 0})
    assert found.retried == 2


def test_a_duration_is_never_less_than_nothing() -> None:
    """And nothing for what has not run or not ended."""
    assert duration_of(BLANK | {"ended_at": 0}) == 0
    assert duration_of(BLANK | {"ended_at": None}) is None
    assert duration_of(BLANK | {"started_at": None}) is None
