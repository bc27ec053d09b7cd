"""Counting what the dispatcher has made durable: under a microsecond for each of many jobs."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from jobd.core.counters import Counters, Series
from jobd.core.job import Succeeded
from jobd.core.lifecycle import LOSE, TIME_OUT, JobStatus
from jobd.daemon.attempt import Ended
from jobd.daemon.sweeper import Sweep
from jobd.daemon.turn import Applied, Settled


class Meter:
    """Fills `counters`; only the dispatcher calls `applied`, and each sweep counts itself."""

    def __init__(self) -> None:
        self.counters = Counters()

    def applied(self, applied: Applied) -> None:
        """A transaction was committed."""
        by_series: dict[tuple[str, str], list[Ended]] = defaultdict(list)
        for ended, _ in applied.completed:
            job = ended.attempt.job
            by_series[job.queue, job.job_type].append(ended)
        for (queue, job_type), all_ended in by_series.items():
            self._attempts(self.counters.of(queue, job_type), all_ended, "completed")
        for settled in applied.settled:
            self._settled(settled)
        events = self.counters.events
        for verdict in applied.verdicts:
            if verdict.move is TIME_OUT:
                events["timeouts"] += 1
            elif verdict.move is LOSE:
                events["zombies"] += 1
        events["late_results"] += len(applied.late)

    def counted(self, sweeps: Iterable[Sweep]) -> list[Sweep]:
        """The sweeps, made to count how often they are entered and fail."""
        return [replace(sweep, call=self._counting(sweep)) for sweep in sweeps]

    def _counting(self, sweep: Sweep) -> "Counting":
        return Counting(self.counters, sweep)

    def _settled(self, settled: Settled) -> None:
        settlement, ended = settled.settlement, settled.ended
        if ended is None:
            rescued = settled.move is not LOSE and settlement.started_at is not None
            self.counters.events["rescues"] += rescued
            self.counters.of(settlement.queue, settlement.job_type).outcomes[
                settlement.outcome.value] += rescued
        elif settlement.started_at is None and settled.move.target is JobStatus.PENDING:
            return  # it was buffered, and never began
        else:
            job = ended.attempt.job
            series = self.counters.of(job.queue, job.job_type)
            self._attempts(series, [ended], settlement.outcome.value)
            self.counters.events["late_results"] += isinstance(ended.ending, Succeeded)
        if settlement.failure_type is not None:
            self.counters.failures[settlement.failure_type.value] += 1

    def _attempts(self, series: Series, all_ended: Sequence[Ended], outcome: str) -> None:
        series.outcomes[outcome] += len(all_ended)
        series.ran.observe([ended.duration for ended in all_ended])
        attempts = [ended.attempt for ended in all_ended]
        series.waited.observe([
            (attempt.started_at - attempt.job.ready_at) / 1000 for attempt in attempts
            if attempt.job.ready_at is not None and attempt.started_at is not None
        ])


class Counting:
    """A sweep's call, counted."""

    def __init__(self, counters: Counters, sweep: Sweep) -> None:
        self._counters = counters
        self._sweep = sweep

    def __call__(self) -> None:
        name = self._sweep.name
        self._counters.sweeps[name] += 1
        try:
            self._sweep.call()
        except BaseException:
            self._counters.sweep_failures[name] += 1
            raise
