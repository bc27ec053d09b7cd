"""Looking at the daemon from outside: its lock, its process, its sign of life, who locks it out."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from jobd import clock
from jobd.core.presence import Halt, Holder, Presence
from jobd.store.daemon_lock import is_held, lock_path, said
from jobd.store.in_force import last_unit, last_words
from jobd.store.kernel_locks import LIST, flocks, holder, write_lock_holder

HELD_FOR = 1.0
LOOK_EVERY = 0.02
SET_BACK_MS = 10_000
"""A sign of life from further ahead than this shows that the clock was set back."""
_STATES = {"T": Halt.SIGNAL, "t": Halt.DEBUGGER}
_GROUPS = Path("/sys/fs/cgroup")


def give_sign(database: Path) -> None:
    """Show that the daemon moves: the time of its lock's file becomes now. Nothing is synced."""
    with suppress(OSError):
        os.utime(lock_path(database))


def presence(database: Path, now: int) -> Presence:
    """What can be seen without opening the database; `now` is in ms."""
    alive, pid = is_held(database)
    here = _pid_here(database, pid) if alive else None
    # A daemon locks the database's own file too, which nobody tidies away.
    working = next((each.pid for each in flocks(database) if each.writes and not each.waits), None)
    lost = bool(working) and working != here and (here is not None or not alive)
    if lost:
        alive, pid, here = True, working, working
    if not alive:
        return Presence(last_words=last_words(database), unit=last_unit(database))
    halt, waker = (None, None) if here is None else _halted(here)
    silent = None if lost else silent_ms(database, now)
    about = "" if lost else said(database)
    return Presence(True, pid, here, halt, waker, silent, lock_lost=lost, said=about,
                    unit=last_unit(database))


def with_writer(seen: Presence, db: sqlite3.Connection, database: Path) -> Presence:
    """The same, and who has held the write lock for a second, if that is not the daemon itself.

    It takes that second only while somebody does. Who commits meanwhile lets go in between.
    """
    first = _version(db)
    until = clock.monotonic() + HELD_FOR
    pid = write_lock_holder(database)
    if pid is None or pid == seen.pid_here:
        return seen
    while clock.monotonic() < until:
        clock.pause(LOOK_EVERY)
        if write_lock_holder(database) != pid or _version(db) != first:
            return seen
    return seen._replace(writer=_named(pid))


def _version(db: sqlite3.Connection) -> int:
    found: int = db.execute("PRAGMA data_version").fetchone()[0]
    return found


def _named(pid: int) -> Holder:
    return holder(pid) if pid > 0 else Holder(pid, "outside this pid namespace")


def _pid_here(database: Path, written: int | None) -> int | None:
    """The holder's pid in our namespace; what it wrote is that of its own."""
    found = [each.pid for each in flocks(lock_path(database)) if each.writes and not each.waits]
    if found:
        return found[0] if found[0] > 0 else None
    return None if os.access(LIST, os.R_OK) else written


def _halted(pid: int) -> tuple[Halt | None, str | None]:
    """Who has stopped the process, and the command that lets it go on."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return None, None
    halt = _STATES.get(state)
    if halt is Halt.SIGNAL:
        return halt, f"kill -CONT {pid}"
    if halt is Halt.DEBUGGER:
        return halt, f"grep TracerPid /proc/{pid}/status"
    group = _frozen_group(pid)
    if group is None:
        return None, None
    unit = group.name.endswith(".service")
    thaw = f"systemctl thaw {group.name}" if unit else f"echo 0 > {group}/cgroup.freeze"
    return Halt.FREEZER, thaw


def _frozen_group(pid: int) -> Path | None:
    """The control group of the process, when that is frozen; or the one above it that is."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        name = next(line[3:] for line in lines if line.startswith("0::"))
        group = _GROUPS / name.strip("/")
        if "frozen 1" not in (group / "cgroup.events").read_text():
            return None
        return next((each for each in (group, *group.parents) if _is_frozen(each)), group)
    except (OSError, StopIteration):
        return None


def _is_frozen(group: Path) -> bool:
    try:
        return (group / "cgroup.freeze").read_text().strip() == "1"
    except OSError:
        return False


def silent_ms(database: Path, now: int) -> int | None:
    """The age of the last sign of life; None when the clock was set back since.

    A sign given between the reading of `now` and this look is no such thing: it is new.
    """
    try:
        age = now - os.stat(lock_path(database)).st_mtime_ns // 1_000_000
    except OSError:
        return None
    return max(0, age) if age >= -SET_BACK_MS else None
