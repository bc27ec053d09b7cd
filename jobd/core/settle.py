"""What the end of an attempt comes to, given what the database says of the job by then."""

from collections.abc import Callable

from jobd.core.job import (
    AttemptOutcome,
    EndedEarly,
    Ending,
    Failed,
    Failure,
    OwnerDied,
    Row,
    Settlement,
    Snoozed,
    StopReason,
    Succeeded,
)
from jobd.core.lifecycle import (
    EXECUTING,
    GIVE_UP,
    PARK,
    RELEASE,
    RETRY,
    RUNNING,
    SNOOZE,
    STOP,
    FailureType,
    Move,
)
from jobd.core.retry import GiveUp, Park, Policy, RetryAt, decide

MAX_SNOOZES = 1_000

TIMED_OUT = Failure(FailureType.TIMEOUT, "the deadline passed")
WORKER_LOST = Failure(FailureType.WORKER_LOST, "the daemon died while the job ran")
UNASKED_STOP = Failure(FailureType.UNKNOWN, "the handler raised Stopped unasked")
TOO_MANY_SNOOZES = Failure(
    FailureType.CONFIGURATION, f"snoozed {MAX_SNOOZES} times", final=True
)


def settle(
    row: Row, ending: Ending, policy: Policy, now: int, random: Callable[[], float]
) -> tuple[Move | None, Settlement]:
    """The move that ends this attempt, and its values; no move when the result comes too late.

    A success of a `running` attempt is not settled here: it wins over every request and is
    written by `complete`. So a success that arrives here is late, and the verdict stands.
    """
    settlement = _blank(row, AttemptOutcome.LATE)
    if isinstance(ending, Succeeded):
        settlement.late_result = ending.result
    if row.status not in EXECUTING:
        return None, settlement
    if row.cancel_requested_at is not None:
        settlement.outcome = AttemptOutcome.CANCELLED
        return STOP, _with_failure(settlement, ending)
    if _goes_back(row, ending):
        settlement.outcome = AttemptOutcome.RELEASED
        return RELEASE, _with_failure(settlement, ending)
    if isinstance(ending, Snoozed) and row.status is RUNNING and row.snooze_count < MAX_SNOOZES:
        settlement.outcome = AttemptOutcome.SNOOZED
        settlement.scheduled_at = now + round(1000 * ending.seconds)
        settlement.snooze_count = row.snooze_count + 1
        return SNOOZE, settlement
    return _fail(row, settlement, _failure(row, ending), policy, now, random)


def _goes_back(row: Row, ending: Ending) -> bool:
    """Whether the job becomes pending again, with nothing charged."""
    if row.release_requested_at is not None:
        return True
    if isinstance(ending, OwnerDied):
        never_ran = row.started_at is None and row.timed_out_at is None
        return never_ran or row.stop_requested_at is not None
    if row.timed_out_at is not None:
        return False
    return isinstance(ending, EndedEarly) and ending.reason in (StopReason.STOP, StopReason.RELEASE)


def _failure(row: Row, ending: Ending) -> Failure:
    told_in_time = isinstance(ending, EndedEarly) and ending.reason is StopReason.TIMEOUT
    if row.timed_out_at is not None or told_in_time:
        return TIMED_OUT
    if isinstance(ending, Failed):
        return ending.failure
    if isinstance(ending, OwnerDied):
        return WORKER_LOST
    if isinstance(ending, Snoozed):
        return TOO_MANY_SNOOZES
    return UNASKED_STOP


def _fail(
    row: Row,
    settlement: Settlement,
    failure: Failure,
    policy: Policy,
    now: int,
    random: Callable[[], float],
) -> tuple[Move, Settlement]:
    settlement.failure_type = failure.type
    settlement.error_message = failure.message
    settlement.traceback = failure.traceback
    settlement.exit_status = failure.exit_status
    verdict = decide(row, failure, policy, now, random)
    match verdict:
        case RetryAt(at, delay_ms):
            settlement.outcome = AttemptOutcome.RETRYING
            settlement.next_retry_at, settlement.retry_delay_ms = at, delay_ms
            _charge(settlement, failure)
            return RETRY, settlement
        case Park(reason):
            settlement.outcome = AttemptOutcome.DEAD_LETTER
            settlement.dead_letter_reason = reason
            return PARK, settlement
        case GiveUp(reason):
            settlement.outcome = AttemptOutcome.FAILED
            settlement.dead_letter_reason = reason
            return GIVE_UP, settlement


def _charge(settlement: Settlement, failure: Failure) -> None:
    if failure.type is FailureType.WORKER_LOST:
        settlement.rescue_count += 1
    else:
        settlement.retry_count += 1


def _with_failure(settlement: Settlement, ending: Ending) -> Settlement:
    if isinstance(ending, Failed):
        settlement.failure_type = ending.failure.type
        settlement.error_message = ending.failure.message
        settlement.traceback = ending.failure.traceback
        settlement.exit_status = ending.failure.exit_status
    return settlement


def _blank(row: Row, outcome: AttemptOutcome) -> Settlement:
    return Settlement(
        job_id=row.id,
        attempt=row.attempt,
        worker_id=row.worker_id,
        outcome=outcome,
        retry_count=row.retry_count,
        rescue_count=row.rescue_count,
        snooze_count=row.snooze_count,
        claimed_at=row.claimed_at,
        started_at=row.started_at,
        timed_out_at=row.timed_out_at,
        job_type=row.job_type,
        queue=row.queue,
    )
