"""What one transaction of the dispatcher writes about attempts that ended, were judged or died."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, islice, repeat

from jobd.core.job import (
    AttemptOutcome,
    Failed,
    OwnerDied,
    Row,
    Settlement,
    Succeeded,
)
from jobd.core.lifecycle import EXECUTING, LOSE, PARK, TIME_OUT, FailureType, JobStatus, Move
from jobd.core.retry import Policy
from jobd.core.settle import settle
from jobd.core.why_ended import STILL_EXECUTING
from jobd.daemon.attempt import Attempt, Ended
from jobd.daemon.turn import Applied, Batch, Settled, Verdict, Write
from jobd.store import completion, daemons, enqueue, outcomes


class Ledger:
    """Turns a batch into the store's verbs. `worker_id` is this daemon, the owner of its claims."""

    def __init__(
        self, worker_id: str, policy_of: Callable[[str], Policy], random: Callable[[], float]
    ) -> None:
        self.worker_id = worker_id
        self._policy_of = policy_of
        self._random = random

    def apply(self, db: sqlite3.Connection, batch: Batch, now: int) -> Applied:
        """Write the batch; the caller holds the transaction and commits."""
        applied = Applied()
        # A success that arrives before its verdict is committed counts.
        rest = self._complete(db, batch.ended, now, applied)
        self._judge(db, batch.verdicts, now, applied)
        self._settle(db, rest, now, applied)
        self._hold(db, LOSE, [_as_settlement(row) for row in batch.haunted], now, applied)
        self._hold(db, PARK, batch.parks, now, applied)
        self._rescue(db, batch.orphans, now, applied)
        self._note(db, batch, now, applied)
        return applied

    def _hold(
        self,
        db: sqlite3.Connection,
        move: Move,
        settlements: Sequence[Settlement],
        now: int,
        applied: Applied,
    ) -> None:
        """Move rows of dead daemons for which processes still run."""
        changed = set(_VERDICTS[move](db, settlements, now))
        applied.settled += [Settled(move, s, None) for s in settlements if s.job_id in changed]

    def _judge(
        self, db: sqlite3.Connection, verdicts: Sequence[Verdict], now: int, applied: Applied
    ) -> None:
        for move, group in groupby(sorted(verdicts, key=_order), key=lambda each: each.move):
            judged = {each.attempt.job.id: each for each in group}
            rows = [self._judged(each, now) for each in judged.values()]
            changed = set(_VERDICTS[move](db, rows, now))
            outcomes.keep_attempts(
                db, [row for row in rows if row.job_id in changed], now, ended=False
            )
            applied.verdicts += [judged[job_id] for job_id in judged if job_id in changed]

    def _judged(self, verdict: Verdict, now: int) -> Settlement:
        attempt, move = verdict.attempt, verdict.move
        settlement = self._of(attempt, AttemptOutcome(move.target.value))
        settlement.stack = verdict.stack
        if move is TIME_OUT:
            settlement.timed_out_at = now
        if move is not LOSE:
            settlement.failure_type = (
                FailureType.TIMEOUT if attempt.timed_out or move is TIME_OUT else FailureType.SYSTEM
            )
        if move is TIME_OUT:
            settlement.error_message = f"the deadline of {attempt.timeout:g} s passed"
        if move is PARK:
            settlement.dead_letter_reason = still_executing(attempt)
            settlement.error_message = "its thread did not stop"
            settlement.execution_over = 0
        return settlement

    def _complete(
        self, db: sqlite3.Connection, ended: Sequence[Ended], now: int, applied: Applied
    ) -> list[Ended]:
        """Write the successes; returns everything else, and the successes that were refused."""
        successes: list[completion.Success] = []
        succeeded, rest = {}, []
        for each in ended:
            attempt, ending = each.attempt, each.ending
            if isinstance(ending, Succeeded):
                job = attempt.job
                succeeded[job.id] = each
                successes.append(
                    (job.id, job.attempt, self.worker_id, ending.result, attempt.started_at)
                )
            else:
                rest.append(each)
        completed = [succeeded.pop(job_id) for job_id in completion.complete(db, successes, now)]
        applied.completed += zip(completed, _put_in(db, completed, now), strict=True)
        return [*rest, *succeeded.values()]

    def _settle(
        self, db: sqlite3.Connection, ended: Sequence[Ended], now: int, applied: Applied
    ) -> None:
        if not ended:
            return
        rows = outcomes.rows_to_settle(db, [each.attempt.job.id for each in ended])
        settled, late = [], []
        for each in ended:
            row = rows.get(each.attempt.job.id)
            if row is None or not self._is_ours(row, each.attempt):
                late.append((each, self._of(each.attempt, AttemptOutcome.LATE), row))
                continue
            policy = self._policy_of(row.job_type)
            move, settlement = settle(row, each.ending, policy, now, self._random)
            settlement.worker = each.attempt.worker or None
            settlement.started_at = settlement.started_at or each.attempt.started_at
            if move is None:
                late.append((each, settlement, row))
            else:
                settled.append(Settled(move, settlement, each))
        self._write(db, settled, now, applied)
        self._keep_late(db, late, now, applied)

    def _is_ours(self, row: Row, attempt: Attempt) -> bool:
        return row.attempt == attempt.job.attempt and row.worker_id in (self.worker_id, None)

    def _write(
        self, db: sqlite3.Connection, settled: list[Settled], now: int, applied: Applied
    ) -> None:
        settled.sort(key=lambda each: each.move.target)
        for move, group in groupby(settled, key=lambda each: each.move):
            members = list(group)
            settlements = [each.settlement for each in members]
            changed = set(outcomes.ENDINGS[move](db, settlements, now))
            outcomes.keep_attempts(
                db, [s for s in settlements if s.job_id in changed and s.started_at], now
            )
            applied.settled += [each for each in members if each.settlement.job_id in changed]

    def _keep_late(
        self,
        db: sqlite3.Connection,
        late: Iterable[tuple[Ended, Settlement, Row | None]],
        now: int,
        applied: Applied,
    ) -> None:
        """A late result changes nothing but the proof that its execution is over."""
        for ended, settlement, row in late:
            attempt = ended.attempt.job
            applied.late.append(ended)
            if row is None:
                continue
            outcomes.mark_over(db, [(attempt.id, attempt.attempt)])
            if isinstance(ended.ending, Succeeded):
                settlement.late_result = ended.ending.result
            elif isinstance(ended.ending, Failed):
                settlement.failure_type = ended.ending.failure.type
                settlement.error_message = ended.ending.failure.message
            outcomes.keep_attempts(db, [settlement], now)

    def _rescue(
        self, db: sqlite3.Connection, orphans: Sequence[Row], now: int, applied: Applied
    ) -> None:
        """Dispose of attempts whose owner is dead: zombie first, then what the row asks for."""
        if not orphans:
            return
        lost = [_as_settlement(row) for row in orphans if _had_started(row)]
        outcomes.lose(db, lost, now)
        outcomes.mark_over(db, [(row.id, row.attempt) for row in orphans])
        rows = outcomes.rows_to_settle(db, [row.id for row in orphans])
        seen = {(row.id, row.attempt, row.worker_id) for row in orphans}
        settled = []
        for row in rows.values():
            # It may have been claimed anew since someone looked.
            if row.status in EXECUTING and (row.id, row.attempt, row.worker_id) in seen:
                policy = self._policy_of(row.job_type)
                move, settlement = settle(row, OwnerDied(), policy, now, self._random)
                if move is not None:
                    settled.append(Settled(move, settlement, None))
        self._write(db, settled, now, applied)

    def _note(
        self, db: sqlite3.Connection, batch: Batch, now: int, applied: Applied
    ) -> None:
        if batch.starts:
            outcomes.record_start(
                db, [self._of(each, AttemptOutcome.LATE) for each in batch.starts], now
            )
        if batch.checkpoints:
            asked = [(c.attempt.job.id, c.attempt.job.attempt, c.state) for c in batch.checkpoints]
            applied.checkpoints = set(daemons.save_checkpoints(db, asked, now))
        for write in batch.writes:
            write(db, now)

    def request_stop(self, attempts: Sequence[Attempt]) -> Write:
        """The write that marks attempts which the stopping daemon leaves running."""
        rows = [self._of(each, AttemptOutcome.LATE) for each in attempts]
        return lambda db, now: outcomes.request_stop(db, rows, now)

    def _of(self, attempt: Attempt, outcome: AttemptOutcome) -> Settlement:
        job = attempt.job
        return Settlement(
            job_id=job.id,
            attempt=job.attempt,
            worker_id=self.worker_id,
            outcome=outcome,
            worker=attempt.worker or None,
            claimed_at=attempt.claimed_at,
            started_at=attempt.started_at,
            job_type=job.job_type,
            queue=job.queue,
        )


