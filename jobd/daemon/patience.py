"""Whether the wall clock may be believed so far that something is deleted for its age."""

from jobd.daemon.sweeper import StepDetector

AN_HOUR_MS = 3_600_000
AT_START = 600.0
AFTER_STEP = 86_400.0


class Patience:
    """Nothing is old at once after a start, nor for a day after the clock leapt ahead.

    Both are shorter where jobs are kept for a short time only: a hundredth of that, and a seventh.
    """

    def __init__(self, wall_ms: int, monotonic: float, asleep: float = 0.0) -> None:
        self.news: dict[str, float] | None = None
        """What happened at the last call, when it was a leap."""
        self._steps = StepDetector(wall_ms, monotonic, asleep)
        self._since = monotonic
        self._leapt = False

    def holds(
        self, kept: float | None, wall_ms: int, monotonic: float, asleep: float = 0.0
    ) -> bool:
        """Whether to wait; `kept` is the shortest time for which a job is kept, in seconds.

        A machine that was suspended for `asleep` seconds in all has not leapt by those.
        """
        self.news = None
        if kept is None:
            kept = AFTER_STEP * 7
        for_s = min(AFTER_STEP, kept / 7)
        moved = self._steps.step(wall_ms, monotonic, asleep)
        if moved:
            moved -= self._steps.suspended_ms
        if moved >= min(AN_HOUR_MS, kept * 10):
            self._since, self._leapt = monotonic, True
            self.news = {"moved_ms": moved, "for_s": for_s}
        return monotonic - self._since < (for_s if self._leapt else min(AT_START, kept / 100))
