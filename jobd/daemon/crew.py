"""What this daemon can run: its handlers, and what the configuration says about them."""

import os
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from jobd.core.command import EXEC
from jobd.core.config import Config
from jobd.core.job import Claimed, Isolation
from jobd.core.registry import Handler
from jobd.core.retry import Policy
from jobd.core.version import VERSION
from jobd.daemon.attempt import Attempt
from jobd.store import claims, daemons
from jobd.store.daemons import DaemonIdentity, JobType


def _run_elsewhere() -> None:
    """A command is run by a CommandRunner, never by calling its handler."""


_EXEC = Handler(EXEC, _run_elsewhere)


class Crew:
    """Handlers by job type under the configuration in force, which SIGHUP may replace."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        config: Config,
        identity: DaemonIdentity,
        announce: Callable[[str], None],
    ) -> None:
        self.handlers = {**handlers, EXEC: _EXEC}
        self.config = config
        self.identity = identity
        self._announce = announce
        """Tells the main thread what the dispatcher has come to: "ready" or "ended"."""

    def opened_up(self) -> None:
        self._announce("ready")

    def dispatcher_ended(self) -> None:
        self._announce("ended")

    def register(self, db: sqlite3.Connection, now: int) -> None:
        """Tell the database who runs, what it can run, and what it limits."""
        daemons.register(db, self.identity, self.job_types(), self.limits(), now)
        claims.bring_back_handled(db, self.handlers)
        # The wall clock may have been set back while no daemon ran.
        claims.clamp_retries(db, now)

    def show_limits(self, db: sqlite3.Connection, _now: int) -> None:
        """After a reload: the limits in force now."""
        daemons.set_limits(db, self.limits())

    def policy(self, job_type: str) -> Policy:
        """How failures of this type are retried, under the configuration of this moment."""
        handler = self.handlers.get(job_type)
        if handler is None:
            return Policy(types=self.config.retry)
        return Policy(self.config.retry, handler.max_retries, handler.retries)

    def attempts(self, claimed: Claimed, handed_at: float) -> list[Attempt]:
        """The claimed jobs with their handlers, timeouts and isolation: the job's own, else the
        handler's, else the configuration's; commands are their own isolation."""
        longest, isolation = self.config.timing.timeout, self.config.pool.isolation
        made = []
        for job in claimed.jobs:
            handler = self.handlers[job.job_type]
            timeout = longest if handler.timeout is None else handler.timeout
            if job.timeout_ms is not None:
                timeout = job.timeout_ms / 1000
            where = job.isolation or handler.isolation or isolation
            if handler is _EXEC:
                where = Isolation.COMMAND
            made.append(Attempt(job, handler, timeout, handed_at, where, claimed.at))
        return made

    def limits(self) -> dict[str, int]:
        """Concurrency limits by queue."""
        queues = self.config.queues.items()
        return {name: q.concurrency for name, q in queues if q.concurrency is not None}

    def queue_room(self, db: sqlite3.Connection) -> dict[str, int]:
        """How many more jobs each limited queue may execute."""
        limits = self.limits()
        if not limits:
            return {}
        executing = claims.executing_by_queue(db)
        return {name: limit - executing.get(name, 0) for name, limit in limits.items()}

    def job_types(self) -> list[JobType]:
        """What the database is told about the handlers."""
        return [
            JobType(
                handler.job_type,
                handler.queue,
                None if handler.timeout is None else round(handler.timeout * 1000),
                handler.max_retries,
            )
            for handler in self.handlers.values()
        ]


def new_identity() -> DaemonIdentity:
    """Who this incarnation is: another one at every start, whatever the pid."""
    pid = os.getpid()
    return DaemonIdentity(f"{pid}-{secrets.token_hex(4)}", pid, _boot_id(), VERSION)


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
