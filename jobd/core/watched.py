"""The daemon and its workers as the log alone shows them, and how well they are."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from jobd.core.health import Health, counted_at_work, dead_letters_problem, worker_problem
from jobd.core.log_line import LogEvent, time_of
from jobd.core.problem import Problem, State, counted, lasted

MISSED = 3
"""So many intervals without a heartbeat are too many."""
_LIFE = ("daemon.started", "daemon.ready", "daemon.stopping", "daemon.failed", "daemon.stopped")
_TROUBLE = {"store.full": "store.recovered", "store.checkpoint_failed": "store.recovered",
            "store.locked": None, "store.log_held_back": None}
"""What lasts until it is said to be over; or, where nothing says so, until it is not repeated."""
REPEATED_WITHIN_MS = 70_000


@dataclass(slots=True)
class WatchedWorker:
    """What the last heartbeat of a worker said, and what it did since we look."""

    name: str
    seen: int
    health: str = "normal"
    job_id: int | None = None
    attempt: int | None = None
    busy_ms: int | None = None
    stuck_job_id: int | None = None
    ended: int = 0
    last: str = ""
    missed: int = 0


@dataclass(slots=True)
class Watched:
    """Built up by `take` from one event after another."""

    life: str | None = None
    life_at: int = 0
    pid: int | None = None
    exit_status: int | None = None
    beat_at: int | None = None
    interval_ms: int | None = None
    pool: dict[str, Any] = field(default_factory=dict)
    workers: dict[str, WatchedWorker] = field(default_factory=dict)
    trouble: dict[str, tuple[int, LogEvent]] = field(default_factory=dict)

    def take(self, event: LogEvent) -> None:
        """Learn from one more event; they come in the order of the log."""
        at, name = time_of(event) or 0, event["event"]
        if name in _LIFE:
            self._live(name, at, event)
        elif name == "worker.heartbeat":
            self._heard(event, at)
        elif name == "pool.health":
            self._beat(event, at)
        elif name in _TROUBLE:
            self.trouble[name] = (at, event)
        elif name.startswith("store."):
            self.trouble = {each: told for each, told in self.trouble.items()
                            if _TROUBLE[each] != name}
        elif name.startswith("job.") and "duration_ms" in event:
            self._ended(event)

    @property
    def heard(self) -> bool:
        """Whether the log has said anything of a daemon yet."""
        return self.life is not None or self.beat_at is not None

    def in_order(self) -> list[WatchedWorker]:
        """The workers by number."""
        return sorted(self.workers.values(), key=lambda each: (len(each.name), each.name))

    def _live(self, name: str, at: int, event: LogEvent) -> None:
        if name in ("daemon.started", "daemon.failed", "daemon.stopped"):
            self.workers.clear()
            self.trouble.clear()
            self.beat_at, self.pool = None, {}
        self.life, self.life_at = name, at
        self.pid = _whole(event.get("pid")) or self.pid
        self.exit_status = _whole(event.get("exit_status"))

    def _worker(self, name: str, at: int) -> WatchedWorker:
        return self.workers.setdefault(name, WatchedWorker(name, at))

    def _heard(self, event: LogEvent, at: int) -> None:
        worker = self._worker(str(event.get("worker")), at)
        worker.seen, worker.missed = at, 0
        worker.health = str(event.get("health"))
        worker.job_id, worker.attempt = _whole(event.get("job_id")), _whole(event.get("attempt"))
        worker.busy_ms = _whole(event.get("busy_ms"))
        worker.stuck_job_id = _whole(event.get("stuck_job_id"))

    def _beat(self, event: LogEvent, at: int) -> None:
        """One round of heartbeats is over: who was silent in the last two is gone."""
        for worker in list(self.workers.values()):
            worker.missed += 1
            if worker.missed > 2:
                del self.workers[worker.name]
        told = event.get("interval_s")
        if isinstance(told, int | float) and 0 < told < 1e7:
            self.interval_ms = round(told * 1000)
        elif self.beat_at is not None and at > self.beat_at:
            self.interval_ms = min(at - self.beat_at, self.interval_ms or at - self.beat_at)
        self.beat_at, self.pool = at, dict(event)
        self.pid = _whole(event.get("pid")) or self.pid

    def _ended(self, event: LogEvent) -> None:
        worker = self.workers.get(str(event.get("worker")))
        if worker is not None:
            worker.ended += 1
            word = event["event"].removeprefix("job.").replace("_", " ")
            worker.last = f"job {event.get('job_id')} {word}"
            if worker.job_id == event.get("job_id"):
                worker.job_id = worker.attempt = worker.busy_ms = None

    # How well.

    def health(self, now: int, interval_ms: int, max_age_ms: int | None) -> Health:
        """The verdict; `interval_ms` is the heartbeat's where the log does not say it."""
        every = self.interval_ms or interval_ms
        problems = list(self._life_problems(now, every))
        if all(each.state is not State.DOWN for each in problems):
            problems += self._worker_problems()
        problems += self._pool_problems(max_age_ms)
        problems += self._store_problems(now)
        return Health(problems, self._about(now))

    def _about(self, now: int) -> str:
        if not self.heard or self.life in ("daemon.stopped", "daemon.failed"):
            return "no daemon"
        beat = "no heartbeat yet" if self.beat_at is None else \
            f"last heartbeat {lasted(now - self.beat_at)} ago"
        busy, workers = self.pool.get("busy", "?"), self.pool.get("workers", "?")
        at_work = counted_at_work(busy, workers, _whole(self.pool.get("stuck")) or 0)
        return f"daemon pid {self.pid or '?'}, {beat}, {at_work}"

    def _life_problems(self, now: int, every: int) -> Iterator[Problem]:
        if self.life in ("daemon.stopped", "daemon.failed"):
            how = "" if self.exit_status is None else f" with exit status {self.exit_status}"
            text = f"The daemon stopped{how} {lasted(now - self.life_at)} ago."
            yield Problem(State.DOWN, "stopped", text, "jobd run")
            return
        heard = max((at for at in (self.beat_at, self.life_at) if at), default=None)
        if heard is None:
            yield Problem(
                State.DOWN, "no_heartbeat",
                "There is no heartbeat in this log: no daemon writes it, or log.level is above "
                "info, or its format is not json.", "jobd check",
            )
        elif now - heard > MISSED * every:
            yield Problem(
                State.DOWN, "silent_daemon",
                f"The last heartbeat came {lasted(now - heard)} ago, and one is due every "
                f"{lasted(every)}: the daemon is dead, stopped or hangs.", "jobd status",
            )
        elif self.life == "daemon.stopping":
            yield Problem(State.DEGRADED, "stopping",
                          "The daemon is stopping and takes no more jobs.", "jobd tail")
        elif self.life == "daemon.started" and self.beat_at is None:
            yield Problem(State.DEGRADED, "not_ready", "The daemon has not yet begun to work.",
                          "jobd tail")

    def _worker_problems(self) -> list[Problem]:
        return [worker_problem(each.name, each.health, each.stuck_job_id or each.job_id)
                for each in self.in_order() if each.health != "normal"]

    def _pool_problems(self, max_age_ms: int | None) -> Iterator[Problem]:
        dead, oldest = _whole(self.pool.get("dead_letters")), _whole(
            self.pool.get("oldest_ready_ms"))
        if dead:
            yield dead_letters_problem(dead)
        if max_age_ms is not None and oldest is not None and oldest > max_age_ms:
            text = f"The oldest head of a queue has been ready for {lasted(oldest)}"
            allowed = f"; alerts.max_age is {lasted(max_age_ms)}."
            yield Problem(State.DEGRADED, "old_head", text + allowed, "jobd queue list")

    def _store_problems(self, now: int) -> Iterator[Problem]:
        for name, (at, event) in self.trouble.items():
            if _TROUBLE[name] is None and now - at > REPEATED_WITHIN_MS:
                continue
            error = event.get("error")
            about = f": {error}" if isinstance(error, str) else ""
            yield Problem(State.DEGRADED, name.replace("store.", "database_"),
                          f"{name} was said {lasted(now - at)} ago{about}.", "jobd check")