_VERDICTS = {TIME_OUT: outcomes.time_out, LOSE: outcomes.lose, PARK: outcomes.park}


def _put_in(
    db: sqlite3.Connection, completed: Sequence[Ended], now: int
) -> Iterable[Sequence[int]]:
    """The jobs that each of these has put in with its end: one statement inserts them all."""
    # A thread that a handler left may still add to them.
    lots = [each.attempt.enqueued and tuple(each.attempt.enqueued) for each in completed]
    if not any(lots):
        return repeat((), len(completed))
    made = iter(enqueue.enqueue_many(db, [new for lot in lots for new in lot], now))
    return [list(islice(made, len(lot))) for lot in lots]


def _who(attempt: Attempt) -> str:
    return "".join(f", pid {pid}" for pid in attempt.unkillable)


def _order(verdict: Verdict) -> int:
    return list(_VERDICTS).index(verdict.move)


def _had_started(row: Row) -> bool:
    return row.status in (JobStatus.RUNNING, JobStatus.TIMEOUT) and not (
        row.status is JobStatus.RUNNING and row.started_at is None
    )


def _as_settlement(row: Row) -> Settlement:
    return Settlement(row.id, row.attempt, row.worker_id, AttemptOutcome.ZOMBIE,
                      started_at=row.started_at, job_type=row.job_type, queue=row.queue)


def park_haunted(row: Row, pids: Sequence[int]) -> Settlement:
    """How a row of a dead daemon is parked whose processes cannot be ended."""
    settlement = _as_settlement(row)
    settlement.outcome = AttemptOutcome.DEAD_LETTER
    settlement.failure_type = FailureType.SYSTEM
    settlement.error_message = "its processes could not be ended"
    who = ", ".join(f"pid {pid}" for pid in pids)
    settlement.dead_letter_reason = f"{STILL_EXECUTING}: {who or 'who holds its lock'}"
    settlement.execution_over = 0
    return settlement


def still_executing(attempt: Attempt) -> str:
    """The reason of an attempt that is parked while it goes on."""
    return f"{STILL_EXECUTING} in {attempt.worker}{_who(attempt)}"
