"""How the daemon is, as the main thread tells systemd: a line of counts, and signs of life.
Whoever looks at the lock's file sees such a sign too.

A sign of life is given only while the dispatcher and every sweep come round. Their bounded waits
(for work, for the write lock, for disk space) are rounds, and are named in the line.
"""

from collections.abc import Sequence
from pathlib import Path

from jobd.core.presence import SIGN_EVERY, Said
from jobd.daemon.dispatcher import Dispatcher
from jobd.daemon.patrol import Patrol
from jobd.daemon.pulse import Pulse
from jobd.daemon.report import DISK_SPACE, Report
from jobd.daemon.sweeper import Sweeper
from jobd.daemon.systemd import Systemd
from jobd.daemon.worker import WorkerPool
from jobd.store.daemon_lock import say
from jobd.store.presence import give_sign

SIGNS = 6
"""Signs of life in each interval of the watchdog: a handler may hold the GIL for most of one."""
SAID_AGAIN_EVERY = 1.0
NEEDED_TO_STOP = 15.0
HANGS_AFTER = 10.0


class Vitals:
    """Looks at everyone, and tells systemd."""

    def __init__(
        self, systemd: Systemd, pool: WorkerPool, dispatcher: Dispatcher, patrol: Patrol,
        sweeper: Sweeper, report: Report, pulse: Pulse, database: Path, sign_every: float,
    ) -> None:
        self._systemd = systemd
        self._pool = pool
        self._dispatcher = dispatcher
        self._patrol = patrol
        self._sweeper = sweeper
        self._report = report
        self._pulse = pulse
        self._database = database
        self._sign_every = min(sign_every, SIGN_EVERY)
        self._last_shown = float("-inf")
        self._last_sign = 0.0
        self._last_need = 0.0
        self._said = ""

    def look(self, now: float) -> None:
        """Tell how it is; `now` is monotonic, as everywhere here."""
        self._systemd.status(self._line())
        self._say(Said.NO_SPACE if self._report.waits_for == DISK_SPACE else "")
        self._pulse.beat()
        self._live(now)

    def tick(self, usual: float) -> float:
        """For how many seconds the main thread may sleep: not past a sign that is due."""
        interval = self._systemd.watchdog
        return usual if interval is None else min(usual, interval / SIGNS / 2)

    def show_at_once(self) -> None:
        """The next look shows the lock's file: after a sleep or a step its age says nothing."""
        self._last_shown = float("-inf")

    def look_while_stopping(self, now: float, left: float) -> None:
        """Tell who is waited for, `left` seconds at most, and that it is not stuck."""
        self._say(Said.STOPPING)
        self._pulse.beat()
        self._live(now)
        if now - self._last_need >= SAID_AGAIN_EVERY:
            self._last_need = now
            jobs = _counted(self._running(), "job")
            self._systemd.status(f"stopping: waits for {jobs}, {max(left, 0.0):.0f} s at most")
            self._systemd.needs(NEEDED_TO_STOP)

    def laggards(self, now: float, patience: float) -> Sequence[str]:
        """Who has not come round: the dispatcher within `patience`, a sweep in its own time."""
        hung = ["dispatcher"] if now - self._dispatcher.last_turn > patience else []
        return [*hung, *self._sweeper.late(now)]

    def _live(self, now: float) -> None:
        if now - self._last_shown >= self._sign_every and not self.laggards(now, HANGS_AFTER):
            self._last_shown = now
            give_sign(self._database)
        interval = self._systemd.watchdog
        if interval is None or now - self._last_sign < interval / SIGNS:
            return
        if not self.laggards(now, interval / 3):
            self._last_sign = now
            self._systemd.alive()

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            say(self._database, text)

    def _line(self) -> str:
        counts = [
            _counted(self._pool.size, "worker"), f"{self._running()} running",
            f"{self._patrol.ready} ready", _counted(self._patrol.dead_letters, "dead letter"),
        ]
        if self._patrol.batch_items:
            counts.append(f"{_counted(self._patrol.batch_items, 'item')} left in batches")
        if self._pool.stuck:
            counts.append(_counted(len(self._pool.stuck), "stuck thread"))
        waits_for = self._report.waits_for
        return ", ".join(counts) + (f"; waits for {waits_for}" if waits_for else "")

    def _running(self) -> int:
        return sum(worker.current is not None for worker in list(self._pool.workers))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