def watch(events: Iterable[LogEvent]) -> Watched:
    """What these events come to."""
    watched = Watched()
    for event in events:
        watched.take(event)
    return watched


def worker_line(worker: WatchedWorker, now: int) -> str:
    """One line on a worker as it is now."""
    silent = f"  silent for {lasted(now - worker.seen)}" if worker.missed > 1 else ""
    if worker.job_id is None:
        doing = "idle"
    else:
        busy = (worker.busy_ms or 0) + max(now - worker.seen, 0)
        doing = f"job {worker.job_id} attempt {worker.attempt} for {lasted(busy)}"
    done = f"  {counted(worker.ended, 'job')} ended, last {worker.last}" if worker.ended else ""
    return f"{worker.name:<13} {worker.health:<17} {doing}{done}{silent}"


def pool_line(watched: Watched, now: int) -> str:
    """One line on the daemon and its queues."""
    if watched.beat_at is None or watched.life in ("daemon.stopped", "daemon.failed"):
        return (watched.life or "no heartbeat yet").replace("daemon.", "daemon ")
    pool = watched.pool
    oldest = _whole(pool.get("oldest_ready_ms"))
    waits = "" if oldest is None else f", oldest head {lasted(oldest)}"
    return (f"pid {watched.pid or '?'}: {pool.get('busy')} of {pool.get('workers')} busy, "
            f"{pool.get('ready')} ready{waits}, {pool.get('dead_letters')} dead letters, "
            f"heartbeat {lasted(now - watched.beat_at)} ago")


def _whole(value: object) -> int | None:
    return value if type(value) is int else None

