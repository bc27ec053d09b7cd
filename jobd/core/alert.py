"""Alerts: what someone is told of, and the table of the configuration that says how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from jobd.core.settings import Duration, Texts, setting

_HUNDRED_YEARS = 36_525 * 86_400
LONGEST_TEXT = 2_000
"""Of a job's own text a message carries no more: it must fit where messages go."""


@dataclass(frozen=True, slots=True)
class Alerts:
    """Who is told that something needs a person, and when a queue does."""

    command: tuple[str, ...] = setting(
        (),
        "The program, with its arguments, that gets each alert as JSON on its standard input.",
        Texts("a program and its arguments", "/usr/local/bin/tell-me", r"[^\0]+"),
    )
    timeout: float = setting(
        30.0, "How long that program may run before it is killed.", Duration(0.1, 3_600)
    )
    max_age: float | None = setting(
        3_600.0,
        'How long the next job of a queue may have been ready before that is wrong; or "none".',
        Duration(0.1, _HUNDRED_YEARS, optional=True),
    )


class Cause(StrEnum):
    """Why someone is told."""

    ZOMBIE = "zombie"
    UNHEALTHY_WORKER = "unhealthy_worker"
    DEAD_LETTER = "dead_letter"
    OLD_HEAD = "old_head"


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that someone is told, at most once for each job and cause."""

    cause: Cause
    job_id: int
    text: str
    about: Mapping[str, Any] = field(default_factory=dict)
    """What the log says of it too: job_type, queue, attempt, worker, failure_type, error, …"""

    @property
    def key(self) -> tuple[int, str]:
        return self.job_id, str(self.cause)

    def message(self, timestamp: str | None, database: str) -> dict[str, Any]:
        """What the command gets."""
        return {
            "timestamp": timestamp,
            "cause": str(self.cause),
            "job_id": self.job_id,
            "text": self.text,
            **{key: _shortened(value) for key, value in self.about.items()},
            "database": database,
            "next_command": f"jobd explain {self.job_id}",
        }


_ABOUT = ("job_type", "queue", "attempt", "worker", "status", "failure_type", "error", "reason")


def of_outcome(keys: Mapping[str, Any]) -> Alert | None:
    """What the log's line about a job alerts to: it became a zombie, or a dead letter."""
    status = keys.get("status")
    if status not in (Cause.ZOMBIE, Cause.DEAD_LETTER):
        return None
    about = {key: keys[key] for key in _ABOUT if keys.get(key) is not None}
    named = f"job {keys['job_id']} ({keys.get('job_type')})"
    if status == Cause.ZOMBIE:
        text = f"{named} does not stop: nobody knows when it will be over"
    else:
        why = keys.get("reason") or keys.get("error") or "it failed"
        text = f"{named} waits for a person in dead_letter: {_shortened(why)}"
    return Alert(Cause(status), keys["job_id"], text, about)


def of_worker(name: str, job_id: int, attempt: int | None) -> Alert:
    """A worker still executes after `kill_grace`."""
    text = f"{name} is unhealthy: job {job_id} still executes after it was told to stop"
    return Alert(Cause.UNHEALTHY_WORKER, job_id, text, {"worker": name, "attempt": attempt})


def of_head(head: Mapping[str, Any], age_ms: int, for_a_person: str) -> Alert:
    """The next job of a queue has been ready for too long."""
    text = (f"the next job of queue {head['queue']}, job {head['id']} ({head['job_type']}), has "
            f"been ready for {for_a_person}")
    about = {"job_type": head["job_type"], "queue": head["queue"], "age_ms": age_ms}
    return Alert(Cause.OLD_HEAD, head["id"], text, about)


def _shortened(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return value[: LONGEST_TEXT - 1] + "…"
    return value
