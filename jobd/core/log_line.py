"""One line of the log read back, and which lines someone wants to see."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

LEVELS = ("debug", "info", "warning", "error", "critical")
BEATS = ("worker.heartbeat", "pool.health")
"""What comes at a fixed interval, whether there is news or not."""

_BEFORE = re.compile(r"[^{]{0,200}?(?:\[\d+\]:|\||\dZ) (?=\{)")
"""What a journal without `-o cat`, syslog, or the log of a container puts before each line."""

LogEvent = Mapping[str, Any]


def read_event(text: str) -> LogEvent | None:
    """The event that a line holds; None for what is no line of jobd's log."""
    found = _read(text)
    if "event" not in found and isinstance(found.get("MESSAGE"), str):
        found = _read(found["MESSAGE"])
    if not isinstance(found.get("event"), str):
        return None
    return found if found.get("level") in LEVELS and time_of(found) is not None else None


def _read(text: str) -> dict[str, Any]:
    """The object that a line is, behind what others put before it; without one an empty one."""
    if not text.lstrip().startswith("{"):
        before = _BEFORE.match(text)
        text = text[before.end():] if before else ""
    try:
        found = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def time_of(event: LogEvent, key: str = "timestamp") -> int | None:
    """One of the event's times in milliseconds since the epoch; None where there is none."""
    value = event.get(key)
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        return round(aware.timestamp() * 1000)
    except (OverflowError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a line must carry to be shown: one of each list that is not empty, and the level."""

    jobs: Sequence[int] = ()
    types: Sequence[str] = ()
    workers: Sequence[str] = ()
    statuses: Sequence[str] = ()
    queues: Sequence[str] = ()
    events: Sequence[str] = ()
    """Names, or patterns such as "job.*"."""
    level: str = "debug"
    beats: bool = True

    @property
    def everything(self) -> bool:
        """Whether nothing was asked for, so that lines which are no events are shown too."""
        return self == Wanted(beats=self.beats)

    def fits(self, event: LogEvent) -> bool:
        name = event["event"]
        if not self.beats and name in BEATS:
            return False
        if LEVELS.index(event["level"]) < LEVELS.index(self.level):
            return False
        if self.events and not any(fnmatchcase(name, each) for each in self.events):
            return False
        if self.jobs and not (_ids(event) & set(self.jobs)):
            return False
        given = ((self.types, "job_type"), (self.workers, "worker"), (self.statuses, "status"),
                 (self.queues, "queue"))
        return all(not wanted or event.get(key) in wanted for wanted, key in given)


def _ids(event: LogEvent) -> set[Any]:
    """The jobs that an event is about: its own, and those it names."""
    found = {event.get("job_id"), event.get("stuck_job_id")}
    for key in ("enqueued", "left_running", "others"):
        named = event.get(key)
        found |= {each for each in named if type(each) is int} if isinstance(named, list) else set()
    return {each for each in found if type(each) is int}
