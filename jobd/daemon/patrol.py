"""The sweeps as the scheduler calls them: look, decide by `sweeps`, hand over to the dispatcher."""

from collections.abc import Mapping
from pathlib import Path

from jobd import clock
from jobd.core.job import Row
from jobd.core.lifecycle import JobStatus
from jobd.daemon import census
from jobd.daemon.alerts import Alerts
from jobd.daemon.attempt import Attempt
from jobd.daemon.change_watch import ChangeWatch
from jobd.daemon.crew import Crew
from jobd.daemon.dispatcher import Dispatcher
from jobd.daemon.hand import Hand
from jobd.daemon.ledger import park_haunted
from jobd.daemon.left_behind import LeftBehind
from jobd.daemon.survivors import KILL_TAKES, Left, end_left, survey
from jobd.daemon.sweeper import Sweep
from jobd.daemon.sweeps import OrphanSweep, sweep_timeouts, sweep_zombies
from jobd.daemon.worker import WorkerPool
from jobd.daemon.worker_watch import WorkerWatch
from jobd.log import logger
from jobd.store import batch_reading, claims, daemons, outcomes, overview
from jobd.store.attempt_files import cut
from jobd.store.connection import Database
from jobd.store.daemons import WorkerState
from jobd.store.opening import open_database


