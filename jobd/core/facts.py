"""What is known about one job and its surroundings, and the phrases that explanations share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobd.clock import iso
from jobd.core.durations import age, format_duration
from jobd.core.lifecycle import JobStatus
from jobd.core.problem import Problem
from jobd.core.worker_health import HealthStatus

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Facts:
    """One job, read in one snapshot, and what decides whether it runs. Times in ms."""

    now: int
    job: Record
    daemon_alive: bool = False
    daemon: Record | None = None
    """The newest row of `daemons`: the active one when there is one."""
    trouble: Problem | None = None
    """What keeps the active daemon from working."""
    last_words: str = ""
    """How the last daemon ended, where none is active."""
    starter: str = "jobd run"
    """What would start one, if nothing stands in the way."""
    restarter: str = "systemctl restart jobd"
    """What would end the active one, so that another takes its place."""
    overlooked: bool = False
    """Whether it was next, and a moment later still is."""
    obstacle: Problem | None = None
    """What would keep a daemon from starting."""
    handled: bool = False
    """Whether the last daemon registered a handler of this job's type."""
    job_types: Sequence[str] = ()
    ahead: int = 0
    """Ready jobs of the same queue that are claimed before this one."""
    executing: Sequence[int] = ()
    """Jobs of the same queue whose execution is not over, without this one."""
    concurrency: int | None = None
    paused_at: int | None = None
    paused_by: str | None = None
    suspect: int | None = None
    """Where the job was lost with its daemon so often that it runs only while no other such job
    does: the one whose execution is not over."""
    workers: int = 0
    busy: int = 0
    worker_health: str = HealthStatus.NORMAL
    """That of the worker which the job is with."""
    batch: Record | None = None
    """The batch of an item, with its `position`, how many items stand `before` it (up to 10,000),
    and how many are `executing`."""
    attempts: Sequence[Record] = ()
    actions: Sequence[Record] = ()
    progress: Record | None = None
    timeout_ms: int | None = None
    """The job's own timeout, else its handler's, else the configured one."""
    retry_limit: int | None = None
    zombie_hold_ms: int = 300_000
    key_holder: int | None = None
    """Another live job that has the job's unique key."""

    @property
    def status(self) -> JobStatus:
        return JobStatus(self.job["status"])

    @property
    def id(self) -> int:
        return int(self.job["id"])

    @property
    def ready_ms(self) -> int:
        """For how long it might have run already, or 0 where that is not known."""
        moments = [self.job[name] for name in ("created_at", "scheduled_at", "next_retry_at")]
        since = max((each for each in moments if each is not None), default=self.now)
        began = self.daemon["started_at"] if self.daemon else self.now
        return max(0, self.now - max(since, began)) if self.job["ready"] else 0

    @property
    def start(self) -> str:
        """What to type so that a daemon runs."""
        mend = self.obstacle and self.obstacle.next_command
        return mend or self.starter

    @property
    def owner_alive(self) -> bool:
        """Whether the daemon that claimed the attempt is the one that is active now."""
        newest = self.daemon and self.daemon["id"]
        return self.daemon_alive and self.job["worker_id"] == newest

    @property
    def last_attempt(self) -> Record | None:
        """The record of the job's newest attempt, when it already has one."""
        found = [each for each in self.attempts if each["attempt"] == self.job["attempt"]]
        return found[-1] if found else None


@dataclass(frozen=True, slots=True)
class Explanation:
    """One true paragraph, and the command to type next, if there is one."""

    text: str
    next_command: str | None = None


def named(facts: Facts) -> str:
    """"Job 17 (thumbnail)": how a paragraph begins."""
    return f"Job {facts.id} ({facts.job['job_type']})"


def at(facts: Facts, moment: int) -> str:
    """A time with its distance: "2026-11-22T13:30:00.000Z (in 3 min)"."""
    return f"{iso(moment)} ({age(facts.now, moment)})"


def since(facts: Facts, moment: int) -> str:
    """How long something has lasted: "3 min"."""
    return format_duration(max(0, facts.now - moment) // 1000)


def failure(facts: Facts) -> str:
    """"network: connection refused", from what the job remembers of its last failure."""
    message = first_line(facts.job["error_message"] or "")
    kind = facts.job["failure_type"] or "unknown"
    return f"{kind}: {message}" if message else kind


def first_line(text: str) -> str:
    """The first line of a text that somebody else wrote, at most 200 characters, no full stop."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "").rstrip(".")
    return line if len(line) <= 200 else line[:199] + "…"


def asked_by(facts: Facts, verb: str) -> str:
    """" by ann, 3 min ago" from the last such action, or nothing when none is recorded."""
    found = [each for each in facts.actions if each["verb"] == verb]
    if not found:
        return ""
    return f" by {found[-1]['actor']} {age(facts.now, found[-1]['acted_at'])}"


def counted(number: int, noun: str) -> str:
    """"1 job", "3 jobs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(ids: Sequence[int], most: int = 5) -> str:
    """"job 7", "jobs 7 and 9", "jobs 1, 2, 3, 4, 5 and 12 more"."""
    shown = [str(each) for each in ids[:most]]
    if len(ids) > most:
        return f"jobs {', '.join(shown)} and {len(ids) - most} more"
    if len(shown) < 2:
        return f"job {''.join(shown)}"
    return f"jobs {', '.join(shown[:-1])} and {shown[-1]}"
