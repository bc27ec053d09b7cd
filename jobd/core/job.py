"""A job as the daemon holds it, what happened to an attempt, and what a handler may raise."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from jobd.core.lifecycle import FailureType, JobStatus
from jobd.core.new_job import NewJob


class AttemptOutcome(StrEnum):
    """How an attempt that did not complete ended, as `job_attempts` keeps it."""

    RETRYING = "retrying"
    DEAD_LETTER = "dead_letter"
    FAILED = "failed"
    TIMEOUT = "timeout"
    ZOMBIE = "zombie"
    CANCELLED = "cancelled"
    RELEASED = "released"
    SNOOZED = "snoozed"
    SET_ASIDE = "set_aside"
    LATE = "late"


class Isolation(StrEnum):
    """Where an attempt runs."""

    THREAD = "thread"
    PROCESS = "process"
    COMMAND = "command"


class StopReason(StrEnum):
    """Why an attempt was told to stop."""

    STOP = "stop"
    TIMEOUT = "timeout"
    CANCEL = "cancel"
    RELEASE = "release"


class Job(NamedTuple):
    """What a daemon needs to know of a job in line, and of one that it has claimed."""

    id: int
    attempt: int
    """The number of the attempt that it is, or is to be, claimed for: 1 for the first."""
    job_type: str
    queue: str
    payload: str
    """Empty for one in line whose payload is long: that is read when it is claimed."""
    priority: int
    retry_count: int
    rescue_count: int
    timeout_ms: int | None = None
    isolation: str | None = None
    bufferable: bool = True
    """Whether it may wait in the buffer: all its attempts before are known to have ended."""
    ready_at: int | None = None
    """Since when it might have run; None when nobody knows, as after an operator's retry."""


def jobs_of(text: str) -> list[Job]:
    """The jobs of a JSON array in which each is an array of its fields."""
    return list(map(Job._make, json.loads(text)))


class Claimed(NamedTuple):
    """Jobs that were taken together, in the order in which they were asked for."""

    jobs: Sequence[Job] = ()
    direct: int = 0
    """So many of them, the first, have a free worker; the others wait in the buffer."""
    at: int = 0
    """Milliseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Row:
    """What the database says of a job at the moment its attempt is settled."""

    id: int
    job_type: str
    queue: str
    status: JobStatus
    attempt: int
    worker_id: str | None
    retry_count: int
    rescue_count: int
    snooze_count: int
    max_retries: int | None
    claimed_at: int | None
    started_at: int | None
    timed_out_at: int | None
    cancel_requested_at: int | None
    release_requested_at: int | None
    stop_requested_at: int | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed. `after` (seconds) replaces the backoff; `final` skips all retries.

    `exit_status` is that of a command; negative is the signal that killed it.
    """

    type: FailureType
    message: str
    traceback: str | None = None
    after: float | None = None
    final: bool = False
    exit_status: int | None = None


class Succeeded(NamedTuple):
    """The handler returned: its result as JSON text, and the jobs it enqueued."""

    result: str | None
    enqueued: tuple[NewJob, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    failure: Failure


@dataclass(frozen=True, slots=True)
class Snoozed:
    seconds: float


@dataclass(frozen=True, slots=True)
class EndedEarly:
    """The handler raised Stopped; `reason` is what had asked it to, None when nothing had."""

    reason: StopReason | None = None


@dataclass(frozen=True, slots=True)
class OwnerDied:
    """The daemon that ran the attempt is gone, and with it the execution."""


Ending = Succeeded | Failed | Snoozed | EndedEarly | OwnerDied


def checked_delay(seconds: float) -> float:
    """A delay that a handler asks for; ValueError when no calendar could hold it."""
    if not 0 <= seconds < 100 * 365 * 86_400:
        raise ValueError(f"a delay of {seconds} s is not possible")
    return float(seconds)


def checked_type(failure_type: str) -> FailureType:
    """A failure type that a handler names; ValueError for the one that only jobd can know."""
    if failure_type == FailureType.WORKER_LOST:
        raise ValueError("worker_lost is for jobd to say, when a daemon died")
    return FailureType(failure_type)


class Retry(Exception):
    """Raised by a handler: this attempt failed, try again `after` seconds."""

    def __init__(
        self, message: str = "", *, after: float | None = None, failure_type: str = "unknown"
    ) -> None:
        super().__init__(message or "the handler asked for a retry")
        self.after = None if after is None else checked_delay(after)
        self.failure_type = checked_type(failure_type)


class Fail(Exception):
    """Raised by a handler: this job failed, and no retry would help."""

    def __init__(self, message: str = "", *, failure_type: str = "unknown") -> None:
        super().__init__(message or "the handler gave up")
        self.failure_type = checked_type(failure_type)


class Snooze(Exception):
    """Raised by a handler: nothing to do yet, come back in `seconds`; nothing is charged."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"snoozed for {seconds} s")
        self.seconds = checked_delay(seconds)


class Stopped(BaseException):
    """Raised by `check()` and `sleep()`: the attempt was told to stop and ends early.

    A BaseException, like asyncio's CancelledError, so that `except Exception` lets it pass.
    """


@dataclass(slots=True)
class Settlement:
    """What one attempt comes to: which move to write, and every value that goes with it."""

    job_id: int
    attempt: int
    worker_id: str | None
    outcome: AttemptOutcome
    failure_type: FailureType | None = None
    error_message: str | None = None
    traceback: str | None = None
    stack: str | None = None
    retry_count: int = 0
    rescue_count: int = 0
    snooze_count: int = 0
    next_retry_at: int | None = None
    retry_delay_ms: int | None = None
    scheduled_at: int | None = None
    dead_letter_reason: str | None = None
    execution_over: int = 1
    worker: str | None = None
    claimed_at: int | None = None
    started_at: int | None = None
    timed_out_at: int | None = None
    late_result: str | None = None
    exit_status: int | None = None
    job_type: str = ""
    queue: str = ""
    enqueued: tuple[int, ...] = field(default=())
