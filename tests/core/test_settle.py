"""How an attempt ends, given what the database says of it by then: every combination."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

import pytest

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
    ENDED,
    GIVE_UP,
    PARK,
    RELEASE,
    RETRY,
    SNOOZE,
    STOP,
    WAITING,
    FailureType,
    JobStatus,
    Move,
)
from jobd.core.policy import DEFAULT_POLICIES
from jobd.core.retry import Policy
from jobd.core.settle import MAX_SNOOZES, settle

NOW = 1_700_000_000_000
PENDING, RUNNING, TIMEOUT, ZOMBIE = (
    JobStatus.PENDING, JobStatus.RUNNING, JobStatus.TIMEOUT, JobStatus.ZOMBIE,
)

ROW = Row(
    id=7, job_type="t", queue="q", status=RUNNING, attempt=3, worker_id="d1", retry_count=1,
    rescue_count=1, snooze_count=4, max_retries=None, claimed_at=10, started_at=20,
    timed_out_at=None, cancel_requested_at=None, release_requested_at=None,
    stop_requested_at=None,
)

ENDINGS: dict[str, Ending] = {
    "succeeded": Succeeded('"done"'),
    "failed": Failed(Failure(FailureType.NETWORK, "no route", "Traceback ...")),
    "snoozed": Snoozed(60.0),
    "stopped unasked": EndedEarly(None),
    "stopped for stop": EndedEarly(StopReason.STOP),
    "stopped for timeout": EndedEarly(StopReason.TIMEOUT),
    "stopped for cancel": EndedEarly(StopReason.CANCEL),
    "stopped for release": EndedEarly(StopReason.RELEASE),
    "owner died": OwnerDied(),
}


@dataclass(frozen=True)
class Case:
    """One combination of what was asked of an attempt, what was judged, and how it ended."""

    status: JobStatus
    ending: str
    cancel: bool
    release: bool
    stop: bool
    timed_out: bool
    started: bool

    def __str__(self) -> str:
        asked = [name for name in ("cancel", "release", "stop") if getattr(self, name)]
        marks = ["timed out"] * self.timed_out + ["never started"] * (not self.started)
        return ", ".join([str(self.status), self.ending, *asked, *marks])

    @property
    def possible(self) -> bool:
        """Whether the rest of jobd can bring it about."""
        if (self.status is TIMEOUT and not self.timed_out) or (
            self.status is RUNNING and self.timed_out
        ):
            return False
        if self.ending == "stopped for cancel" and not self.cancel:
            return False
        if self.ending == "stopped for timeout" and self.status is ZOMBIE and not self.timed_out:
            return False
        if self.ending == "owner died":
            return True
        told = self.timed_out or self.cancel or self.release
        zombie_unasked = self.status is ZOMBIE and not told
        # A success of a running attempt wins over everything and is written by `complete`.
        won = self.status is RUNNING and self.ending == "succeeded"
        return self.started and not zombie_unasked and not won

    def row(self) -> Row:
        return replace(
            ROW,
            status=self.status,
            started_at=20 if self.started else None,
            timed_out_at=30 if self.timed_out else None,
            cancel_requested_at=40 if self.cancel else None,
            release_requested_at=50 if self.release else None,
            stop_requested_at=60 if self.stop else None,
        )


def is_ending(*names: str) -> Callable[[Case], bool]:
    return lambda case: case.ending in names


@dataclass(frozen=True)
class Rule:
    """What the first rule that fits leads to: the move, and the failure type that it charges."""

    says: str
    fits: Callable[[Case], bool]
    move: Move
    charged: FailureType | None = None


RULES = [
    Rule("a cancel comes first, whatever the outcome", lambda c: c.cancel, STOP),
    Rule("then a release", lambda c: c.release, RELEASE),
    Rule("a stop counts once the process is gone",
         lambda c: c.stop and c.ending == "owner died", RELEASE),
    Rule("a verdict of timeout stands", lambda c: c.timed_out, RETRY, FailureType.TIMEOUT),
    Rule("what never started is not charged with its daemon's death",
         lambda c: c.ending == "owner died" and not c.started, RELEASE),
    Rule("a daemon's death is charged as a rescue", is_ending("owner died"), RETRY,
         FailureType.WORKER_LOST),
    Rule("a handler that stops when told to is not charged",
         is_ending("stopped for stop", "stopped for release"), RELEASE),
    Rule("told of its deadline and stopped", is_ending("stopped for timeout"), RETRY,
         FailureType.TIMEOUT),
    Rule("Stopped raised unasked is a failure", is_ending("stopped unasked"), RETRY,
         FailureType.UNKNOWN),
    Rule("a snooze is not charged", is_ending("snoozed"), SNOOZE),
    Rule("any other failure is charged by its type", is_ending("failed"), RETRY,
         FailureType.NETWORK),
]


def cases() -> Iterator[Case]:
    flags = product((False, True), repeat=5)
    for status, ending, marks in product((RUNNING, TIMEOUT, ZOMBIE), ENDINGS, list(flags)):
        case = Case(status, ending, *marks)
        if case.possible:
            yield case


def settled(row: Row, ending: Ending, policy: Policy | None = None) -> tuple[
    Move | None, Settlement
]:
    return settle(row, ending, policy or Policy(), NOW, lambda: 0.5)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_the_first_rule_that_fits(case: Case) -> None:
    """Requests come first, then an earlier verdict, then how the attempt itself ended."""
    rule = next(rule for rule in RULES if rule.fits(case))
    move, settlement = settled(case.row(), ENDINGS[case.ending])
    assert (move, rule.says) == (rule.move, rule.says)
    lost = rule.charged is FailureType.WORKER_LOST
    assert settlement.rescue_count == ROW.rescue_count + lost
    assert settlement.retry_count == ROW.retry_count + (rule.charged is not None and not lost)
    assert settlement.snooze_count == ROW.snooze_count + (rule.move is SNOOZE)
    if rule.charged is not None:
        assert settlement.failure_type == rule.charged


def test_every_rule_is_needed() -> None:
    """Each rule is the first that fits for some case."""
    used = {next(rule.says for rule in RULES if rule.fits(case)) for case in cases()}
    assert used == {rule.says for rule in RULES}


@pytest.mark.parametrize("status", [*WAITING, *ENDED])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_result_that_comes_too_late_moves_nothing(status: JobStatus, ending: str) -> None:
    """Once the row is not executing any more there is no move, only a late outcome."""
    move, settlement = settled(replace(ROW, status=status), ENDINGS[ending])
    assert move is None
    assert settlement.outcome == AttemptOutcome.LATE
    assert settlement.late_result == ('"done"' if ending == "succeeded" else None)


@pytest.mark.parametrize("status", [TIMEOUT, ZOMBIE])
def test_a_late_success_does_not_count_but_is_kept(status: JobStatus) -> None:
    """The verdict stands; what the handler returned stays readable in its attempt."""
    row = replace(ROW, status=status, timed_out_at=30)
    move, settlement = settled(row, Succeeded('"done"'))
    assert move is RETRY
    assert settlement.failure_type == FailureType.TIMEOUT
    assert settlement.late_result == '"done"'


OUTCOMES = [
    # how it ended, what was asked    outcome                    failure type kept
    ("failed",           {},                           AttemptOutcome.RETRYING,  "network"),
    ("failed",           {"cancel_requested_at": 1},   AttemptOutcome.CANCELLED, "network"),
    ("failed",           {"release_requested_at": 1},  AttemptOutcome.RELEASED,  "network"),
    ("stopped for stop", {},                           AttemptOutcome.RELEASED,  None),
    ("stopped for cancel", {"cancel_requested_at": 1}, AttemptOutcome.CANCELLED, None),
    ("snoozed",          {},                           AttemptOutcome.SNOOZED,   None),
    ("owner died",       {},                           AttemptOutcome.RETRYING,  "worker_lost"),
    ("owner died",       {"stop_requested_at": 1},     AttemptOutcome.RELEASED,  None),
]  # fmt: skip


@pytest.mark.parametrize(("ending", "asked", "outcome", "failure_type"), OUTCOMES)
def test_what_is_kept_of_the_attempt(
    ending: str, asked: dict[str, int], outcome: AttemptOutcome, failure_type: str | None
) -> None:
    """`job_attempts` says how it ended, and why where a failure was behind it."""
    _, settlement = settled(replace(ROW, **asked), ENDINGS[ending])
    assert settlement.outcome == outcome
    assert settlement.failure_type == failure_type


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_settlement_names_its_attempt(ending: str) -> None:
    """Every settlement carries what fences it and what the record needs."""
    _, found = settled(replace(ROW, cancel_requested_at=1), ENDINGS[ending])
    assert (found.job_id, found.attempt, found.worker_id) == (7, 3, "d1")
    assert (found.job_type, found.queue, found.claimed_at, found.started_at) == ("t", "q", 10, 20)


def test_a_failure_is_stored_in_full() -> None:
    """Message, traceback, type, and when the next attempt is due."""
    _, found = settled(ROW, ENDINGS["failed"])
    assert (found.error_message, found.traceback) == ("no route", "Traceback ...")
    assert (found.next_retry_at, found.retry_delay_ms) == (NOW + 2_000, 2_000)


@pytest.mark.parametrize(
    ("seconds", "due"), [(0.0, NOW), (0.001, NOW + 1), (60.0, NOW + 60_000)]
)
def test_a_snooze_comes_back_when_asked(seconds: float, due: int) -> None:
    """`scheduled_at` is now plus the seconds of the snooze."""
    move, found = settled(ROW, Snoozed(seconds))
    assert (move, found.scheduled_at, found.snooze_count) == (SNOOZE, due, 5)


@pytest.mark.parametrize(
    ("snoozes", "move", "failure_type"),
    [(0, SNOOZE, None), (MAX_SNOOZES - 1, SNOOZE, None),
     (MAX_SNOOZES, PARK, "configuration"), (MAX_SNOOZES + 5, PARK, "configuration")],
)
def test_a_thousand_snoozes_are_enough(
    snoozes: int, move: Move, failure_type: str | None
) -> None:
    """After 1,000 snoozes the next one is a final failure of type configuration."""
    found, settlement = settled(replace(ROW, snooze_count=snoozes), Snoozed(1.0))
    assert (found, settlement.failure_type) == (move, failure_type)


@pytest.mark.parametrize(
    ("exhausted", "move", "outcome"),
    [("dead_letter", PARK, AttemptOutcome.DEAD_LETTER), ("failed", GIVE_UP, AttemptOutcome.FAILED)],
)
def test_an_exhausted_job_ends_as_its_policy_says(
    exhausted: str, move: Move, outcome: AttemptOutcome
) -> None:
    """The last failure leads to dead_letter, or to failed; nothing more is charged."""
    rules = {key: replace(rule, exhausted=exhausted) for key, rule in DEFAULT_POLICIES.items()}
    row = replace(ROW, retry_count=3)
    found, settlement = settled(row, ENDINGS["failed"], Policy(rules))
    assert (found, settlement.outcome, settlement.retry_count) == (move, outcome, 3)
    assert settlement.dead_letter_reason == "network: 3 of 3 retries used"


def test_a_poison_job_is_parked() -> None:
    """A job that lost its daemon once more than it may is parked as poison."""
    move, settlement = settled(replace(ROW, rescue_count=3), OwnerDied())
    assert move is PARK
    assert settlement.dead_letter_reason == "poison: its daemon died 4 times while it ran"


@pytest.mark.parametrize(
    ("rescues", "retries", "move"), [(3, 0, RETRY), (0, 3, PARK), (9, 2, RETRY)]
)
def test_a_timeout_judged_before_the_daemon_died_is_decided_as_timeout(
    rescues: int, retries: int, move: Move
) -> None:
    """The earlier verdict goes by `retry_count`; the rescues do not matter to it."""
    row = replace(ROW, status=ZOMBIE, timed_out_at=30, rescue_count=rescues, retry_count=retries)
    found, settlement = settled(row, OwnerDied())
    assert (found, settlement.failure_type) == (move, FailureType.TIMEOUT)
