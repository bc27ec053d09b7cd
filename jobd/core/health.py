"""How well everything is: a verdict, and for each thing that is wrong what to do about it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobd.core.lifecycle import JobStatus
from jobd.core.presence import Presence, is_locked_out, of_daemon, of_itself
from jobd.core.problem import Problem, State, counted, lasted
from jobd.core.worker_health import NOT_WELL, HealthStatus

TYPES_NAMED = 5
IN_THE_POOL = (None, JobStatus.RUNNING, JobStatus.TIMEOUT)
"""Statuses of a worker's job, or none, in which the worker still is one of the pool's."""


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

    `busy` counts the jobs that workers of the pool run, `heads` are the next jobs of the queues
    that are open, `zombies` the jobs that may still be executing, `unfinished` whether any job
    would go on with a daemon, `without_handler` how many jobs wait by type.
    """

    now: int
    presence: Presence
    daemon: Mapping[str, Any] | None
    workers: Sequence[Mapping[str, Any]]
    busy: int
    heads: Sequence[Mapping[str, Any]]
    zombies: Sequence[Mapping[str, Any]]
    dead_letters: int
    unfinished: bool
    without_handler: Mapping[str, int]
    max_age_ms: int | None

    @property
    def died(self) -> bool:
        """Whether the last daemon went without a word, and none has come in its place."""
        if self.presence.alive or self.daemon is None:
            return False
        return self.daemon["stopped_at"] is None


def judge(facts: HealthFacts) -> Health:
    """The health as the database shows it; the lock alone says whether a daemon is alive."""
    problems = [*of_daemon(facts.presence, facts.daemon, facts.now)]
    if all(each.state is not State.DOWN for each in problems):
        problems += _of_workers(facts)
    problems += [*is_locked_out(facts.presence), *of_itself(facts.presence)]
    problems += [*_of_zombies(facts), *_of_heads(facts), *_of_rest(facts)]
    return Health(problems, _about(facts))


def _of_workers(facts: HealthFacts) -> Iterator[Problem]:
    for worker in facts.workers:
        status, job = worker["health_status"], worker["stuck_job_id"]
        if status != HealthStatus.NORMAL:
            yield worker_problem(worker["name"], status, job)


def worker_problem(name: str, status: str, job_id: int | None) -> Problem:
    """A worker that is not well, and the job that holds it."""
    on = "" if job_id is None else f" on job {job_id}"
    command = None if job_id is None else f"jobd explain {job_id}"
    what = NOT_WELL.get(status, f"is {status}")
    return Problem(State.DEGRADED, f"{status}_worker", f"{name}{on} {what}.", command)


def _of_zombies(facts: HealthFacts) -> Iterator[Problem]:
    held = {worker["stuck_job_id"] for worker in facts.workers} if facts.presence.alive else set()
    for row in facts.zombies:
        if row["id"] not in held:
            left = "may still be executing: nothing of it runs again before that is over" \
                if facts.presence.alive else \
                "was left by a daemon that is gone: the next one proves it over and settles it"
            yield Problem(
                State.DEGRADED, "zombie",
                f"Job {row['id']} ({row['job_type']}) is {row['status']} and {left}.",
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
    if not facts.presence.alive:
        return "no daemon"
    return f"daemon pid {facts.presence.known_as}, {at_work(facts.busy, facts.workers)}"


def at_work(busy: int, workers: Sequence[Mapping[str, Any]]) -> str:
    """ "1 of 4 workers busy", and the threads whose places in the pool were filled anew."""
    size = sum(worker["job_status"] in IN_THE_POOL for worker in workers)
    return counted_at_work(min(busy, size), size, len(workers) - size)


def counted_at_work(busy: object, size: object, stuck: int) -> str:
    """As `at_work`, from numbers that somebody else has counted."""
    lost = f", {counted(stuck, 'stuck thread')}" if stuck else ""
    return f"{busy} of {size} worker{'' if size == 1 else 's'} busy{lost}"


def _waits(number: int) -> str:
    return "waits" if number == 1 else "wait"


def _is_word(text: str) -> bool:
    """Whether a shell takes it as it stands."""
    return text.isascii() and text.replace("_", "").replace(".", "").replace("-", "").isalnum() \
        and not text.startswith("-")
