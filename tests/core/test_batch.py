"""What a caller may say about a batch, what stops one, and the line in which items stand."""

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from jobd.core.batch import Item, callback_job, new_batch, new_item, parse_stop_after, stop_reason
from jobd.core.batch_status import ITEM_STATUS
from jobd.core.claiming import in_line
from jobd.core.lifecycle import JobStatus
from jobd.errors import BadInput


@pytest.mark.parametrize(("given", "limits"), [
    (10, (10, None)), ("10", (10, None)), ("10 %", (None, 10.0)), ("0.5%", (None, 0.5)),
])
def test_a_limit_is_a_number_or_a_share(given: Any, limits: tuple[Any, Any]) -> None:
    """What a person writes after --stop-after."""
    assert parse_stop_after(given) == limits


@pytest.mark.parametrize(("options", "problem"), [
    ({"stop_after": 0}, "stop_after"),
    ({"stop_after": "101 %"}, "stop_after"),
    ({"stop_after": "many"}, "stop_after"),
    ({"stop_after": True}, "stop_after"),
    ({"stop_after": 3, "error_handling": "continue"}, "makes no sense"),
    ({"error_handling": "limit"}, "'continue' or 'stop'"),
    ({"concurrency": 0}, "concurrency"),
    ({"concurrency": "2"}, "concurrency"),
    ({"shared_parameters": [1]}, "shared parameters"),
    ({"shared_parameters": {"a": "x" * 20_000}}, "more than the limit of 16384"),
    ({"on_end": ("done", {"at": float("nan")})}, "on_end: payload is not JSON"),
    ({"on_success": "no name"}, "on_success: job type"),
    ({"on_failure": ("done", {}, {"unique_key": "a"})}, "on_failure has no option 'unique_key'"),
    ({"unique_key": "a"}, "a batch has no option 'unique_key'"),
    ({"priority": 2_000}, "priority"),
])
def test_a_wrong_option_is_named(options: dict[str, Any], problem: str) -> None:
    """Nothing is stored of a batch that cannot be run as it was meant."""
    with pytest.raises(BadInput, match=problem):
        new_batch("nightly", "thumb", **options)


def test_shared_parameters_lie_under_an_item_s_own() -> None:
    """What an item says itself wins; its own alone are kept besides."""
    made = new_item(Item({"path": "a", "size": 9}, topic="a"), {"size": 1, "fast": True}, 1_000)
    assert json.loads(made.payload) == {"path": "a", "size": 9, "fast": True}
    assert json.loads(made.parameters or "") == {"path": "a", "size": 9}
    assert new_item({"path": "a"}, {}, 1_000).parameters is None


def test_a_callback_is_told_which_batch_ended() -> None:
    """A handler gets it as an argument beside its own, a command in its environment."""
    batch = {"id": 3, "name": "nightly", "status": "completed"}
    stored = new_batch("nightly", "thumb", on_end=("mail", {"to": "ann"}, {"delay": 2})).on_end
    job = callback_job(stored or "", batch, 5_000)
    assert (json.loads(job.payload), job.scheduled_at) == ({"to": "ann", "batch": batch}, 7_000)
    command = {"argv": ["a"], "env": {"B": "c"}}
    stored = new_batch("nightly", "thumb", on_end=("exec", command)).on_end
    job = callback_job(stored or "", batch, 5_000)
    assert json.loads(job.payload)["env"] == {
        "B": "c", "JOBD_BATCH_ID": "3", "JOBD_BATCH_NAME": "nightly",
        "JOBD_BATCH_STATUS": "completed",
    }


@pytest.mark.parametrize(("batch", "stops"), [
    ({"error_handling": "continue", "failed_items": 99}, False),
    ({"error_handling": "stop", "failed_items": 0}, False),
    ({"error_handling": "stop", "failed_items": 1}, True),
    ({"error_handling": "limit", "stop_after": 3, "failed_items": 2}, False),
    ({"error_handling": "limit", "stop_after": 3, "failed_items": 3}, True),
    ({"error_handling": "limit", "stop_after_percent": 10.0, "failed_items": 9}, False),
    ({"error_handling": "limit", "stop_after_percent": 10.0, "failed_items": 10}, True),
    ({"error_handling": "stop", "failed_items": 1, "ends_as": "cancelled"}, False),
    ({"error_handling": "stop", "failed_items": 4, "failed_before": 4}, False),
    ({"error_handling": "stop", "failed_items": 5, "failed_before": 4}, True),
    ({"error_handling": "stop", "failed_items": 3, "failed_before": 4}, False),
])
def test_failed_items_stop_a_batch_at_its_limit(batch: dict[str, Any], stops: bool) -> None:
    """Not before, and not one that is ending already."""
    rest = {"stop_after": None, "stop_after_percent": None, "total_items": 100, "ends_as": None,
            "failed_before": 0}
    assert (stop_reason(SimpleNamespace(**rest | batch)) is not None) is stops


def test_every_job_status_is_an_item_s() -> None:
    """The view has a word for wherever a job may be."""
    assert set(ITEM_STATUS) == set(JobStatus)


@dataclass(frozen=True)
class Waiting:
    id: int
    priority: int = 0
    queue: str = "q"
    job_type: str = "t"
    attempt: int = 0
    rescue_count: int = 0


def ids(heads: list[Waiting]) -> list[int]:
    return [head.id for head in heads]


def test_older_jobs_go_first_and_later_ones_take_turns_with_a_batch() -> None:
    """A batch of a million holds up nobody, and nobody holds it up."""
    singles = [Waiting(1), Waiting(2), Waiting(900), Waiting(901)]
    batch = [Waiting(number) for number in range(10, 15)]
    assert ids(in_line(singles, [batch], 0)) == [1, 2, 900, 10, 901, 11, 12, 13, 14]


def test_two_batches_and_single_jobs_go_round() -> None:
    """What cannot be divided goes round with each claim."""
    lines = [[Waiting(10), Waiting(11)], [Waiting(20), Waiting(21)]]
    first = [ids(in_line([Waiting(99)], lines, turn))[0] for turn in range(6)]
    assert sorted(first) == [10, 10, 20, 20, 99, 99]


def test_priority_goes_before_turns() -> None:
    """An item of a lower priority waits for all that is above it."""
    batch = [Waiting(10, priority=5), Waiting(11, priority=5)]
    low = [replace(each, priority=-1) for each in (Waiting(1), Waiting(12))]
    high = [Waiting(90, priority=9)]
    assert ids(in_line([*high, *low], [batch], 3)) == [90, 10, 11, 1, 12]
