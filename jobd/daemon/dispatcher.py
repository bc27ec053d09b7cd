"""The dispatcher: the only thread of the daemon that writes to the database.

Its loop takes all that has arrived, applies it and claims what there is room for in one
transaction, commits, and only then hands over, logs and answers. While one commit is in flight
the next batch gathers, so the batch size adapts to the load by itself.
"""

import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable

from jobd import clock, errors
from jobd.core.claiming import SUSPECT, choose
from jobd.core.job import EndedEarly, Failed, Failure, Job, Row, StopReason
from jobd.core.lifecycle import LOSE, PARK, TIME_OUT, FailureType
from jobd.daemon.attempt import Attempt, Ended
from jobd.daemon.buffer import BufferRoom
from jobd.daemon.checkpointer import Checkpointer
from jobd.daemon.context import Checkpoint
from jobd.daemon.crew import Crew
from jobd.daemon.ledger import Applied, Batch, Ledger, Verdict, Write
from jobd.daemon.report import Report
from jobd.daemon.wakeup import Wakeup
from jobd.daemon.worker import WorkerPool
from jobd.store import claims, daemons, outcomes, requests
from jobd.store.connection import Database

LONGEST_NAP = 0.5
BETWEEN_COMMITS = 0.002
RETRY_AFTER_FULL = 1.0
HELD_AT_MOST = 0.1

Arrival = Ended | Verdict | Row | Checkpoint | Write


