"""structlog set up: one event a line, as JSON, or readable on a terminal.

Every event is listed in EVENTS.md; a test holds that page and the code together.
"""

import json
import logging
import re
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import structlog

from jobd import clock

CONTRACT_VERSION = 1
"""`v` in each line: raised when an event or key changes its meaning or goes away."""

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING,
          "error": logging.ERROR}
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_COLOURS = {"debug": "\x1b[2m", "info": "", "warning": "\x1b[33m", "error": "\x1b[31m"}

Write = Callable[[str], None]
Event = MutableMapping[str, Any]


class _Line:
    """structlog's logger that hands a finished line to `write`."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def msg(self, line: str) -> None:
        self._write(line)

    debug = info = warning = error = critical = log = msg


def configure(level: str, write: Write, *, pretty: bool = False, colours: bool = False) -> None:
    """Send every event at `level` or above to `write`, one line without its newline."""
    render = _pretty(colours) if pretty else _json
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.format_exc_info,
                    _stamped, render],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: _Line(write),
        cache_logger_on_first_use=False,
    )


def logger() -> Any:
    """jobd's own logger."""
    return structlog.get_logger()


def json_lines() -> Write | None:
    """Where whole lines go that are JSON already; None where lines are something else."""
    config = structlog.get_config()
    line = config["logger_factory"]()
    # A handler may have configured structlog anew, in part.
    ours = isinstance(line, _Line) and config["processors"][-1:] == [_json]
    return line.msg if ours else None


def job_logger(keys: Mapping[str, Any], keep: Write) -> Any:
    """A logger for a handler: what it logs becomes `job.logged` with the job's keys.

    `keep` gets the same, as people read it, to be kept with the job. A key of the handler's own
    that jobd uses gets an underscore behind it, so that no line says what is not so.
    """
    config = structlog.get_config()
    before, render = config["processors"][:-2], config["processors"][-1]
    return structlog.wrap_logger(
        config["logger_factory"](),
        processors=[*before, _of_job(keys, keep), render],
        wrapper_class=config["wrapper_class"],
        cache_logger_on_first_use=False,
    )


def _stamped(_logger: Any, _method: str, event: Event) -> Event:
    return {**_head(event), **event}


def _head(event: Event) -> Event:
    return {
        "timestamp": clock.iso(clock.now_ms()),
        "level": event.pop("level"),
        "event": event.pop("event"),
        "v": CONTRACT_VERSION,
    }


def _of_job(keys: Mapping[str, Any], keep: Write) -> Callable[[Any, str, Event], Event]:
    def stamped(_logger: Any, _method: str, event: Event) -> Event:
        head = _head(event)
        keep(_for_people(head, event))
        ours = {**head, "event": "job.logged", "message": head["event"], **keys}
        own = {f"{key}_" if key in ours else key: value for key, value in event.items()}
        return {**ours, **own}

    return stamped


def _for_people(head: Event, own: Event) -> str:
    """A line, and the traceback below it if there is one."""
    shown = {key: value for key, value in own.items() if key != "exception"}
    line = f"{head['timestamp']} {head['level']:<7} {escape(_text(head['event']))} {_pairs(shown)}"
    below = f"{own['exception']}\n" if "exception" in own else ""
    return f"{line.rstrip()}\n{below}"


def _json(_logger: Any, _method: str, event: Event) -> str:
    try:
        return _ENCODER.encode(event)
    except (TypeError, ValueError):
        return json.dumps({str(key): _text(value) for key, value in event.items()})


def _pretty(colours: bool) -> Callable[[Any, str, Event], str]:
    def render(_logger: Any, _method: str, event: Event) -> str:
        stamp, level, name = event.pop("timestamp"), event.pop("level"), event.pop("event")
        event.pop("v")
        line = f"{stamp[11:23]} {level:<7} {name:<20} {_pairs(event)}"
        return f"{_COLOURS[level]}{line}\x1b[0m" if colours and _COLOURS[level] else line

    return render


def _pairs(event: Event) -> str:
    return " ".join(f"{escape(str(key))}={escape(_text(value))}" for key, value in event.items()
                    if value is not None)


def escape(text: str) -> str:
    """Control, bidi and line-separating characters as escapes: text cannot forge a line."""
    return _UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass")
                            .decode(), text)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a value of a job may fail even at naming itself
        return f"<{type(value).__name__}>"


_ENCODER = json.JSONEncoder(default=_text)
