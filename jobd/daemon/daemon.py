"""The daemon: what it is made of, the order in which it starts and stops, and its signals."""

import os
import platform
import random
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from jobd import clock, errors
from jobd.core.config import Config, changes, reloaded
from jobd.core.job import Isolation, StopReason
from jobd.core.registry import Handler
from jobd.core.version import VERSION
from jobd.daemon.alerts import Alerts
from jobd.daemon.census import Census, said
from jobd.daemon.change_watch import ChangeWatch
from jobd.daemon.checkpointer import Checkpointer
from jobd.daemon.context import Surroundings
from jobd.daemon.crew import Crew, new_identity
from jobd.daemon.dispatcher import Dispatcher
from jobd.daemon.hand import Hand
from jobd.daemon.inbox import Inbox
from jobd.daemon.ledger import Ledger
from jobd.daemon.left_behind import LeftBehind
from jobd.daemon.metrics_file import MetricsFile
from jobd.daemon.patrol import Patrol
from jobd.daemon.place import Place
from jobd.daemon.pulse import Pulse
from jobd.daemon.report import Report, job_log
from jobd.daemon.run_command import CommandRunner
from jobd.daemon.run_process import ProcessRunner
from jobd.daemon.run_python import PythonRunner
from jobd.daemon.runners import Runners
from jobd.daemon.signals import RELOAD, STOPS, SignalBox
from jobd.daemon.survivors import KILL_TAKES
from jobd.daemon.sweeper import StepDetector, Sweeper
from jobd.daemon.systemd import Systemd
from jobd.daemon.upkeep import Upkeep
from jobd.daemon.vitals import Vitals
from jobd.daemon.wakeup import Wakeup
from jobd.daemon.worker import JobWorker, WorkerPool
from jobd.log import logger
from jobd.store import claims, daemons
from jobd.store.connection import WAL_GROWN, Database
from jobd.store.opening import open_database

TICK, IDLE_TICK = 0.5, 1.0
DRAIN_TICK = 0.05
LAST_MOMENT = 1.0
LONGEST_FINISH = 10.0


