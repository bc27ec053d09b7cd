"""Lines of the log as a person reads them: time, level, and what happened."""

import json
from collections.abc import Iterable
from datetime import datetime

from jobd import clock
from jobd.cli.terminal import BOLD, CYAN, DIM, GREEN, PLAIN, RED, YELLOW, Look
from jobd.core.log_line import BEATS, LogEvent, Wanted, read_event, time_of
from jobd.core.sentences import sentence

_LEVELS = {"debug": DIM, "info": PLAIN, "warning": YELLOW, "error": RED, "critical": RED}
_EVENTS = {"job.completed": GREEN, "daemon.started": CYAN, "daemon.ready": CYAN,
           "daemon.stopping": CYAN, "daemon.drained": CYAN, "daemon.stopped": CYAN,
           "job.logged": PLAIN, "alert.raised": BOLD, **dict.fromkeys(BEATS, DIM)}


class LineView:
    """Prints what is wanted, one line each; what is no event goes through as it is, escaped."""

    def __init__(self, wanted: Wanted, look: Look, *, as_json: bool = False) -> None:
        self._wanted = wanted
        self._look = look
        self._as_json = as_json

    def fits(self, line: str) -> bool:
        """Whether the line is one to be shown."""
        event = read_event(line)
        if event is None:
            return self._wanted.everything and not self._as_json and bool(line)
        return self._wanted.fits(event)

    def show(self, lines: Iterable[str]) -> None:
        """Print those lines that are wanted."""
        shown = False
        for line in lines:
            if self.fits(line):
                print(self._line(line))
                shown = True
        if shown:
            print(end="", flush=True)

    def _line(self, line: str) -> str:
        event = read_event(line)
        if event is None:
            return self._look.safe(line)
        if self._as_json:
            return json.dumps(event).replace("\x7f", "\\u007f")
        colour = _EVENTS.get(event["event"], PLAIN) if event["level"] == "info" else ""
        colour = colour or _LEVELS[event["level"]]
        stamp = self._look.paint(moment(time_of(event), clock.now_ms()), DIM)
        level = self._look.paint(f"{event['level']:<7}", _LEVELS[event["level"]])
        return f"{stamp} {level} {self._look.paint(self._said(event), colour)}"

    def _said(self, event: LogEvent) -> str:
        return self._look.safe(sentence(event))


def moment(at: int | None, now: int) -> str:
    """A time on this machine's clocks; with its date when that is not today's."""
    try:
        local = datetime.fromtimestamp((at or 0) / 1000).astimezone()
        today = datetime.fromtimestamp(now / 1000).astimezone()
    except (ValueError, OverflowError, OSError):
        return "?"
    text = f"{local:%H:%M:%S}.{local.microsecond // 1000:03}"
    return text if local.date() == today.date() else f"{local:%Y-%m-%d} {text}"