class Dispatcher:
    """Owns the writing connection, the attempts in hand, and the pool's inbox."""

    def __init__(
        self,
        database: Database,
        checkpointer: Checkpointer,
        wakeup: Wakeup,
        pool: WorkerPool,
        crew: Crew,
        ledger: Ledger,
        report: Report,
        running: Callable[[], float],
    ) -> None:
        self.attempts: dict[int, Attempt] = {}
        self.failure: BaseException | None = None
        self.last_turn = clock.monotonic()
        self._database = database
        self._checkpointer = checkpointer
        self._wakeup = wakeup
        self._pool = pool
        self._crew = crew
        self._ledger = ledger
        self._report = report
        self._running = running
        self._arrivals: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
        self._ended: deque[Ended] = deque()
        self._writes: list[Write] = []
        self._batch = Batch()
        self._buffer_room = BufferRoom()
        self._buffered: dict[int, Attempt] = {}
        self._seen_version = -1
        self._look = True
        self._next_due: int | None = None
        self._not_before = 0.0
        self._draining = threading.Event()
        self._finishing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="dispatcher", daemon=True)

    # What other threads may call.

    def start(self) -> None:
        self._thread.start()

    def ended(self, ended: Ended) -> None:
        """A worker reports that its attempt is over."""
        self._ended.append(ended)
        self._wakeup.ring()

    def submit(self, arrival: Arrival) -> None:
        """A sweep or handler hands in something for the next transaction."""
        self._arrivals.put(arrival)
        self._wakeup.ring()

    def drain(self) -> None:
        """Claim no more, and give back what no worker has taken."""
        self._draining.set()
        self._wakeup.ring()

    def finish(self, timeout: float) -> bool:
        """Write what has arrived and end; whether the thread ended in time."""
        self._draining.set()
        self._finishing.set()
        self._wakeup.ring()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    # The loop.

    def _work(self) -> None:
        try:
            self._open_up()
            while not self._finishing.is_set():
                self._sleep()
                self.turn(clock.now_ms(), clock.monotonic())
            self.turn(clock.now_ms(), clock.monotonic())
        except BaseException as error:  # noqa: BLE001 - the daemon must learn of any way to end
            self.failure = error
        finally:
            self._crew.dispatcher_ended()

    def _open_up(self) -> None:
        """Register, and judge what dead daemons left, in the transaction before the first claim."""
        self._writes.append(self._crew.register)
        self._batch.orphans += outcomes.executing_rows(self._database.connection)
        self.turn(clock.now_ms(), clock.monotonic())
        self._crew.opened_up()

    def _sleep(self) -> None:
        self._wakeup.prepare()
        nap = 0.0 if self._ended or not self._arrivals.empty() else self._nap()
        self._wakeup.wait(nap)
        pace = self._not_before - clock.monotonic()
        if pace > 0:
            clock.pause(pace)

    def _nap(self) -> float:
        if self._buffered or self._batch:
            return 0.02
        if self._next_due is None or self._draining.is_set():
            return LONGEST_NAP
        return min(max((self._next_due - clock.now_ms()) / 1000, 0.0), LONGEST_NAP)

    def turn(self, now: int, monotonic: float) -> None:
        """One round: gather, write, hand over. Callable without a thread."""
        self.last_turn = monotonic
        self._gather()
        self._notice_others()
        if not self._due_for_commit(now):
            self._checkpointer.when_quiet(monotonic)
            return
        self._not_before = monotonic + BETWEEN_COMMITS
        try:
            applied, claimed = self._commit(now)
        except errors.DatabaseFull as error:
            self._not_before = monotonic + RETRY_AFTER_FULL
            self._report.disk_full(str(error), monotonic)
            return
        batch, self._batch, self._writes = self._batch, Batch(), []
        self._after_commit(batch, applied, claimed, monotonic)
        self._checkpointer.after_commit(len(batch.ended) + len(claimed), monotonic)

    def _due_for_commit(self, now: int) -> bool:
        if self._batch or self._writes:
            return True
        due = self._next_due is not None and self._next_due <= now
        return not self._draining.is_set() and (due or (self._look and self._room() != (0, 0)))

    def _gather(self) -> None:
        batch = self._batch
        while self._ended:
            batch.ended.append(self._ended.popleft())
        while not self._arrivals.empty():
            arrival = self._arrivals.get_nowait()
            match arrival:
                case Ended():
                    batch.ended.append(arrival)
                case Verdict():
                    batch.verdicts.append(arrival)
                case Row():
                    if arrival.id not in self.attempts:
                        batch.orphans.append(arrival)
                case Checkpoint():
                    batch.checkpoints.append(arrival)
                case write:
                    self._writes.append(write)
        self._gather_from_hand(batch)

    def _gather_from_hand(self, batch: Batch) -> None:
        """Starts of buffered jobs, and buffered jobs that have to go back."""
        for job_id, attempt in list(self._buffered.items()):
            if attempt.started is not None:
                del self._buffered[job_id]
                if not attempt.ended:
                    batch.starts.append(attempt)
        if not self._buffered:
            return
        running = self._running()
        for attempt in list(self._buffered.values()):
            if self._draining.is_set() or running - attempt.handed_at > HELD_AT_MOST:
                self._give_back(attempt)

    def _give_back(self, attempt: Attempt) -> None:
        if attempt.take():
            del self._buffered[attempt.job.id]
            self._batch.ended.append(Ended(attempt, EndedEarly(StopReason.STOP), 0.0))

    def _notice_others(self) -> None:
        """See what other processes committed: new jobs, requests, pauses."""
        version = self._database.data_version()
        if version == self._seen_version:
            return
        self._seen_version = version
        self._look = True
        self._checkpointer.others_wrote()
        db = self._database.connection
        self._next_due = claims.next_due_at(db)
        if self._buffered:
            for job_id in claims.to_give_back(db, list(self._buffered)):
                self._give_back(self._buffered[job_id])
        if self.attempts:
            for job_id, number, cancel in requests.requested(db, self._ledger.worker_id):
                attempt = self.attempts.get(job_id)
                if attempt is not None and attempt.job.attempt == number:
                    reason = StopReason.CANCEL if cancel else StopReason.RELEASE
                    attempt.tell_to_stop(reason, self._running())

    def _commit(self, now: int) -> tuple[Applied, list[Job]]:
        while True:
            try:
                with self._database.transaction(self._keep_trying) as db:
                    applied = self._ledger.apply(db, self._batch, now)
                    for write in self._writes:
                        write(db, now)
                    claimed = self._claim(db, now)
                    self._next_due = claims.next_due_at(db)
                return applied, claimed
            except sqlite3.IntegrityError as error:
                self._set_aside_refused(error)

    def _keep_trying(self, waited: float) -> bool:
        """The daemon waits for the lock as long as it takes, and says so; a stop ends it."""
        self.last_turn = clock.monotonic()
        self._report.locked(waited, self._database.path)
        return not (self._finishing.is_set() and waited > RETRY_AFTER_FULL)

    def _set_aside_refused(self, error: sqlite3.IntegrityError) -> None:
        """Find the row that the database refuses, by trying each alone, and keep its outcome."""
        refused = [each for each in self._batch.ended if not self._fits(each)]
        if not refused:
            raise error
        for each in refused:
            self._report.row_refused(each.attempt, str(error))
            if isinstance(each.ending, Failed) and each.ending.failure.final:
                raise error
            text = f"its outcome could not be stored: {error}"
            failure = Failure(FailureType.SYSTEM, text, final=True)
            each.attempt.enqueued.clear()
            position = self._batch.ended.index(each)
            self._batch.ended[position] = Ended(each.attempt, Failed(failure), each.duration)

    def _fits(self, ended: Ended) -> bool:
        try:
            with self._database.transaction(self._keep_trying) as db:
                self._ledger.apply(db, Batch(ended=[ended]), clock.now_ms())
                raise _OnlyTrying
        except _OnlyTrying:
            return True
        except sqlite3.IntegrityError:
            return False

    # Claiming.

    def _room(self) -> tuple[int, int]:
        """How many jobs may be handed to free workers, and how many put into the buffer."""
        leaving = len(self._batch.ended)
        in_hand = len(self.attempts) - leaving - self._pool.stuck_count()
        free = max(0, self._pool.size - in_hand)
        held = max(0, in_hand - self._pool.size)
        return free, max(0, self._buffer_room.allowed(clock.monotonic()) - held)

    def _claim(self, db: sqlite3.Connection, now: int) -> list[Job]:
        if self._draining.is_set():
            return []
        if self._next_due is not None and self._next_due <= now:
            self._look = claims.promote_due(db, now) > 0 or self._look
        free, buffer = self._room()
        if not self._look or free + buffer == 0:
            return []
        room = self._crew.queue_room(db)
        # Suspects may be passed over, so look a little further than there is room.
        limit = free + buffer + 2 * self._pool.size
        heads = claims.heads(db, limit, [name for name, left in room.items() if left <= 0])
        choice = choose(
            heads, free=free, buffer=buffer, handled=self._crew.handlers, room=room,
            suspect_runs=any(a.job.rescue_count >= SUSPECT for a in self.attempts.values()),
        )
        if choice.without_handler:
            claims.set_aside_without_handler(db, choice.without_handler)
        self._look = bool(choice.without_handler) or len(heads) == limit
        worker_id = self._ledger.worker_id
        return claims.claim(db, choice.direct, choice.buffered, worker_id, now)

    # After the commit, when everything is durable.

    def _after_commit(
        self, batch: Batch, applied: Applied, claimed: list[Job], monotonic: float
    ) -> None:
        for each in batch.ended:
            self.attempts.pop(each.attempt.job.id, None)
        self._buffer_room.finished(
            [each.duration for each in batch.ended], monotonic
        )
        if batch.ended or applied.settled:
            self._look = True
        self._hand_over(claimed)
        self._take_verdicts(applied.verdicts)
        for checkpoint in batch.checkpoints:
            if checkpoint.attempt.job.id not in applied.checkpoints:
                checkpoint.refusal = "this attempt is not the current one any more"
            checkpoint.saved.set()
        self._report.applied(applied, claimed)

    def _hand_over(self, claimed: list[Job]) -> None:
        retried = [job.id for job in claimed if job.attempt > 1]
        saved = daemons.checkpoints_of(self._database.connection, retried) if retried else {}
        handed_at = self._running()
        for job in claimed:
            attempt = self._crew.attempt(job, handed_at)
            attempt.checkpoint = saved.get(job.id)
            self.attempts[job.id] = attempt
            if job.buffered:
                self._buffered[job.id] = attempt
            self._pool.hand_over(attempt)

    def _take_verdicts(self, verdicts: list[Verdict]) -> None:
        running = self._running()
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


class _OnlyTrying(Exception):
    """Rolls back a transaction that was only made to see whether it fits."""