class Patrol:
    """Three rounds: deadlines, what does not stop or has lost its owner, and the heartbeat."""

    def __init__(
        self,
        path: Path,
        crew: Crew,
        pool: WorkerPool,
        hand: Hand,
        dispatcher: Dispatcher,
        running_clock: clock.RunningClock,
        left_behind: LeftBehind,
        alerts: Alerts,
        changes: ChangeWatch,
    ) -> None:
        self.ready = 0
        self.batch_items = 0
        self.dead_letters = 0
        """Counted with each heartbeat, as `ready` is."""
        self._path = path
        self._crew = crew
        self._pool = pool
        self._hand = hand
        self._dispatcher = dispatcher
        self._running_clock = running_clock
        self._left_behind = left_behind
        self._changes = changes
        self._orphans = OrphanSweep()
        self._connections: dict[str, Database] = {}
        self._idle_at: dict[str, int] = {}
        """The `data_version` at which a sweep saw that nothing executes."""
        self._watch = WorkerWatch(crew, pool, dispatcher, running_clock, alerts)
        self._alerts = alerts

    def sweeps(self) -> list[Sweep]:
        timing = self._crew.config.timing
        return [
            Sweep("timeouts", timing.sweep_interval, self.timeouts),
            Sweep("zombies", timing.sweep_interval, self.zombies),
            Sweep("survivors", timing.sweep_interval, self.survivors, self._ending_takes),
            Sweep("heartbeat", timing.heartbeat, self.heartbeat),
        ]

    def timeouts(self) -> None:
        """Give a verdict on deadlines, and pass on what running jobs report."""
        running = self._running_clock.tick(clock.monotonic())
        attempts = self._attempts()
        self._cut_output(attempts)
        for verdict in sweep_timeouts(attempts, running):
            self._dispatcher.submit(verdict)
        self._pass_on_progress(attempts, running)
        self._changes.look_again()

    def zombies(self) -> None:
        """Say which workers are stuck, give a verdict on what does not stop, and find rows that
        nobody executes."""
        self._watch.look()
        running = self._running_clock.running(clock.monotonic())
        for verdict in sweep_zombies(self._attempts(), self._crew.config.timing, running):
            self._dispatcher.submit(verdict)
        for row in self._orphans.sweep(self._rows("zombies", ours=True), self._hand.known()):
            logger().error("job.stray_found", job_id=row.id, attempt=row.attempt)
            self._dispatcher.submit(row)

    def _ending_takes(self) -> float:
        return self._crew.config.timing.kill_grace + KILL_TAKES

    def survivors(self) -> None:
        """End what dead daemons left running, and pass on the jobs for whom nothing runs any more.

        May take `kill_grace` and a second; the scheduler gives it a thread of its own.
        """
        self._left_behind.look(self._crew.config.commands.max_output)
        rows = {row.id: row for row in self._rows("survivors", ours=False)}
        haunted = survey(self._path, rows.values())
        if haunted:
            end_left(lambda: _together(survey(self._path, rows.values())),
                     self._crew.config.timing.kill_grace, clock.pause)
            haunted = survey(self._path, rows.values())
        running = self._running_clock.running(clock.monotonic())
        for row in rows.values():
            if row.id not in haunted:
                self._dispatcher.submit(row)
            elif row.status is JobStatus.ZOMBIE and running >= self._crew.config.timing.zombie_hold:
                self._dispatcher.submit(park_haunted(row, haunted[row.id].pids))

    def _rows(self, sweep: str, *, ours: bool) -> list[Row]:
        """Executions that are not over, of this daemon or of dead ones."""
        database = self._database(sweep)
        version = database.data_version()
        if self._idle_at.get(sweep) == version:
            return []
        rows = outcomes.executing_rows(database.connection)
        if not rows:
            self._idle_at[sweep] = version
        return [row for row in rows if (row.worker_id == self._crew.identity.id) is ours]

    def heartbeat(self) -> None:
        """Say in the log who is alive and on what; keep the workers table true."""
        states = self._watch.states()
        log = logger()
        now = clock.now_ms()
        for state in states:
            log.info("worker.heartbeat", worker=state.name, health=state.health_status.value,
                     job_id=state.job_id, attempt=state.attempt,
                     busy_ms=state.job_started_at and max(0, now - state.job_started_at),
                     stuck_job_id=state.stuck_job_id)
        self._log_pool(states, now)
        self._watch.show(states)

    def _log_pool(self, states: list[WorkerState], now: int) -> None:
        db = self._database("heartbeat").connection
        self.ready, oldest = claims.depth(db)
        self.batch_items = batch_reading.items_left(db)
        self.dead_letters = overview.dead_letters(db)
        self._alerts.look_at_heads(claims.next_in_line(db), now)
        busy, stuck = sum(state.job_id is not None for state in states), self._pool.stuck_count()
        logger().info(
            "pool.health", workers=self._pool.size, busy=max(busy - stuck, 0), stuck=stuck,
            in_hand=len(self._hand.attempts),
            ready=self.ready, batch_items=self.batch_items, dead_letters=self.dead_letters,
            oldest_ready_ms=oldest and max(0, now - oldest),
            interval_s=self._crew.config.timing.heartbeat, pid=self._crew.identity.pid,
            threads=census.threads(), open_files=census.open_files(),
        )

    def _attempts(self) -> list[Attempt]:
        return list(self._hand.attempts.values())

    def _cut_output(self, attempts: list[Attempt]) -> None:
        for attempt in attempts:
            for path in attempt.output:
                cut(path, self._crew.config.commands.max_output)

    def _pass_on_progress(self, attempts: list[Attempt], running: float) -> None:
        fresh = [attempt for attempt in attempts if attempt.progress_is_new]
        reports = []
        for attempt in fresh:
            attempt.progress_is_new = False
            attempt.progressed_at = running
            if attempt.progress is not None:
                done, total, message = attempt.progress
                reports.append((attempt.job.id, attempt.job.attempt, done, total, message))
        if reports:
            self._dispatcher.submit(
                lambda db, now: daemons.save_progress(db, reports, now)
            )

    def _database(self, sweep: str) -> Database:
        """The sweep's own connection; each sweep has one thread, which opens it."""
        if sweep not in self._connections:
            self._connections[sweep] = open_database(self._path, now=clock.now_ms())
        return self._connections[sweep]


def _together(haunted: Mapping[int, Left]) -> Left:
    return Left(
        [pid for left in haunted.values() for pid in left.pids],
        any(left.locked for left in haunted.values()),
    )
