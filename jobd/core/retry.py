"""The one function that decides what a failure leads to, for worker and sweep alike."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from jobd.core.job import Failure
from jobd.core.lifecycle import FailureType
from jobd.core.policy import DEFAULT_POLICIES, RetryPolicy


class Counted(Protocol):
    """What `decide` reads of a job."""

    @property
    def retry_count(self) -> int: ...
    @property
    def rescue_count(self) -> int: ...
    @property
    def max_retries(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Policy:
    """The configured policies, and what the job's handler says on top of them."""

    types: Mapping[FailureType, RetryPolicy] = field(default_factory=lambda: DEFAULT_POLICIES)
    max_retries: int | None = None
    retries: Mapping[FailureType, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again at `at` (ms since the epoch), `delay_ms` from the decision."""

    at: int
    delay_ms: int


@dataclass(frozen=True, slots=True)
class Park:
    """Into `dead_letter`: a person has to look."""

    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Into `failed`: the policy asks for neither a retry nor a person."""

    reason: str


Verdict = RetryAt | Park | GiveUp


def decide(
    job: Counted, failure: Failure, policy: Policy, now: int, random: Callable[[], float]
) -> Verdict:
    """What `failure` leads to.

    `now` is in ms since the epoch; `random` returns a number in [0, 1) and spreads the delay.
    `worker_lost` is counted by `rescue_count`, every other type by `retry_count`.
    """
    rule = policy.types[failure.type]
    limit = retry_limit(job, failure.type, policy)
    used = job.rescue_count if failure.type is FailureType.WORKER_LOST else job.retry_count
    if failure.final or used >= limit:
        return _end(rule, _reason(failure, rule, limit, used))
    delay_ms = round(1000 * _delay(rule, failure, used, random))
    return RetryAt(now + delay_ms, delay_ms)


def retry_limit(job: Counted, failure_type: FailureType, policy: Policy) -> int:
    """How many retries this type allows: the job's word, else the handler's, else the type's.

    A type whose own limit is 0 stays 0 unless the handler names it, and `worker_lost` has a
    bound of its own that `max_retries` does not touch.
    """
    own = policy.types[failure_type].max_retries
    named = policy.retries.get(failure_type)
    if failure_type is FailureType.WORKER_LOST:
        return own if named is None else named
    if own == 0 and named is None:
        return 0
    for limit in (job.max_retries, named, policy.max_retries):
        if limit is not None:
            return limit
    return own


def _delay(
    rule: RetryPolicy, failure: Failure, used: int, random: Callable[[], float]
) -> float:
    if failure.after is not None:
        return failure.after
    if failure.type is FailureType.WORKER_LOST:
        if used == 0:
            return 0.0
        used -= 1
    spread = 1 + rule.jitter * (2 * random() - 1)
    return min(_backoff(rule, used), rule.max_delay) * spread


def _backoff(rule: RetryPolicy, used: int) -> float:
    if rule.backoff == "fixed":
        return rule.initial_delay
    if rule.backoff == "linear":
        return rule.initial_delay * (used + 1)
    try:
        return rule.initial_delay * rule.factor**used
    except OverflowError:
        return rule.max_delay if rule.initial_delay else 0.0


def _end(rule: RetryPolicy, reason: str) -> Verdict:
    return GiveUp(reason) if rule.exhausted == "failed" else Park(reason)


def _reason(failure: Failure, rule: RetryPolicy, limit: int, used: int) -> str:
    if failure.final:
        return f"the handler gave up: {failure.type}"
    if failure.type is FailureType.WORKER_LOST:
        times = "once" if used == 0 else f"{used + 1} times"
        return f"poison: its daemon died {times} while it ran"
    if limit == 0 and rule.max_retries == 0:
        return f"{failure.type} failures are not retried"
    if limit == 0:
        return f"{failure.type}: this job allows no retries"
    return f"{failure.type}: {used} of {limit} retries used"
