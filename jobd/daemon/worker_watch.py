"""How the workers are: judged with each sweep, shown in the `workers` table, and told when bad."""

from jobd import clock
from jobd.core.alert import of_worker
from jobd.core.worker_health import HealthStatus
from jobd.daemon.alerts import Alerts
from jobd.daemon.crew import Crew
from jobd.daemon.dispatcher import Dispatcher
from jobd.daemon.sweeps import health
from jobd.daemon.worker import WorkerPool
from jobd.store import daemons
from jobd.store.daemons import WorkerState

SHOWN_EVERY = 60.0
LASTS_MS = 1_000
"""Jobs that take so long are worth a write of their own; shorter ones are shown as it happens."""


class WorkerWatch:
    """Its `look` belongs to one sweep, `show` is called by another."""

    def __init__(
        self,
        crew: Crew,
        pool: WorkerPool,
        dispatcher: Dispatcher,
        running_clock: clock.RunningClock,
        alerts: Alerts,
    ) -> None:
        self._crew = crew
        self._pool = pool
        self._dispatcher = dispatcher
        self._running_clock = running_clock
        self._alerts = alerts
        self._shown: list[WorkerState] = []
        self._shown_at = 0.0
        self._seen: dict[str, HealthStatus] = {}

    def states(self) -> list[WorkerState]:
        """Each worker, those that are stuck included, as it is now."""
        running = self._running_clock.running(clock.monotonic())
        timing = self._crew.config.timing
        workers = [*self._pool.workers, *self._pool.stuck]
        return [health(worker.name, worker.current, timing, running) for worker in workers]

    def look(self) -> None:
        """Show the workers at once when one got better or worse; tell of those that are bad."""
        states = self.states()
        found = {state.name: state.health_status for state in states}
        news = [state for state in states
                if state.health_status is not self._seen.get(state.name, HealthStatus.NORMAL)]
        self._seen = found
        for state in news:
            if state.health_status is HealthStatus.UNHEALTHY and state.stuck_job_id is not None:
                self._alerts.tell(of_worker(state.name, state.stuck_job_id, state.attempt))
        if news or self._lasts_unseen(states):
            self.show(states)

    def _lasts_unseen(self, states: list[WorkerState]) -> bool:
        """Whether a job that goes on for a while is not yet shown with its worker."""
        shown = {(state.name, state.job_id, state.attempt) for state in self._shown}
        since = clock.now_ms() - LASTS_MS
        return any(
            state.job_started_at is not None and state.job_started_at <= since
            and (state.name, state.job_id, state.attempt) not in shown for state in states
        )

    def show(self, states: list[WorkerState]) -> None:
        """Write what has changed, or once a minute that nothing has."""
        monotonic = clock.monotonic()
        if states == self._shown and monotonic - self._shown_at < SHOWN_EVERY:
            return
        self._shown, self._shown_at = states, monotonic
        identity = self._crew.identity
        self._dispatcher.submit(lambda db, now: daemons.show_workers(db, identity, states, now))
