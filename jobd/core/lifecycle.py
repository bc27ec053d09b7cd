"""The state machine of a job: nine statuses, the moves between them, and the requests.

This table is the only place that lists them. The CHECK constraint, the two triggers, the guards
of the store's verbs, the diagram and the documentation come from it or are tested against it.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple


class JobStatus(StrEnum):
    """Where a job is; each is an end or has something that moves it on."""

    PENDING = "pending"
    RUNNING = "running"
    TIMEOUT = "timeout"
    ZOMBIE = "zombie"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    DEAD_LETTER = "dead_letter"
    CANCELLED = "cancelled"


class FailureType(StrEnum):
    """Why an attempt failed: the key of the retry policy."""

    NETWORK = "network"
    TIMEOUT = "timeout"
    RESOURCE = "resource"
    PERMISSION = "permission"
    CONFIGURATION = "configuration"
    VALIDATION = "validation"
    SYSTEM = "system"
    WORKER_LOST = "worker_lost"
    UNKNOWN = "unknown"


PENDING, RUNNING, TIMEOUT, ZOMBIE, RETRYING, COMPLETED, FAILED, DEAD_LETTER, CANCELLED = JobStatus

WAITING = (PENDING, RETRYING)
EXECUTING = (RUNNING, TIMEOUT, ZOMBIE)
ENDED = (COMPLETED, FAILED, DEAD_LETTER, CANCELLED)
LIVE = (PENDING, RUNNING, TIMEOUT, ZOMBIE, RETRYING)


class Move(NamedTuple):
    """One verb that changes a status: what the log calls it, where it may start, where it ends."""

    event: str
    sources: tuple[JobStatus, ...]
    target: JobStatus


CLAIM = Move("job.claimed", WAITING, RUNNING)
COMPLETE = Move("job.completed", (RUNNING,), COMPLETED)
RETRY = Move("job.retry_scheduled", EXECUTING, RETRYING)
PARK = Move("job.dead_lettered", EXECUTING, DEAD_LETTER)
GIVE_UP = Move("job.failed", EXECUTING, FAILED)
RELEASE = Move("job.released", EXECUTING, PENDING)
SNOOZE = Move("job.snoozed", (RUNNING,), PENDING)
TIME_OUT = Move("job.timed_out", (RUNNING,), TIMEOUT)
LOSE = Move("job.zombified", (RUNNING, TIMEOUT), ZOMBIE)
STOP = Move("job.cancelled", EXECUTING, CANCELLED)
CANCEL = Move("job.cancelled", (PENDING, RETRYING, DEAD_LETTER), CANCELLED)
REVIVE = Move("job.revived", (DEAD_LETTER, FAILED, CANCELLED), PENDING)

MOVES = (CLAIM, COMPLETE, RETRY, PARK, GIVE_UP, RELEASE, SNOOZE, TIME_OUT, LOSE, STOP, CANCEL,
         REVIVE)
"""Every move, commonest first: the order in which the trigger tries them."""


def arrows() -> Iterator[tuple[JobStatus, JobStatus]]:
    """Each allowed (from, to) pair once, commonest first."""
    seen = {(source, move.target): None for move in MOVES for source in move.sources}
    return iter(seen)


class Request(StrEnum):
    """What a person, a stopping daemon or a dead owner may ask of a job."""

    CANCEL = "cancel"
    RELEASE = "release"
    RETRY = "retry"
    STOP = "stop"
    OWNER_DEAD = "owner dead"


class Answer(NamedTuple):
    """What a request does to a job in one status.

    Exactly one of these holds: `move` happens at once; `stored` names the column that keeps the
    request until the execution is over; `refusal` says why not; none of them: nothing to do.
    """

    move: Move | None = None
    stored: str | None = None
    refusal: str | None = None
    due_now: bool = False


NOTHING = Answer()
_ALREADY_ENDED = Answer(refusal="already ended")
_USE_RETRY = Answer(refusal="already ended; use retry")

REQUESTS: dict[Request, dict[JobStatus, Answer]] = {
    Request.CANCEL: {
        **dict.fromkeys(WAITING, Answer(move=CANCEL)),
        **dict.fromkeys(EXECUTING, Answer(stored="cancel_requested_at")),
        DEAD_LETTER: Answer(move=CANCEL),
        **dict.fromkeys((FAILED, CANCELLED, COMPLETED), _ALREADY_ENDED),
    },
    Request.RELEASE: {
        **dict.fromkeys(WAITING, NOTHING),
        **dict.fromkeys(EXECUTING, Answer(stored="release_requested_at")),
        **dict.fromkeys((DEAD_LETTER, FAILED, CANCELLED), _USE_RETRY),
        COMPLETED: _ALREADY_ENDED,
    },
    Request.RETRY: {
        PENDING: NOTHING,
        RETRYING: Answer(due_now=True),
        **dict.fromkeys(EXECUTING, Answer(refusal="still executing; cancel or release it")),
        **dict.fromkeys((DEAD_LETTER, FAILED, CANCELLED), Answer(move=REVIVE)),
        COMPLETED: Answer(refusal="already completed"),
    },
    Request.STOP: {
        **dict.fromkeys(EXECUTING, Answer(stored="stop_requested_at")),
        **dict.fromkeys((*WAITING, *ENDED), NOTHING),
    },
    Request.OWNER_DEAD: {
        RUNNING: Answer(move=LOSE),
        TIMEOUT: Answer(move=LOSE),
        **dict.fromkeys((ZOMBIE, *WAITING, *ENDED), NOTHING),
    },
}


def answer(request: Request, status: JobStatus, *, execution_over: bool = True) -> Answer:
    """What `request` does to a job that is `status`; pure, for the store and the tests alike."""
    found = REQUESTS[request][status]
    if found.move is REVIVE and not execution_over:
        return Answer(refusal="its last attempt may still be executing; restart the daemon first")
    return found
