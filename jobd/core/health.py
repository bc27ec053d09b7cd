"""How well everything is: a verdict, and for each thing that is wrong what to do about it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jobd.core.durations import format_duration
from jobd.core.job import HealthStatus

SILENT_AFTER_MS = 180_000
"""The daemon writes its row once a minute; thrice that without a word is silence."""
TYPES_NAMED = 5

_NOT_WELL: Mapping[str, str] = {
    HealthStatus.POTENTIALLY_STUCK:
        "may be stuck: it was told to stop and has not yet, or it reports no progress",
    HealthStatus.UNHEALTHY: "does not stop: it still executes after timing.kill_grace",
}


class State(StrEnum):
    """The verdict, worst last."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `cause` is a word for programs, `text` a sentence for people."""

    state: State
    cause: str
    text: str
    next_command: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """All that is wrong; nothing is healthy. `about` says in a line what was looked at."""

    problems: Sequence[Problem]
    about: str

    @property
    def state(self) -> State:
        order = list(State)
        return max((each.state for each in self.problems), key=order.index, default=State.HEALTHY)


@dataclass(frozen=True, slots=True)
class HealthFacts:
    """What the database and the daemon's lock say; times in ms.

    `heads` are the next jobs of the queues that are open, `zombies` the jobs that may still be
    executing, `without_handler` how many jobs wait by type.
    """

    now: int
    daemon_alive: bool
    daemon_pid: int | None
    daemon: Mapping[str, Any] | None
    workers: Sequence[Mapping[str, Any]]
    heads: Sequence[Mapping[str, Any]]
    zombies: Sequence[Mapping[str, Any]]
    dead_letters: int
    without_handler: Mapping[str, int]
    max_age_ms: int | None


def judge(facts: HealthFacts) -> Health:
    """The health as the database shows it; the lock alone says whether a daemon is alive."""
    problems = [*_of_daemon(facts)]
    if all(each.state is not State.DOWN for each in problems):
        problems += _of_workers(facts)
    problems += [*_of_zombies(facts), *_of_heads(facts), *_of_rest(facts)]
    return Health(problems, _about(facts))


def _of_daemon(facts: HealthFacts) -> Iterator[Problem]:
    daemon = facts.daemon
    if not facts.daemon_alive:
        seen = daemon and (daemon["stopped_at"] or daemon["seen_at"])
        last = f"the last one, pid {daemon['pid']}, was last seen {lasted(facts.now - seen)} ago" \
            if daemon and seen else "none has ever run"
        yield Problem(State.DOWN, "no_daemon", f"No daemon is active; {last}.", "jobd run")
    elif daemon is None or daemon["pid"] != facts.daemon_pid or daemon["stopped_at"] is not None:
        yield Problem(
            State.DEGRADED, "not_ready",
            f"Pid {facts.daemon_pid} holds the daemon's lock and has not begun to work: it starts, "
            "or it is no daemon but a verb that needs the database alone.", "jobd health",
        )
    elif facts.now - daemon["seen_at"] > SILENT_AFTER_MS:
        yield Problem(
            State.DOWN, "silent_daemon",
            f"The daemon, pid {daemon['pid']}, lives but has written nothing for "
            f"{lasted(facts.now - daemon['seen_at'])}: it is stopped, cannot write, or hangs.",
            "jobd status",
        )


def _of_workers(facts: HealthFacts) -> Iterator[Problem]:
    for worker in facts.workers:
        status, job = worker["health_status"], worker["stuck_job_id"]
        if status != HealthStatus.NORMAL:
            yield worker_problem(worker["name"], status, job)


def worker_problem(name: str, status: str, job_id: int | None) -> Problem:
    """A worker that is not well, and the job that holds it."""
    on = "" if job_id is None else f" on job {job_id}"
    command = None if job_id is None else f"jobd explain {job_id}"
    what = _NOT_WELL.get(status, f"is {status}")
    return Problem(State.DEGRADED, f"{status}_worker", f"{name}{on} {what}.", command)


def _of_zombies(facts: HealthFacts) -> Iterator[Problem]:
    held = {worker["stuck_job_id"] for worker in facts.workers} if facts.daemon_alive else set()
    for row in facts.zombies:
        if row["id"] not in held:
            yield Problem(
                State.DEGRADED, "zombie",
                f"Job {row['id']} ({row['job_type']}) is {row['status']} and may still be "
                "executing: nothing of it runs again before that is over.",
                f"jobd explain {row['id']}",
            )


def _of_heads(facts: HealthFacts) -> Iterator[Problem]:
    if facts.max_age_ms is None:
        return
    for head in facts.heads:
        age = facts.now - head["ready_since"]
        if age > facts.max_age_ms:
            yield Problem(
                State.DEGRADED, "old_head",
                f"The next job of queue {head['queue']}, {head['id']} ({head['job_type']}), has "
                f"been ready for {lasted(age)}; alerts.max_age is {lasted(facts.max_age_ms)}.",
                f"jobd explain {head['id']}",
            )


def _of_rest(facts: HealthFacts) -> Iterator[Problem]:
    if facts.dead_letters:
        yield dead_letters_problem(facts.dead_letters)
    for job_type, number in list(facts.without_handler.items())[:TYPES_NAMED]:
        shown = f"jobd list --type {job_type}" if _is_word(job_type) else "jobd list"
        yield Problem(
            State.DEGRADED, "without_handler",
            f"{counted(number, 'job')} of type {job_type} {_waits(number)} for a daemon with a "
            "handler for it.", shown,
        )


def dead_letters_problem(number: int) -> Problem:
    return Problem(State.DEGRADED, "dead_letters",
                   f"{counted(number, 'job')} in dead_letter {_waits(number)} for a person.",
                   "jobd list --status dead_letter")


def _about(facts: HealthFacts) -> str:
    if not facts.daemon_alive:
        return "no daemon"
    busy = sum(worker["job_id"] is not None for worker in facts.workers)
    return f"daemon pid {facts.daemon_pid}, {busy} of {counted(len(facts.workers), 'worker')} busy"


def _waits(number: int) -> str:
    return "waits" if number == 1 else "wait"


def _is_word(text: str) -> bool:
    """Whether a shell takes it as it stands."""
    return text.isascii() and text.replace("_", "").replace(".", "").replace("-", "").isalnum() \
        and not text.startswith("-")


def counted(number: int, noun: str) -> str:
    """ "1 job", "2 jobs"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def lasted(ms: int) -> str:
    """How long something took, for a person."""
    return format_duration(max(ms, 0) / 1000 if ms < 10_000 else ms // 1000)


def worst(problems: Iterable[Problem]) -> list[Problem]:
    """The problems with the worst first."""
    order = list(State)
    return sorted(problems, key=lambda each: -order.index(each.state))
