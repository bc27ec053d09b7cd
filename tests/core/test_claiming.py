"""Which jobs at the head of the line are taken: for a worker, into the buffer, or aside."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pytest

from jobd.core.claiming import SUSPECT, choose


@dataclass(frozen=True)
class Head:
    """A job near the head of its queue."""

    id: int
    queue: str = "default"
    job_type: str = "t"
    bufferable: bool = True
    rescue_count: int = 0


def heads(*rescues: int) -> list[Head]:
    """One head per rescue count, with ids from 1 on; a rescued job is not bufferable."""
    return [Head(i, bufferable=not count, rescue_count=count) for i, count in enumerate(rescues, 1)]


def ids(
    direct: Sequence[int] = (), buffered: Sequence[int] = (), aside: Sequence[int] = ()
) -> "Expected":
    """What is expected of a choice, by id."""
    return Expected([*direct], [*buffered], [*aside])


class Expected(NamedTuple):
    """Ids to claim for a worker, into the buffer, and to set aside."""

    direct: list[int]
    buffered: list[int]
    without_handler: list[int]


FIVE = heads(0, 0, 0, 0, 0)
MIXED = [Head(1, "media"), Head(2, "mail"), Head(3, "media"), Head(4), Head(5, "media")]
NOT_KNOWN = [Head(1, bufferable=False), Head(2), Head(3, bufferable=False), Head(4)]
STRANGERS = [Head(1, job_type="alien"), Head(2), Head(3, job_type="alien"), Head(4)]


@pytest.mark.parametrize(
    ("line", "free", "buffer", "room", "suspect_runs", "expected"),
    [
        # nothing to do
        ([], 4, 8, {}, False, ids()),
        (FIVE, 0, 0, {}, False, ids()),
        # free workers first, then the buffer, best first
        (FIVE, 9, 9, {}, False, ids([1, 2, 3, 4, 5], [])),
        (FIVE, 2, 0, {}, False, ids([1, 2], [])),
        (FIVE, 2, 2, {}, False, ids([1, 2], [3, 4])),
        (FIVE, 0, 3, {}, False, ids([], [1, 2, 3])),
        # a queue takes no more than its room, counted over both
        (MIXED, 9, 0, {"media": 2}, False, ids([1, 2, 3, 4], [])),
        (MIXED, 9, 0, {"media": 0}, False, ids([2, 4], [])),
        (MIXED, 9, 0, {"media": -1}, False, ids([2, 4], [])),
        (MIXED, 1, 9, {"media": 2}, False, ids([1], [2, 3, 4])),
        (MIXED, 1, 9, {"media": 1, "mail": 1}, False, ids([1], [2, 4])),
        (MIXED, 9, 0, {"other": 0}, False, ids([1, 2, 3, 4, 5], [])),
        # a type without a handler is set aside and takes no place
        (STRANGERS, 2, 0, {}, False, ids([2, 4], [], [1, 3])),
        (STRANGERS, 0, 0, {}, False, ids([], [], [1, 3])),
        (STRANGERS, 9, 0, {"default": 0}, False, ids([], [], [1, 3])),
        # nothing is known of what its last attempt has come to: it waits for a worker, they for it
        (NOT_KNOWN, 0, 4, {}, False, ids([], [])),
        (NOT_KNOWN, 1, 4, {}, False, ids([1], [2])),
        (NOT_KNOWN, 3, 4, {}, False, ids([1, 2, 3], [4])),
        # nor one that lost its worker
        (heads(1, 0, 1, 0), 0, 4, {}, False, ids([], [])),
        (heads(0, 1, 0), 0, 4, {}, False, ids([], [1])),
        (heads(1, 1, 0), 1, 4, {}, False, ids([1], [])),
        (heads(1, 1, 0), 2, 4, {}, False, ids([1, 2], [3])),
        (heads(1, 1, 1), 2, 4, {}, False, ids([1, 2], [])),
        # of the suspects only one runs at a time
        (heads(2, 2, 0), 3, 0, {}, False, ids([1, 3], [])),
        (heads(5, 2, 9), 3, 3, {}, False, ids([1], [])),
        (heads(0, 2, 2), 3, 0, {}, False, ids([1, 2], [])),
        (heads(2, 0, 0), 3, 0, {}, True, ids([2, 3], [])),
        (heads(1, 2, 1), 3, 0, {}, True, ids([1, 3], [])),
        # one that waits for another suspect keeps nobody, one that waits for a worker the buffer
        (heads(2, 0), 0, 1, {}, True, ids([], [2])),
        (heads(2, 0), 0, 1, {}, False, ids([], [])),
    ],
)
def test_what_is_chosen(
    line: list[Head],
    free: int,
    buffer: int,
    room: dict[str, int],
    suspect_runs: bool,
    expected: Expected,
) -> None:
    """Order, rooms, handlers, rescues and suspects decide, in one pass over the heads."""
    found = choose(
        line, free=free, buffer=buffer, handled={"t"}, room=room, suspect_runs=suspect_runs
    )
    assert [head.id for head in found.direct] == expected.direct
    assert [head.id for head in found.buffered] == expected.buffered
    assert found.without_handler == expected.without_handler


def test_a_suspect_has_lost_its_worker_twice() -> None:
    """One lost worker may have been any job's doing; two make a suspect."""
    assert SUSPECT == 2


@pytest.mark.parametrize(
    ("line", "free", "passed_over"),
    [(heads(2, 2, 0), 2, True), (heads(2, 2, 0), 1, False), (heads(2, 0, 0), 2, False)],
)
def test_a_suspect_is_passed_over_when_a_worker_was_free_for_it(
    line: Sequence[Head], free: int, passed_over: bool
) -> None:
    """Then there may be more of them than were looked at."""
    found = choose(line, free=free, buffer=0, handled={"t"}, room={}, suspect_runs=False)
    assert found.passed_over == passed_over


def test_a_suspect_kept_out_by_a_full_queue_keeps_no_other_out() -> None:
    """Only a suspect that is really taken counts as running."""
    line = [Head(1, "full", rescue_count=3), Head(2, rescue_count=3)]
    found = choose(
        line, free=2, buffer=0, handled={"t"}, room={"full": 0}, suspect_runs=False
    )
    assert [head.id for head in found.direct] == [2]


def test_the_caller_keeps_its_count_of_rooms() -> None:
    """Choosing changes nothing that was handed in."""
    room = {"default": 2}
    choose(FIVE, free=9, buffer=9, handled={"t"}, room=room, suspect_runs=False)
    assert room == {"default": 2}
