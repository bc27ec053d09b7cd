"""What the dispatcher logs: only what is already durable, one outcome line per attempt."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jobd import clock
from jobd.core.job import Claimed, Succeeded
from jobd.core.lifecycle import LOSE, PARK, RELEASE, TIME_OUT, JobStatus, Move
from jobd.daemon.attempt import Attempt, Ended
from jobd.daemon.completed_lines import log_completed
from jobd.daemon.ledger import still_executing
from jobd.daemon.meter import Meter
from jobd.daemon.turn import Applied, Settled, Verdict
from jobd.log import Write, job_logger, logger
from jobd.store.kernel_locks import write_lock_holder

EVERY_MINUTE = 60.0
LOCKED_AFTER = 1.0
DISK_SPACE = "disk space"

_LEVELS: Mapping[JobStatus, str] = {
    JobStatus.RETRYING: "warning",
    JobStatus.DEAD_LETTER: "error",
    JobStatus.FAILED: "error",
}


class Report:
    """Counts outcomes for the drain report, and logs them."""

    def __init__(self) -> None:
        self.log = logger()
        self.tell: Callable[[Mapping[str, Any]], None] = _nobody
        """Who is told what was logged of a job's end or verdict."""
        self.meter = Meter()
        self.finished = 0
        self.given_back = 0
        self.waits_for: str | None = None
        """What keeps the next transaction from beginning or from its commit."""
        self._said: dict[str, float] = {}
        self._locked_said = 0.0

    def applied(self, applied: Applied, claimed: Claimed) -> None:
        """A transaction was committed."""
        self.waits_for = None
        self.meter.applied(applied)
        self.finished += len(applied.completed)
        # One logger for them all: it asks for the level in force each time it is made.
        log = self.log.bind()
        log_completed(log, applied.completed)
        for verdict in applied.verdicts:
            self._verdict(verdict)
        for settled in applied.settled:
            self._settled(settled)
        for ended in applied.late:
            self._late(ended)
        if log.is_enabled_for(logging.DEBUG):
            for index, job in enumerate(claimed.jobs):
                log.debug("job.claimed", job_id=job.id, job_type=job.job_type, queue=job.queue,
                          attempt=job.attempt, buffered=index >= claimed.direct)
        if self._said.pop("store.full", None) is not None:
            self.log.info("store.recovered")

    def locked(self, waited: float, path: Path) -> None:
        """Another process has held the write lock for `waited` seconds."""
        if waited < LOCKED_AFTER:
            self._locked_said = 0.0
            return
        self.waits_for = f"the write lock, for {waited:.0f} s now"
        if waited - self._locked_said >= 10.0 or not self._locked_said:
            self._locked_said = waited
            self.log.warning("store.locked", database=str(path), waited_s=round(waited, 1),
                             holder_pid=write_lock_holder(path))

    def disk_full(self, error: str, monotonic: float) -> None:
        self.waits_for = DISK_SPACE
        if self._may_say("store.full", monotonic):
            self.log.error("store.full", error=error)

    def checkpoint_failed(self, error: str, monotonic: float) -> None:
        """The write-ahead log could not be moved into the file; it grows until it can."""
        if self._may_say("store.checkpoint_failed", monotonic):
            self.log.warning("store.checkpoint_failed", error=error)

    def held_back(self, size: int, readers: list[int], monotonic: float) -> None:
        """Readers need the write-ahead log, which cannot be moved and grows."""
        if self._may_say("store.log_held_back", monotonic):
            others = [pid for pid in readers if pid != os.getpid()]
            self.log.warning("store.log_held_back", bytes=size, reader_pids=others or readers)

    def checkpointed(self) -> None:
        """The write-ahead log was moved, as far as readers allow."""
        if self._said.pop("store.checkpoint_failed", None) is not None:
            self.log.info("store.recovered")

    def _may_say(self, event: str, monotonic: float) -> bool:
        """Once a minute for as long as it lasts."""
        said = self._said.get(event)
        if said is not None and monotonic - said < EVERY_MINUTE:
            return False
        self._said[event] = monotonic
        return True

    def row_refused(self, attempt: Attempt, error: str) -> None:
        self.log.error("store.row_refused", **_keys(attempt), error=error)

    def _settled(self, settled: Settled) -> None:
        move, settlement = settled.move, settled.settlement
        if move is LOSE:
            self._say("warning", LOSE, {
                "job_id": settlement.job_id, "job_type": settlement.job_type,
                "queue": settlement.queue, "attempt": settlement.attempt, "status": "zombie",
                "reason": "its daemon died, and processes of it still run",
            })
            return
        if settlement.started_at is None and move.target is JobStatus.PENDING:
            self.given_back += 1
            self.log.debug("job.given_back", job_id=settlement.job_id, job_type=settlement.job_type,
                           queue=settlement.queue, attempt=settlement.attempt)
            return
        if settled.ended is not None:  # else it was an attempt of a daemon before this one
            self.given_back += move is RELEASE
            self.finished += move is not RELEASE
        if settled.ended is not None and isinstance(settled.ended.ending, Succeeded):
            self._late(settled.ended)
        keys = {
            "job_id": settlement.job_id, "job_type": settlement.job_type,
            "queue": settlement.queue, "attempt": settlement.attempt,
            "worker": settlement.worker, "status": move.target.value,
            "failure_type": settlement.failure_type and settlement.failure_type.value,
            "error": settlement.error_message,
            "reason": settlement.dead_letter_reason,
            "next_retry_at": clock.iso(settlement.next_retry_at),
            "scheduled_at": clock.iso(settlement.scheduled_at),
            "claimed_at": clock.iso(settlement.claimed_at),
            "started_at": clock.iso(settlement.started_at),
            "duration_ms": None if settled.ended is None else round(
                settled.ended.duration * 1000, 3),
            "rescued": settled.ended is None or None,
        }
        self._say(_LEVELS.get(move.target, "info"), move, keys)

    def _late(self, ended: Ended) -> None:
        self.log.warning("job.late_result", **_keys(ended.attempt),
                         succeeded=isinstance(ended.ending, Succeeded))

    def _verdict(self, verdict: Verdict) -> None:
        attempt = verdict.attempt
        keys: dict[str, Any] = {**_keys(attempt), "status": verdict.move.target.value}
        if verdict.move is TIME_OUT:
            self._say("warning", TIME_OUT, {**keys, "timeout_s": attempt.timeout})
        elif verdict.move is LOSE:
            reason = str(attempt.stopping.reason or "survivors")
            self._say("warning", LOSE, {**keys, "reason": reason})
        else:
            self._say("error", PARK, {**keys, "reason": still_executing(attempt)})

    def _say(self, level: str, move: Move, keys: Mapping[str, Any]) -> None:
        known = {key: value for key, value in keys.items() if value is not None}
        getattr(self.log, level)(move.event, **known)
        self.tell(known)


def _nobody(_keys: Mapping[str, Any]) -> None:
    """Nobody is told."""


def _keys(attempt: Attempt) -> dict[str, Any]:
    job = attempt.job
    return {"job_id": job.id, "job_type": job.job_type, "queue": job.queue,
            "attempt": job.attempt, "worker": attempt.worker}


def job_log(attempt: Attempt, keep: Write) -> Any:
    """The logger that a handler gets: each line carries the job's keys, and is kept."""
    return job_logger(_keys(attempt), keep)
