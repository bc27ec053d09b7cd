"""The sweep that writes measurements: beside the database for `jobd metrics`, and to a file."""

from pathlib import Path

from jobd import clock
from jobd.core import counters, gauges
from jobd.core.gauges import Kind
from jobd.core.prometheus import render
from jobd.daemon.crew import Crew
from jobd.daemon.meter import Meter
from jobd.daemon.sweeper import Sweep
from jobd.daemon.upkeep import Upkeep
from jobd.log import logger
from jobd.store import measuring
from jobd.store.connection import Database
from jobd.store.files import write_atomically
from jobd.store.opening import open_database
from jobd.store.presence import silent_ms

INTERVAL = 1.0
COUNTING_TAKES = 60.0
SHARE_OF_COUNTING = 50
"""Jobs are counted so seldom that it takes no more than a fiftieth of the time."""

COMPLAINED_EVERY = 60.0
READABLE_BY_ALL = 0o644


class MetricsFile:
    """Every `metrics.interval`, with a reading connection of its own."""

    def __init__(self, path: Path, crew: Crew, meter: Meter, upkeep: Upkeep) -> None:
        self._path = path
        self._crew = crew
        self._meter = meter
        self._upkeep = upkeep
        self._database: Database | None = None
        self._started_at = clock.now_ms()
        self._due = 0.0
        self._jobs: dict[Kind, int] = {}
        self._counted_at = 0
        self._count_next = 0.0
        self._complained = -COMPLAINED_EVERY

    def sweep(self) -> Sweep:
        return Sweep("metrics", INTERVAL, self.enter, lambda: COUNTING_TAKES)

    def enter(self) -> None:
        now = clock.monotonic()
        if now < self._due:
            return
        settings = self._crew.config.metrics
        self._due = now + settings.interval
        counted = render(counters.families(
            self._meter.counters, self._upkeep.pruned, self._started_at, clock.now_ms()
        ))
        try:
            measuring.tell(self._path, self._crew.identity.id, counted)
            if settings.file:
                text = self._gauges() + counted
                write_atomically(Path(settings.file), text, READABLE_BY_ALL)
        except OSError as error:
            self._complain(error, now)

    def _gauges(self) -> str:
        if self._database is None:
            self._database = open_database(self._path, now=clock.now_ms())
        db = self._database.connection
        began = clock.monotonic()
        if began >= self._count_next:
            self._jobs, self._counted_at = measuring.count_jobs(db), clock.now_ms()
            took = clock.monotonic() - began
            self._count_next = began + SHARE_OF_COUNTING * took
        now = clock.now_ms()
        return render(gauges.families(measuring.measure(
            db, self._path, alive=True, jobs=self._jobs, counted_at=self._counted_at, now=now,
            silent_ms=silent_ms(self._path, now),
        )))

    def _complain(self, error: OSError, now: float) -> None:
        if now - self._complained >= COMPLAINED_EVERY:
            self._complained = now
            logger().warning("metrics.failed", file=str(error.filename), error=error.strerror)
