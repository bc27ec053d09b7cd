"""The dispatcher: the only thread of the daemon that writes to the database.

Its loop takes all that has arrived, applies it and claims what there is room for in one
transaction, commits, and only then hands over, logs and answers. Meanwhile the next batch gathers.
"""

import queue
import sqlite3
import threading
from collections.abc import Callable

from jobd import clock, errors
from jobd.core.job import Claimed
from jobd.daemon.attempt import Ended
from jobd.daemon.batch_feed import BatchFeed
from jobd.daemon.checkpointer import Checkpointer
from jobd.daemon.crew import Crew
from jobd.daemon.hand import Hand
from jobd.daemon.ledger import Ledger
from jobd.daemon.pace import Pace
from jobd.daemon.refused import set_aside_refused
from jobd.daemon.report import Report
from jobd.daemon.survivors import survey
from jobd.daemon.turn import Applied, Arrival, Batch
from jobd.daemon.wakeup import Wakeup
from jobd.store import claims, outcomes
from jobd.store.complaints import translated
from jobd.store.connection import Database
from jobd.store.misfits import explained
from jobd.store.news import news, next_due_at
from jobd.store.transaction import Transaction

LONGEST_NAP = 0.5
SHORT_NAP = 0.02
UNPOKED = 0.02
"""Whoever commits pokes; for those who do not, the database is asked so often, in seconds."""
ENOUGH = 64
"""So many attempts that ended are worth a commit before anybody is listened to..."""
UNHEARD = 0.005
"""...for at most so many seconds: to listen gives the interpreter's lock to the workers."""
RETRY_AFTER_FULL = 1.0