class Daemon:
    """One incarnation, from the opened database to its exit status.

    The caller holds the database's daemon lock and runs this in the main thread.
    """

    def __init__(
        self,
        path: Path,
        config: Config,
        handlers: Mapping[str, Handler],
        reload: Callable[[], Config],
        systemd: Systemd,
    ) -> None:
        self._path = path
        self._systemd = systemd
        self._reload = reload
        self._box = SignalBox()
        self._ready = False
        self._replaced = False
        self.why = ""
        """Why it ended, when nobody asked for it."""
        self._left_behind = LeftBehind()
        self._running_clock = clock.RunningClock(
            2 * config.timing.sweep_interval, clock.monotonic()
        )
        self._steps = StepDetector(clock.now_ms(), clock.monotonic(), clock.asleep())
        self.report = Report()
        self.identity = new_identity()
        self._crew = Crew(handlers, config, self.identity, self._announced)
        self._wakeup = Wakeup(path)
        self._pool = WorkerPool(config.pool.workers, self._worker)
        self.hand = Hand(self._pool, self._crew)
        self._ledger = Ledger(self.identity.id, self._crew.policy, random.random)
        self._writer = self._open_writer(path)
        self.dispatcher = self._dispatcher(path)
        self._place = Place(path)
        self._watch_over(path)

    def _watch_over(self, path: Path) -> None:
        """Make all that looks at the work from beside it: sweeps, alerts, signs of life."""
        self._census = Census(self._pool)
        self._changes = ChangeWatch(self.dispatcher.submit, self.hand.in_threads)
        self._alerts = Alerts(path, lambda: self._crew.config, self.dispatcher.submit)
        self.report.tell = self._alerts.of_outcome
        self._patrol = Patrol(
            path, self._crew, self._pool, self.hand, self.dispatcher,
            self._running_clock, self._left_behind, self._alerts, self._changes,
        )
        upkeep = Upkeep(path, self._crew, self.dispatcher, self.hand, self.report)
        meter = self.report.meter
        metrics = MetricsFile(path, self._crew, meter, upkeep)
        self._sweeper = Sweeper(
            meter.counted([*self._patrol.sweeps(), upkeep.sweep(), metrics.sweep()]), path
        )
        self._vitals = Vitals(
            self._systemd, self._pool, self.dispatcher, self._patrol, self._sweeper, self.report,
            Pulse(path, meter.counters), path, self._crew.config.timing.heartbeat,
        )

    def run(self) -> int:
        """Work until a signal or a failure ends it; returns the exit status."""
        log = logger()
        with self._box.listening():
            log.info("daemon.started", pid=os.getpid(), version=VERSION, daemon=self.identity.id,
                     workers=self._pool.size, handlers=sorted(self._crew.handlers),
                     python=platform.python_version(), sqlite=sqlite3.sqlite_version)
            self._alerts.start()
            self._pool.start()
            self.dispatcher.start()
            self._sweeper.start()
            status = self._watch()
            self._systemd.stopping()
            if self.dispatcher.failure is None and not self._replaced:
                self._drain(status)
        return self._ended(status)

    def running(self) -> float:
        """Seconds that this process really ran."""
        return self._running_clock.running(clock.monotonic())

    # The main thread: signals, the clock, and whether everyone is well.

    def _watch(self) -> int:
        while True:
            number = self._box.wait(self._vitals.tick(TICK if self.hand.attempts else IDLE_TICK))
            if number in STOPS:
                return errors.DONE
            if number == RELOAD:
                self._reload_configuration()
            self._look_at_the_clock()
            if self._ready:
                self._vitals.look(clock.monotonic())
            if self._place.is_taken():
                self._replaced, self.why = True, "its database was removed or replaced"
                self._sweeper.stop()
                self.dispatcher.finish(LONGEST_FINISH)
                self._place.save(self._writer.connection)
                return errors.TEMPORARY
            if not self.dispatcher.is_alive():
                return errors.TEMPORARY
            too_many = self._census.exhausted(self._crew.config.pool, clock.monotonic())
            if too_many:
                self.why = said(too_many)
                logger().error("pool.exhausted", **too_many)
                return errors.TEMPORARY

    def _announced(self, what: str) -> None:
        if what == "ready":
            self._ready = True
            self._systemd.ready()
            logger().info("daemon.ready", pid=os.getpid(), daemon=self.identity.id)
        self._box.ring()

    def _look_at_the_clock(self) -> None:
        moved = self._steps.step(clock.now_ms(), clock.monotonic(), clock.asleep())
        if moved:
            logger().warning("clock.stepped", moved_ms=moved,
                             suspended_ms=self._steps.suspended_ms)
            self._vitals.show_at_once()
            self._sweeper.run_now()
            self.dispatcher.submit(claims.clamp_retries)
        self._sweeper.run_late(clock.monotonic())

    def _reload_configuration(self) -> None:
        if not self._ready:
            self._take_over_configuration()
            return
        self._systemd.reloading(clock.monotonic())
        self._take_over_configuration()
        self._systemd.ready()

    def _take_over_configuration(self) -> None:
        log = logger()
        try:
            new = self._reload()
        except errors.ConfigurationError as error:
            log.error("configuration.refused", problems=error.problems)
            return
        taken, ignored = changes(self._crew.config, new)
        self._crew.config = reloaded(self._crew.config, new)
        self.dispatcher.submit(self._crew.show_limits)
        log.info("configuration.reloaded", changed=taken, needs_restart=ignored)

    # Stopping.

    def _drain(self, status: int) -> None:
        """Let running jobs finish within the grace, then leave what does not."""
        log = logger()
        grace = self._crew.config.timing.shutdown_grace
        log.info("daemon.stopping", grace_s=grace, in_hand=len(self.hand.attempts),
                 exit_status=status)
        self.dispatcher.drain()
        if not self._wait_for_attempts(grace):
            for attempt in list(self.hand.attempts.values()):
                attempt.cut_short()
            self._wait_for_attempts(self._last_moment())
        self.dispatcher.submit(self._request_stop)
        self.dispatcher.submit(lambda db, now: daemons.sign_off(db, self.identity, now))
        self._systemd.needs(LONGEST_FINISH + LAST_MOMENT)
        self.dispatcher.finish(LONGEST_FINISH)
        log.info("daemon.drained", finished=self.report.finished,
                 given_back=self.report.given_back,
                 left_running=list(self.hand.attempts))

    def _request_stop(self, db: sqlite3.Connection, now: int) -> None:
        """Mark what is left; the dispatcher calls it, who alone knows what that is by then."""
        # A verdict stands: a job that got stuck must not come back uncharged for ever.
        left = [each for each in self.hand.attempts.values() if not each.timed_out]
        self._ledger.request_stop(left)(db, now)

    def _last_moment(self) -> float:
        """What can be killed gets SIGTERM now, and SIGKILL after `kill_grace`."""
        killable = any(attempt.killable for attempt in list(self.hand.attempts.values()))
        return LAST_MOMENT + (self._crew.config.timing.kill_grace + KILL_TAKES) * killable

    def _wait_for_attempts(self, grace: float) -> bool:
        """Whether every attempt ended in time; a second signal ends the waiting."""
        deadline = clock.monotonic() + grace
        while self.dispatcher.is_alive():
            waited_for = [a for a in list(self.hand.attempts.values())
                          if a.zombie_since is None]
            # A claim may be on its way to the disk, and its jobs not yet in our hand.
            if not waited_for and self.dispatcher.claims_no_more:
                return True
            for attempt in waited_for:
                attempt.tell_to_stop(StopReason.STOP, self.running())
            now = clock.monotonic()
            self._vitals.look_while_stopping(now, deadline - now)
            if now >= deadline:
                return False
            if self._box.wait(DRAIN_TICK) in STOPS:
                return False
        return True

    def _ended(self, status: int) -> int:
        failure = self.dispatcher.failure
        if failure is not None and not self._replaced:
            status = getattr(failure, "exit_status", errors.TEMPORARY)
            if self._ready and isinstance(failure, errors.NoAccess):
                status = errors.TEMPORARY  # it had access, and may have it again
            self.why = f"{type(failure).__name__}: {failure}"
            logger().error("daemon.failed", error=self.why,
                           exc_info=None if isinstance(failure, errors.JobdError) else failure)
        self._sweeper.stop()
        self._pool.stop()
        self._alerts.stop(LAST_MOMENT)
        self._wakeup.close()
        logger().info("daemon.stopped", exit_status=status)
        return status

    # Construction.

    def _open_writer(self, path: Path) -> Database:
        synchronous = self._crew.config.synchronous
        writer = open_database(
            path, create=True, shared=True, synchronous=synchronous, check="drift",
            now=clock.now_ms(),
        )
        writer.serve_a_daemon()
        with suppress(errors.DatabaseFull, errors.DatabaseBusy, OSError):
            writer.grow_wal(WAL_GROWN)
        return writer

    def _dispatcher(self, path: Path) -> Dispatcher:
        writer = self._writer
        second = open_database(path, shared=True, now=clock.now_ms())
        return Dispatcher(
            writer, Checkpointer(writer, second, self.report), self._wakeup, self.hand, self._crew,
            self._ledger, self.report, self.running,
        )

    def _worker(self, name: str, inbox: Inbox) -> JobWorker:
        surroundings = Surroundings(
            clock.now_ms, self.dispatcher.submit, job_log, lambda: self._crew.config,
            self._path, self.identity.id,
        )
        runners = Runners({
            Isolation.THREAD: lambda: PythonRunner(lambda: self._crew.config, self._changes.ended),
            Isolation.PROCESS: lambda: ProcessRunner(surroundings, self.running),
            Isolation.COMMAND: lambda: CommandRunner(
                self._path, self.identity.id, lambda: self._crew.config, self._left_behind
            ),
        })
        return JobWorker(name, inbox, self.dispatcher.ended, surroundings,
                         self._running_clock.running, runners)
