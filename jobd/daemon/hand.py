"""The attempts that this process has in hand: with a worker, or buffered for the next free one.

Only the dispatcher changes it; sweeps read it.
"""

import sqlite3
from collections import deque
from collections.abc import Collection, Sequence

from jobd.core.claiming import SUSPECT, choose
from jobd.core.job import Claimed, EndedEarly, Isolation, Job, StopReason
from jobd.core.lifecycle import LOSE, PARK, TIME_OUT
from jobd.daemon.attempt import Attempt, Ended
from jobd.daemon.batch_feed import BatchFeed
from jobd.daemon.brief_jobs import BriefJobs
from jobd.daemon.buffer import AT_MOST, BufferRoom
from jobd.daemon.crew import Crew
from jobd.daemon.turn import Verdict
from jobd.daemon.worker import WorkerPool
from jobd.store import claims, daemons

HELD_AT_MOST = 0.1
LOOKED_AT_ONCE = 1_000
REMEMBERED = 10_000


class Hand:
    """Attempts by job id: one job never has two here."""

    def __init__(self, pool: WorkerPool, crew: Crew) -> None:
        self.attempts: dict[int, Attempt] = {}
        self.buffered: dict[int, Attempt] = {}
        self.reports: deque[Ended] = deque()
        """What workers say has ended, and nobody has read yet."""
        self._sets_aside = False
        """The last claim met jobs without a handler: the next one passes many of them."""
        self._passes_over = False
        """It met suspects, which stay in line while one of them runs."""
        self._kept_out = False
        """It took a suspect and passed over others, who stood where jobs of their batches may."""
        self._meanwhile = 0
        """So many places in the buffer became free while the last claim looked at the line."""
        self._claimed: frozenset[int] = frozenset()
        self._given_back: dict[int, int] = {}
        """By job id the attempt that no worker took: it is known to have ended. Jobs that are
        cancelled in line would stay for ever, so of very many all are forgotten."""
        self._pool = pool
        self._crew = crew
        self._buffer_room = BufferRoom()
        self._brief_jobs = BriefJobs()

    def lasts(self, monotonic: float) -> float:
        """For about how many seconds the workers have something to do in the buffer."""
        seconds = len(self._pool.inbox) * self._buffer_room.seconds_each(monotonic)
        return seconds / self._pool.size

    def room(self, leaving: int, monotonic: float) -> tuple[int, int]:
        """How many jobs may go to free workers and how many into the buffer, once `leaving`
        attempts are put down.

        Those of unread reports hold no place in the buffer, but on disk they still execute: nobody
        begins in their stead there, or more would be charged when we die than there are workers.
        """
        in_hand = len(self.attempts) - leaving - self._pool.stuck_count()
        free = max(0, self._pool.size - in_hand)
        held = max(0, in_hand - len(self.reports) - self._pool.size)
        return free, max(0, self._buffer_room.allowed(monotonic) - held)

    def must_look_on(self, monotonic: float) -> bool:
        """Whether there is room, and the last claim could not see who else may have it."""
        return (self._sets_aside or self._kept_out) and self.room(0, monotonic) != (0, 0)

    def claim(
        self,
        db: sqlite3.Connection,
        leaving: Sequence[Ended],
        monotonic: float,
        feed: BatchFeed,
        worker_id: str,
        now: int,
    ) -> tuple[Claimed, bool]:
        """Claim what there is room for once `leaving` attempts are put down; returns it, and
        whether another look is worth it."""
        queue_room = self._crew.queue_room(db)
        suspect_runs = self._suspect_runs(leaving)
        free, at_first = self.room(len(leaving), monotonic)
        limit, line_room = self._how_far(free, at_first), queue_room
        if self._sets_aside:
            line_room = {name: left for name, left in queue_room.items() if left <= 0}
        heads = claims.heads(db, limit, line_room)
        line = feed.in_line(db, heads, limit, suspect_runs=suspect_runs)
        free, buffer = self.room(len(leaving), monotonic)  # the workers have gone on
        self._meanwhile = max(0, buffer - at_first)
        choice = choose(
            map(self._known, line) if self._given_back else line,
            free=free,
            buffer=buffer,
            handled=self._crew.handlers,
            room=queue_room,
            suspect_runs=suspect_runs,
        )
        self._sets_aside, self._passes_over = bool(choice.without_handler), choice.passed_over
        self._kept_out = choice.passed_over and not suspect_runs
        if choice.without_handler:
            claims.set_aside_without_handler(db, choice.without_handler)
        claimed = claims.claim(db, choice.direct, choice.buffered, worker_id, now)
        feed.claimed(db, claimed.jobs, now)
        self._claimed = frozenset(job.id for job in claimed.jobs)
        for job_id in self._given_back.keys() & self._claimed:
            del self._given_back[job_id]
        more = self._sets_aside or self._kept_out or len(heads) >= limit or feed.has_more
        return claimed, more

    def _how_far(self, free: int, buffer: int) -> int:
        """How many heads are worth a look: there may soon be more room than there is, as the last
        time, and suspects may be passed over."""
        limit = free + min(buffer + self._meanwhile, AT_MOST) + 2 * self._pool.size
        return max(limit, LOOKED_AT_ONCE) if self._sets_aside or self._passes_over else limit

    def _suspect_runs(self, leaving: Sequence[Ended]) -> bool:
        suspects = [each for each in self.attempts.values() if each.job.rescue_count >= SUSPECT]
        return any(all(each.attempt is not suspect for each in leaving) for suspect in suspects)

    def _known(self, head: Job) -> Job:
        """The head; one that was given back may be buffered again, as it was before."""
        never_began = self._given_back.get(head.id) == head.attempt - 1
        return head._replace(bufferable=True) if never_began else head

    def take(self, db: sqlite3.Connection, claimed: Claimed, running: float) -> None:
        """Claimed jobs become attempts, and go to the workers."""
        attempts = self._crew.attempts(claimed, running)
        by_id = {attempt.job.id: attempt for attempt in attempts}
        retried = [job.id for job in claimed.jobs if job.attempt > 1]
        for job_id, state in daemons.checkpoints_of(db, retried).items() if retried else ():
            by_id[job_id].checkpoint = state
        self.attempts.update(by_id)
        self.buffered.update({each.job.id: each for each in attempts[claimed.direct :]})
        self._pool.hand_over(attempts)
        self._pool.wake(self._brief_jobs.workers_for(claimed.jobs))
        self._claimed = frozenset()

    def wake_enough(self) -> None:
        """Nobody may sleep while something waits: whoever is awake has something longer to do."""
        self._pool.wake(len(self._pool.inbox))

    def known(self) -> set[int]:
        """Jobs in hand, and those whose claim may have been committed a moment ago."""
        return {*self._claimed, *list(self.attempts)}

    def in_threads(self) -> list[Attempt]:
        """Attempts whose handlers run in threads of this process now."""
        return [each for each in list(self.attempts.values())
                if each.isolation == Isolation.THREAD and each.started is not None
                and not each.ended]

    def hear(self, monotonic: float) -> list[Ended]:
        """Take what workers have reported, and learn from it how long jobs are."""
        ended = [self.reports.popleft() for _ in range(len(self.reports))]
        self._brief_jobs.ended(ended, monotonic)
        self._buffer_room.finished([each.duration for each in ended], monotonic)
        return ended

    def put_down(self, ended: Sequence[Ended]) -> None:
        """These attempts are settled in the database."""
        for each in ended:
            self.attempts.pop(each.attempt.job.id, None)

    def starts(self) -> list[Attempt]:
        """Attempts that a worker has taken from the buffer since the last call, and still runs."""
        started = [each for each in self.buffered.values() if each.started is not None]
        for attempt in started:
            del self.buffered[attempt.job.id]
        return [attempt for attempt in started if not attempt.ended]

    def give_back(self, job_ids: Collection[int]) -> list[Ended]:
        """Take these out of the buffer, unless a worker was quicker."""
        given_back = []
        if len(self._given_back) > REMEMBERED:
            self._given_back.clear()
        for job_id in job_ids:
            attempt = self.buffered[job_id]
            if self._pool.inbox.take_back(attempt):
                del self.buffered[job_id]
                self._given_back[job_id] = attempt.job.attempt
                given_back.append(Ended(attempt, EndedEarly(StopReason.STOP), 0.0))
        return given_back

    def held_too_long(self, running: float) -> list[int]:
        """Buffered jobs that have waited for more than 100 ms."""
        return [
            job_id
            for job_id, attempt in self.buffered.items()
            if running - attempt.handed_at > HELD_AT_MOST
        ]

    def take_verdicts(self, verdicts: Sequence[Verdict], running: float) -> None:
        """Act on verdicts that are durable now: tell to stop, replace, stop waiting."""
        for verdict in verdicts:
            attempt = verdict.attempt
            if verdict.move is TIME_OUT:
                attempt.timed_out = True
                attempt.tell_to_stop(StopReason.TIMEOUT, running)
            elif verdict.move is LOSE:
                attempt.zombie_since = running
                self._pool.replace_stuck(attempt)
            elif verdict.move is PARK:
                attempt.parked = True

    def tell_to_stop(self, asked: Sequence[tuple[int, int, bool]], running: float) -> None:
        """People asked for these (job id, attempt, is a cancel) to be stopped."""
        for job_id, number, cancel in asked:
            attempt = self.attempts.get(job_id)
            if attempt is not None and attempt.job.attempt == number:
                reason = StopReason.CANCEL if cancel else StopReason.RELEASE
                attempt.tell_to_stop(reason, running)
