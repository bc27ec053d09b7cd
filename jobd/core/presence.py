"""What can be seen of the daemon from outside, and what is wrong when it lives but does not move.

Its lock proves that it lives. That it moves is shown by the time of the lock's file, which it sets
anew while its dispatcher and its sweeps come round; and what the system says of its process tells
at once when somebody has stopped it.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from jobd.core.problem import Problem, State, lasted
from jobd.core.service import systemctl

SIGN_EVERY = 5.0
"""Seconds between two signs of life, unless `timing.heartbeat` is shorter."""
SILENT_AFTER_MS = 20_000
"""Without a sign for so long it hangs."""
WRITES_NOTHING_AFTER_MS = 180_000
"""The daemon writes its row once a minute; thrice that without a word is silence."""


class Halt(StrEnum):
    """Who has stopped a process that lives."""

    SIGNAL = "signal"
    DEBUGGER = "debugger"
    FREEZER = "freezer"


_HALTED: Mapping[Halt, str] = {
    Halt.SIGNAL: "it was stopped by a signal (SIGSTOP, or Ctrl-Z at its terminal)",
    Halt.DEBUGGER: "a debugger has stopped it",
    Halt.FREEZER: "its control group is frozen (`systemctl freeze`, or a paused container)",
}


class Said(StrEnum):
    """What a daemon says of itself, in the file of its lock: for that it needs no transaction."""

    STOPPING = "stopping"
    NO_SPACE = "waits for disk space"


class Holder(NamedTuple):
    """A process that holds a lock, by its pid as we see it, and what it was started as."""

    pid: int
    command: str = ""

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.command})" if self.command else f"pid {self.pid}"


class Presence(NamedTuple):
    """What the lock and the system say now.

    `pid` is what the lock's holder wrote, `pid_here` its pid in our namespace where the system
    tells, `waker` the command that lets a halted one go on, `silent_ms` the age of its last sign
    of life, `writer` another process that has held the database's write lock for long, and
    `last_words` how the last daemon ended, where none is there and that one said so, and `unit`
    the service that it is or was. `lock_lost` is one that works, while its lock's file was removed
    or replaced. `said` is what it says of itself, if anything.
    """

    alive: bool = False
    pid: int | None = None
    pid_here: int | None = None
    halt: Halt | None = None
    waker: str | None = None
    silent_ms: int | None = None
    writer: Holder | None = None
    last_words: str = ""
    unit: str = ""
    lock_lost: bool = False
    said: str = ""

    @property
    def known_as(self) -> int | None:
        """The pid by which a person here finds it."""
        return self.pid_here or self.pid

    @property
    def start(self) -> str:
        """What to type so that a daemon runs."""
        return systemctl("start", self.unit) or "jobd run"

    @property
    def restart(self) -> str:
        """What to type so that this daemon makes room for another; one that a person has started
        he has to start again."""
        return systemctl("restart", self.unit) or f"kill {self.known_as}"

    def is_of(self, daemon: Mapping[str, Any] | None) -> bool:
        """Whether the lock is held by the daemon of this row, which has begun to work."""
        return self.alive and daemon is not None and daemon["pid"] == self.pid \
            and daemon["stopped_at"] is None

    def moves(self, daemon: Mapping[str, Any] | None) -> bool:
        """Whether a daemon is there and nothing says that it stands still."""
        return self.alive and not any(stands_still(self, daemon))


def stands_still(seen: Presence, daemon: Mapping[str, Any] | None) -> Iterator[Problem]:
    """It lives and holds its lock, but nothing moves; `daemon` is the newest row."""
    if not seen.alive:
        return
    pid = seen.known_as
    if seen.halt is not None:
        yield Problem(
            State.DOWN, "frozen_daemon",
            f"The daemon, pid {pid}, is frozen: {_HALTED[seen.halt]}. It keeps the locks that "
            "it has, perhaps that of writing, and does nothing until it is woken.", seen.waker,
        )
    elif seen.is_of(daemon) and (seen.silent_ms or 0) > SILENT_AFTER_MS:
        yield Problem(
            State.DOWN, "silent_daemon",
            f"The daemon, pid {pid}, lives but has given no sign of life for "
            f"{lasted(seen.silent_ms or 0)}: its dispatcher or one of its sweeps hangs, its disk "
            "does, or something outside has frozen it. If it does not recover, restart it.",
            f"ps -o pid,stat,wchan:20,args -Lp {pid}",
        )


def is_locked_out(seen: Presence) -> Iterator[Problem]:
    """Someone else has held the write lock for so long that work stands still."""
    if seen.writer is not None:
        yield Problem(
            State.DEGRADED, "database_locked",
            f"The database is locked: {seen.writer} has held its write lock for longer than a "
            "second, and until it lets go nothing is enqueued, claimed or finished. End its "
            "transaction, or the process.", f"ps -fp {seen.writer.pid}",
        )


def of_itself(seen: Presence) -> Iterator[Problem]:
    """What the daemon says keeps it from taking jobs."""
    if seen.said == Said.STOPPING:
        yield Problem(
            State.DEGRADED, "stopping",
            f"The daemon, pid {seen.known_as}, is stopping: it takes no more jobs and waits for "
            "those that run; the next daemon takes the others.", "jobd workers",
        )
    elif seen.said == Said.NO_SPACE:
        yield Problem(
            State.DEGRADED, "disk_space",
            f"The daemon, pid {seen.known_as}, finds no space on the disk of its database, and "
            "until there is some it can neither take jobs nor write how they end. Nothing is "
            "lost meanwhile, and it goes on by itself.", "jobd doctor",
        )


def troubles(seen: Presence, daemon: Mapping[str, Any] | None) -> list[Problem]:
    """What keeps the daemon from working, though it lives."""
    return [*stands_still(seen, daemon), *is_locked_out(seen), *of_itself(seen),
            *_has_not_begun(seen, daemon)]


def _has_not_begun(seen: Presence, daemon: Mapping[str, Any] | None) -> Iterator[Problem]:
    if seen.alive and not seen.lock_lost and not seen.is_of(daemon):
        yield Problem(
            State.DEGRADED, "not_ready",
            f"Pid {seen.known_as} holds the daemon's lock and has not begun to work: "
            "it starts, or it is no daemon but a verb that needs the database alone.",
            "jobd health",
        )


def of_daemon(seen: Presence, daemon: Mapping[str, Any] | None, now: int) -> Iterator[Problem]:
    """All that may be wrong with the daemon itself; `daemon` is the newest row."""
    if not seen.alive:
        yield _nobody(seen, daemon, now)
    elif still := list(stands_still(seen, daemon)):
        yield from still
    elif seen.lock_lost:
        yield Problem(
            State.DEGRADED, "lock_lost",
            f"Pid {seen.pid} works on the database, but the file of its lock, which ends in "
            ".daemon, was removed or replaced: others take it for dead. Restart it.",
            f"kill {seen.pid}",
        )
    elif daemon is None or not seen.is_of(daemon):
        yield from _has_not_begun(seen, daemon)
    elif seen.writer is None and now - daemon["seen_at"] > WRITES_NOTHING_AFTER_MS:
        yield Problem(
            State.DOWN, "silent_daemon",
            f"The daemon, pid {daemon['pid']}, lives but has written nothing for "
            f"{lasted(now - daemon['seen_at'])}: it cannot write, or hangs.", "jobd status",
        )


def _nobody(seen: Presence, daemon: Mapping[str, Any] | None, now: int) -> Problem:
    at = daemon and (daemon["stopped_at"] or daemon["seen_at"])
    last = f"the last one, pid {daemon['pid']}, was last seen {lasted(now - at)} ago" \
        if daemon and at else "none has ever run"
    if daemon and daemon["stopped_at"] is None and not seen.last_words:
        last += " and did not sign off: it was killed, or the machine went down"
    if seen.last_words:
        last += f"; {seen.last_words}"
    return Problem(State.DOWN, "no_daemon", f"No daemon is active; {last}.", seen.start)
