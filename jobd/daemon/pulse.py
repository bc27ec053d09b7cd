"""Keeps, for who watches, how many attempts ended in each second."""

from pathlib import Path

from jobd import clock
from jobd.core.counters import Counters
from jobd.store.pulse import PulseWriter

NO_FAILURES = frozenset({"completed", "released", "snoozed", "cancelled", "set_aside"})


class Pulse:
    """Reads what the dispatcher counts, and writes nothing while nothing ends."""

    def __init__(self, database: Path, counters: Counters) -> None:
        self._counters = counters
        self._writer = PulseWriter(database)
        self._before = (0, 0)
        self._second = 0
        self._ended = (0, 0)

    def beat(self) -> None:
        """Add what has ended since the last call to the second that is now."""
        now = self._counted()
        completed, failed = now[0] - self._before[0], now[1] - self._before[1]
        self._before = now
        if not (completed or failed):
            return
        second = clock.now_ms() // 1000
        if second != self._second:
            self._second, self._ended = second, (0, 0)
        self._ended = (self._ended[0] + completed, self._ended[1] + failed)
        try:
            self._writer.write([(second, *self._ended)])
        except OSError:
            pass  # a full disk: who watches sees less, and the daemon tells of it elsewhere

    def _counted(self) -> tuple[int, int]:
        completed = failed = 0
        for series in list(self._counters.series.values()):
            outcomes = series.outcomes.copy()
            completed += outcomes["completed"]
            failed += sum(n for outcome, n in outcomes.items() if outcome not in NO_FAILURES)
        return completed, failed
