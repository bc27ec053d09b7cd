"""One line per worker, kept current from the log: redrawn on a terminal, else said on change."""

import sys
from collections.abc import Iterable

from jobd import clock
from jobd.cli.tail_lines import moment
from jobd.cli.terminal import BOLD, GREEN, PLAIN, RED, YELLOW, Look, cut, size
from jobd.core.config import Config
from jobd.core.health import Health
from jobd.core.log_line import read_event
from jobd.core.problem import State
from jobd.core.watched import MISSED, Watched, pool_line, worker_line

REDRAW_EVERY = 1.0
_COLOURS = {"normal": PLAIN, "potentially_stuck": YELLOW, "unhealthy": RED}
_STATES = {State.HEALTHY: GREEN, State.DEGRADED: YELLOW, State.DOWN: RED}


class HealthView:
    """Watches the log, and shows what it comes to."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._watched = Watched()
        self._interval_ms = round(1000 * Config().timing.heartbeat)
        self._screen = _Screen() if sys.stdout.isatty() else None
        self._said: dict[str, object] = {}
        self._said_beat: int | None = None
        self._patience_ends = clock.monotonic() + MISSED * Config().timing.heartbeat

    def take(self, lines: Iterable[str]) -> None:
        """Learn from more lines of the log."""
        for line in lines:
            event = read_event(line)
            if event is not None:
                self._watched.take(event)

    def show(self) -> None:
        """Bring what is shown up to date."""
        now = clock.now_ms()
        health = self._watched.health(now, self._interval_ms, None)
        if self._screen is None:
            if self._watched.heard or clock.monotonic() > self._patience_ends:
                self._say(now, health)
        elif self._screen.is_due(clock.monotonic()):
            self._screen.draw(self._drawn(now, health))

    def leave(self) -> None:
        """Leave the last state on the terminal, with the cursor below it."""
        if self._screen is not None:
            now = clock.now_ms()
            health = self._watched.health(now, self._interval_ms, None)
            self._screen.draw(self._drawn(now, health))

    def _drawn(self, now: int, health: Health) -> list[tuple[str, str]]:
        """Each line with its colour."""
        lines = [(f"{health.state}: {pool_line(self._watched, now)}", _STATES[health.state])]
        lines += [(worker_line(each, now), _COLOURS.get(each.health, RED))
                  for each in self._watched.in_order()]
        lines += [(each.text, BOLD) for each in health.problems]
        return [(self._look.safe(text), colour if self._look.colours else "")
                for text, colour in lines]

    def _say(self, now: int, health: Health) -> None:
        """Print the line of whoever changed since it was last said; workers after a heartbeat."""
        news: dict[str, tuple[object, str]] = {}
        if self._watched.beat_at != self._said_beat:
            for each in self._watched.in_order():
                state: object = (each.health, each.job_id, each.attempt, each.stuck_job_id)
                news[each.name] = (state, worker_line(each, now))
            for name in self._said.keys() - news.keys() - {"all"}:
                news[name] = (None, f"{name:<13} gone")
        causes = tuple((each.cause, each.next_command) for each in health.problems)
        texts = [each.text for each in health.problems] or [pool_line(self._watched, now)]
        news["all"] = ((health.state, causes), f"{health.state}: {' '.join(texts)}")
        for name, (state, text) in news.items():
            if self._said.get(name) != state:
                print(f"{moment(now, now)} {self._look.safe(text)}", flush=True)
        said = self._said | {name: state for name, (state, _) in news.items()}
        self._said = {name: state for name, state in said.items() if state is not None}
        self._said_beat = self._watched.beat_at


class _Screen:
    """A block of lines that is drawn over itself."""

    def __init__(self) -> None:
        self._lines = 0
        self._size = size()
        self._drawn_at = -REDRAW_EVERY

    def is_due(self, monotonic: float) -> bool:
        return monotonic - self._drawn_at >= REDRAW_EVERY or self._size != size()

    def draw(self, lines: list[tuple[str, str]]) -> None:
        """Put these lines, as many as there is room for, in the place of those drawn last."""
        self._drawn_at = clock.monotonic()
        if self._size != size():
            # The terminal has broken lines anew: where they stand now is not known.
            self._size, self._lines = size(), 0
            print("\x1b[2J\x1b[H", end="")
        width, height = self._size
        shown = lines[: max(height - 1, 1)]
        print(f"\x1b[{self._lines}A\r" if self._lines else "\r", end="")
        for text, colour in shown:
            line = cut(text, width - 1).rstrip()
            print(f"\x1b[{colour}m{line}\x1b[0m\x1b[K" if colour else f"{line}\x1b[K")
        print("\x1b[J", end="", flush=True)
        self._lines = len(shown)