class Dispatcher:
    """Owns the writing connection; every write of the daemon goes through `turn`."""

    def __init__(
        self, database: Database, checkpointer: Checkpointer, wakeup: Wakeup, hand: Hand,
        crew: Crew, ledger: Ledger, report: Report, running: Callable[[], float],
        now_ms: Callable[[], int] = clock.now_ms,
    ) -> None:
        self.failure: BaseException | None = None
        self.last_turn = clock.monotonic()
        self.claims_no_more = False
        self._database = database
        self._checkpointer = checkpointer
        self._wakeup = wakeup
        self._hand = hand
        self._crew = crew
        self._feed = BatchFeed(crew)
        self._ledger = ledger
        self._report = report
        self._running = running
        self._now_ms = now_ms
        self._arrivals: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
        self._batch = Batch()
        self._look = True
        self._seen_version = -1
        self._poked = False
        self._looked_at = -UNPOKED
        self._listened_at = -UNHEARD
        self._next_due: int | None = None
        self._pace = Pace(hand, wakeup)
        self._draining = threading.Event()
        self._finishing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="dispatcher", daemon=True)

    # What other threads may call.

    def start(self) -> None:
        self._thread.start()

    def ended(self, ended: Ended) -> None:
        """A worker reports that its attempt is over."""
        self._hand.reports.append(ended)
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
            with translated(self._database.path):
                self._open_up()
                while not self._finishing.is_set():
                    self._sleep()
                    self.turn(clock.monotonic())
                self.turn(clock.monotonic())
        except BaseException as error:  # noqa: BLE001 - the daemon must learn of any way to end
            self.failure = explained(self._database.connection, error)
        finally:
            self._crew.dispatcher_ended()

    def _open_up(self) -> None:
        """Register, and judge what dead daemons left, in the transaction before the first claim."""
        self._batch.writes.append(self._crew.register)
        rows = outcomes.executing_rows(self._database.connection)
        haunted = survey(self._database.path, rows)
        for row in rows:
            (self._batch.haunted if row.id in haunted else self._batch.orphans).append(row)
        self.turn(clock.monotonic())
        self._pace.put_off(0.0)  # what lay there before us is no producer to take turns with
        self._crew.opened_up()

    def _sleep(self) -> None:
        now = clock.monotonic()
        reports = self._hand.reports
        enough = len(reports) >= ENOUGH and not self._batch  # else the last commit has failed
        if enough and now - self._listened_at < UNHEARD:
            return
        self._listened_at = now
        self._wakeup.prepare()
        if not reports:
            self._hand.wake_enough()
        nap = 0.0 if reports or not self._arrivals.empty() else self._nap(now)
        self._poked |= self._wakeup.wait(nap)
        self._pace.keep(asked=not self._arrivals.empty())

    def _nap(self, monotonic: float) -> float:
        if (self._feed.busy or self._hand.must_look_on(monotonic)) and not self._draining.is_set():
            return 0.0
        if self._hand.buffered or self._batch:
            return SHORT_NAP
        if self._next_due is None or self._draining.is_set():
            return LONGEST_NAP
        return min(max((self._next_due - self._now_ms()) / 1000, 0.0), LONGEST_NAP)

    def turn(self, monotonic: float) -> None:
        """One round: gather, write, hand over; callable without a thread."""
        self.last_turn = monotonic
        self.claims_no_more = self._draining.is_set()
        self._gather(monotonic)
        others_wrote = self._notice_others(monotonic)
        if not self._has_to_write(monotonic):
            self._checkpointer.when_quiet(monotonic)
            return
        try:
            applied, claimed = self._commit(monotonic)
        except errors.DatabaseFull as error:
            # The batch stays as it is; nothing that handlers have done is lost while we live.
            self._pace.put_off(monotonic + RETRY_AFTER_FULL)
            self._report.disk_full(str(error), monotonic)
            self._hand.wake_enough()
            if self._finishing.is_set():
                raise
            return
        batch, self._batch = self._batch, Batch()
        self._after_commit(batch, applied, claimed, monotonic)
        self._pace.committed(
            monotonic, clock.monotonic(), others_wrote=others_wrote, claimed=len(claimed.jobs)
        )

    def _has_to_write(self, monotonic: float) -> bool:
        if self._batch:
            return True
        if self._draining.is_set():
            return False
        due = self._next_due is not None and self._next_due <= self._now_ms()
        may_claim = self._look and self._hand.room(0, monotonic) != (0, 0)
        return due or may_claim or self._feed.busy

    # Gathering.

    def _gather(self, monotonic: float) -> None:
        batch = self._batch
        # Starts first: a worker reports an end before it begins anew, so never are more jobs on
        # disk as begun, and charged when we die, than there are workers.
        batch.starts += self._hand.starts()
        batch.ended += self._hand.hear(monotonic)
        while not self._arrivals.empty():
            batch.add(self._arrivals.get_nowait(), self._hand.attempts)
        if self._hand.buffered:
            self._give_back_buffered()

    def _give_back_buffered(self) -> None:
        held = self._hand.buffered
        ids = list(held) if self._draining.is_set() else self._hand.held_too_long(self._running())
        self._batch.ended += self._hand.give_back(ids)

    def _notice_others(self, monotonic: float) -> bool:
        """See what other processes committed: new jobs, requests, pauses; whether they did."""
        if not self._may_have_news(monotonic):
            return False
        db = self._database.connection
        found = news(db, self._ledger.worker_id, self._hand.buffered)
        if found.version == self._seen_version:
            return False
        self._seen_version = found.version
        self._look = True
        self._checkpointer.others_wrote()
        self._next_due = found.next_due_at
        self._feed.notice(db, found.batch_is_open)
        self._batch.ended += self._hand.give_back(found.to_give_back)
        self._hand.tell_to_stop(found.asked_to_stop, self._running())
        return True

    def _may_have_news(self, monotonic: float) -> bool:
        poked, self._poked = self._poked, False
        if not poked and monotonic - self._looked_at < UNPOKED:
            return False
        self._looked_at = monotonic
        return poked or self._database.data_version() != self._seen_version

    # Writing.

    def _commit(self, monotonic: float) -> tuple[Applied, Claimed]:
        while True:
            try:
                with self._transaction() as db:
                    now = self._now_ms()  # not before the lock: what others wrote came first
                    applied = self._ledger.apply(db, self._batch, now)
                    self._feed.settle(db, now)
                    claimed = self._claim(db, now, monotonic)
                    if self._batch.writes or not applied.is_plain():
                        self._next_due = next_due_at(db)
                return applied, claimed
            except sqlite3.IntegrityError as error:
                set_aside_refused(self._batch, error, self._transaction, self._apply, self._report)

    def _claim(self, db: sqlite3.Connection, now: int, monotonic: float) -> Claimed:
        if self._draining.is_set():
            return Claimed()
        if self._next_due is not None and self._next_due <= now:
            self._look |= claims.promote_due(db, now) > 0
            self._next_due = next_due_at(db)
        leaving = self._batch.ended
        look = self._look or leaving or self._batch.orphans
        if not look or self._hand.room(len(leaving), monotonic) == (0, 0):
            return Claimed()
        claimed, self._look = self._hand.claim(
            db, leaving, monotonic, self._feed, self._ledger.worker_id, now
        )
        return claimed

    def _keep_trying(self, waited: float) -> bool:
        """The daemon waits for the lock as long as it takes, and says so; a stop ends it."""
        self.last_turn = clock.monotonic()
        self._report.locked(waited, self._database.path)
        self._hand.wake_enough()
        return not (self._finishing.is_set() and waited > RETRY_AFTER_FULL)

    def _transaction(self) -> Transaction:
        return self._database.transaction(self._keep_trying)

    def _apply(self, db: sqlite3.Connection, batch: Batch) -> Applied:
        return self._ledger.apply(db, batch, self._now_ms())

    # After the commit, when everything is durable.

    def _after_commit(
        self, batch: Batch, applied: Applied, claimed: Claimed, monotonic: float
    ) -> None:
        running = self._running()
        self._hand.put_down(batch.ended)
        self._hand.take(self._database.connection, claimed, running)
        self._hand.take_verdicts(applied.verdicts, running)
        # A replaced worker or a new limit makes room as well as an attempt that ended.
        self._look |= bool(batch.ended or batch.writes or applied.settled or applied.verdicts)
        self._feed.committed()
        if self._feed.stopped:
            self._seen_version = -1
        for checkpoint in batch.checkpoints:
            checkpoint.answer(kept=checkpoint.attempt.job.id in applied.checkpoints)
        self._report.applied(applied, claimed)
        self._checkpointer.after_commit(monotonic)
