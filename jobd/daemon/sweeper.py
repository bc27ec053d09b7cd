"""APScheduler wired to the sweeps: when each is due, and what happens when the clock steps."""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from apscheduler.events import EVENT_JOB_ERROR
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from jobd import clock
from jobd.errors import JobdError
from jobd.log import logger
from jobd.store.complaints import translated

INTERVALS = 5
SAID_AGAIN_AFTER = 60.0
LAST_SWEEPS = 0.2
"""Seconds: a heartbeat must not be told after the end, nor the end wait for what hangs."""

@dataclass(frozen=True, slots=True)
class Sweep:
    """Something to be called every `interval` seconds."""

    name: str
    interval: float
    call: Callable[[], None]
    takes: Callable[[], float] = lambda: 0.0
    """How long a call may take, where that is longer than the interval."""


class FromNow(BaseTrigger):  # type: ignore[misc]
    """Fires `interval` after now, so that no step of the clock makes it catch up or spin."""

    def __init__(self, interval: float) -> None:
        self._interval = timedelta(seconds=interval)

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        return now + self._interval


class Sweeper:
    """One scheduler, and one executor thread for each sweep, so that none waits for another."""

    def __init__(self, sweeps: list[Sweep], database: Path) -> None:
        logging.getLogger("apscheduler").addHandler(logging.NullHandler())
        logging.getLogger("apscheduler").propagate = False
        self.entered: dict[str, float] = {}
        """When each sweep was last entered, on the monotonic clock."""
        self._sweeps = sweeps
        self._database = database
        self._said: dict[str, float] = {}
        self._saying = threading.Lock()
        self._quiet = threading.Condition()
        self._inside: set[str] = set()
        self._stopped = False
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={sweep.name: ThreadPoolExecutor(1) for sweep in sweeps},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._scheduler.add_listener(self._failed, EVENT_JOB_ERROR)

    def start(self) -> None:
        for sweep in self._sweeps:
            self.entered[sweep.name] = clock.monotonic()
            self._scheduler.add_job(
                self._enter, FromNow(sweep.interval), args=[sweep], id=sweep.name,
                executor=sweep.name, next_run_time=datetime.now(UTC),
            )
        self._scheduler.start()

    def stop(self) -> None:
        """Begin none any more, and let those that go on come to their end, unless it takes long."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        with self._quiet:
            self._stopped = True
            self._quiet.wait_for(lambda: not self._inside, LAST_SWEEPS)

    def run_now(self) -> None:
        """After a step of the wall clock: every sweep is due, whatever the old clock said."""
        self._make_due([sweep.name for sweep in self._sweeps])

    def run_late(self, now: float) -> None:
        """Those that are late are due. A clock stepped to and fro between two looks has moved
        nothing, but the scheduler, which saw it, may wait for an hour that never comes."""
        self._make_due(self.late(now))

    def late(self, now: float) -> list[str]:
        """The sweeps that were not entered within five of their intervals."""
        return [
            sweep.name for sweep in self._sweeps
            if now - self.entered.get(sweep.name, now) > INTERVALS * sweep.interval + sweep.takes()
        ]

    def _make_due(self, names: Iterable[str]) -> None:
        now = datetime.now(UTC)
        for name in names:
            self._scheduler.modify_job(name, next_run_time=now)

    def _enter(self, sweep: Sweep) -> None:
        self.entered[sweep.name] = clock.monotonic()
        with self._quiet:
            if self._stopped:
                return
            self._inside.add(sweep.name)
        try:
            with translated(self._database):
                sweep.call()
        finally:
            with self._quiet:
                self._inside.discard(sweep.name)
                self._quiet.notify_all()

    def _failed(self, event: Any) -> None:
        """A disk that fails, fails for all sweeps at each of their rounds: said once a minute."""
        error = str(event.exception)
        if not self._is_news(error, clock.monotonic()):
            return
        traceback = None if isinstance(event.exception, JobdError) else event.traceback
        logger().error("sweep.failed", sweep=event.job_id, error=error, traceback=traceback)

    def _is_news(self, error: str, now: float) -> bool:
        with self._saying:  # sweeps fail together, each in its own thread
            if now - self._said.get(error, float("-inf")) < SAID_AGAIN_AFTER:
                return False
            self._said[error] = now
            return True


class StepDetector:
    """Notices when the wall clock moved against the monotonic one, which stands still while the
    machine is suspended; `suspended_ms` says for how long it was since the last step."""

    TOLERANCE_MS = 1_000

    def __init__(self, wall_ms: int, monotonic: float, asleep: float = 0.0) -> None:
        self._offset = wall_ms - monotonic * 1000
        self._asleep = asleep
        self.suspended_ms = 0

    def step(self, wall_ms: int, monotonic: float, asleep: float = 0.0) -> int:
        """By how many ms the wall clock moved since the last call, less than 0 when it went back;
        0 when it did not."""
        offset = wall_ms - monotonic * 1000
        moved = round(offset - self._offset)
        if abs(moved) <= self.TOLERANCE_MS:
            # Slewing by NTP and rounding are no step; they must not add up to one either.
            self._offset = offset
            return 0
        self._offset = offset
        self.suspended_ms = round(1000 * (asleep - self._asleep))
        self._asleep = asleep
        return moved


