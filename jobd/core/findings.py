"""What `jobd doctor` makes of what it found: one line each, and the command that mends it."""

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from jobd.core.durations import format_duration
from jobd.core.health import Health
from jobd.core.problem import State, counted

if TYPE_CHECKING:
    from jobd.core.fingerprint import Groups

MIB = 1 << 20
LITTLE_SPACE, NO_SPACE = 200 * MIB, 20 * MIB
FEW_INODES = 1_000
LONG_LOG = 64 * MIB
CLOCK_OFF_MS = 60_000
CLOCK_WRONG_MS = 3_600_000
YEAR_2020_MS = 1_577_836_800_000
GROUPS_TOLD = 5

OLDEST_SQLITE = (3, 37, 0)
WAL_RESET = (
    "has a rare bug that can damage a database (WAL-reset; fixed in 3.44.6, 3.50.7 and 3.51.3); "
    "jobd avoids it; other programs that write the file beside it are not covered"
)

OVER_THE_NETWORK = frozenset({
    "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "fuse.ceph", "fuse.glusterfs",
    "fuse.mfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "gfs", "gfs2", "glusterfs", "gpfs",
    "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb2", "smb3", "smbfs", "virtiofs",
})
IN_MEMORY = frozenset({"ramfs", "tmpfs"})

Version = tuple[int, int, int]


class Level(StrEnum):
    """How bad it is, the worst last."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line; `mend` is what to type."""

    level: Level
    about: str
    message: str
    mend: str | None = None


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file or directory beside the database: its mode, and whether this user may write it.

    `keeps_out` names the owner of the database, where that one may not use this file.
    """

    path: str
    mode: int
    writable: bool
    keeps_out: str = ""


def ok(about: str, message: str) -> Finding:
    return Finding(Level.OK, about, message)


def warn(about: str, message: str, mend: str | None = None) -> Finding:
    return Finding(Level.WARN, about, message, mend)


def fail(about: str, message: str, mend: str | None = None) -> Finding:
    return Finding(Level.FAIL, about, message, mend)


def has_wal_reset_fix(version: Version) -> bool:
    """Whether this SQLite is 3.51.3 or newer, or a release of 3.50 or 3.44 with the fix."""
    backports = {(3, 50): 7, (3, 44): 6}
    return version >= (3, 51, 3) or version[2] >= backports.get(version[:2], version[2] + 1)


def sqlite(version: Version) -> Finding:
    number = ".".join(map(str, version))
    if version < OLDEST_SQLITE:
        return fail("sqlite", f"{number} is too old; jobd needs 3.37 or newer",
                    "install a Python with a newer SQLite")
    if not has_wal_reset_fix(version):
        return warn("sqlite", f"{number} {WAL_RESET}", "write the database with nothing but jobd")
    return ok("sqlite", number)


def modes(files: Sequence[FileFacts]) -> Iterator[Finding]:
    """Files that others may read, and what this user may not write."""
    fine = True
    for each in files:
        is_directory = stat.S_ISDIR(each.mode)
        bits = stat.S_IMODE(each.mode)
        if is_directory and bits & 0o002 and not bits & stat.S_ISVTX:
            fine = False
            yield fail("modes", f"anybody may replace files in {each.path} (mode {bits:04o})",
                       f"chmod o-w {each.path}")
        elif not is_directory and bits & 0o007:
            fine = False
            yield warn("modes", f"anybody may open {each.path} (mode {bits:04o}): payloads and "
                       "results are in it", f"chmod o= {each.path}")
        if each.keeps_out:
            fine = False
            yield fail("modes", f"{each.path} does not belong to {each.keeps_out}, whose the "
                       f"database is, and keeps that user out (mode {bits:04o})",
                       f"chown {each.keeps_out}: {each.path}")
        if not each.writable:
            fine = False
            yield fail("modes", f"this user cannot write {each.path} (mode {bits:04o})",
                       "run this as the daemon's user or as a member of its group")
    if fine:
        yield ok("modes", f"{len(files)} files and directories are open to whom they should be")


def disk(free: int | None, inodes: int | None, size: int) -> Finding:
    """Free space, also for a backup of as many bytes as the database has."""
    if free is None:
        return warn("disk space", "the system does not say how much is free")
    text = f"{free // MIB} MiB free"
    if free < NO_SPACE:
        return fail("disk space", text, "move or delete other files: `jobd prune` needs some space")
    mend = "free some space; `jobd prune` deletes old jobs"
    if free < max(LITTLE_SPACE, size):
        return warn("disk space", f"{text}, and the database has {size // MIB} MiB", mend)
    if inodes is not None and 0 < inodes < FEW_INODES:
        return warn("disk space", f"{text}, but only {inodes} inodes", "remove files")
    return ok("disk space", text)


def log_size(size: int, *, alive: bool, readers: Sequence[int]) -> Finding:
    text = f"the write-ahead log has {size / MIB:.1f} MiB"
    if size < LONG_LOG:
        return ok("log", text)
    if not alive:
        return warn("log", f"{text}, and no daemon is there to move it into the file", "jobd run")
    if readers:
        pids = " ".join(map(str, readers))
        return warn("log", f"{text}, and pid {pids} reads in it", f"ps -fp {pids}")
    return warn("log", f"{text}; the daemon moves it into the file when it can", "jobd tail")


def pages(size: int, free: int, *, incremental: bool) -> Finding:
    text = f"{size / MIB:.1f} MiB, {free / MIB:.1f} MiB of it free to be filled again"
    if not incremental:
        return warn("file", f"{text}; it was made without auto_vacuum and cannot shrink",
                    "stop the daemon, and `jobd prune --rewrite`")
    return ok("file", text)


def file_system(kind: str | None, mount: str) -> Finding:
    if kind is None:
        return warn("file system", "the system does not say of which type it is")
    text = f"{kind} at {mount}"
    if kind in OVER_THE_NETWORK:
        return fail("file system", f"{text}: locks do not hold over the network, and SQLite "
                    "corrupts the database", "move it to a local disk, and set db")
    if kind in IN_MEMORY:
        return warn("file system", f"{text}: it is in memory, and gone at the next boot",
                    "move it to a disk, and set db")
    return ok("file system", text)


def clock(now: int, newest: int | None) -> Finding:
    """The wall clock against the newest time in the database, in ms."""
    if now < YEAR_2020_MS:
        return fail("clock", "it is before 2020 by the clock of this machine", "timedatectl")
    ahead = (newest or now) - now
    if ahead > CLOCK_OFF_MS:
        text = f"the database holds times that come in {format_duration(ahead // 1000)} only: " \
            "the clock was ahead, or was set back"
        make = fail if ahead > CLOCK_WRONG_MS else warn
        return make("clock", text, "timedatectl")
    return ok("clock", "no time in the database is later than now")


def integrity(problems: Sequence[str], *, finished: bool, seconds: float) -> Finding:
    if problems:
        return fail("integrity", "; ".join(problems), "stop the daemon, and put a backup in its "
                    "place, or `sqlite3 FILE .recover`")
    if not finished:
        return warn("integrity", f"nothing wrong was found in {seconds:.0f} s, which were not "
                    "enough for the whole file", "jobd doctor --full")
    return ok("integrity", "the database is whole")


_OF_THE_DAEMON = ("no_daemon", "not_ready", "silent_daemon", "frozen_daemon")
_ABOUT = {
    **dict.fromkeys(_OF_THE_DAEMON, "daemon"), "zombie": "executions", "old_head": "queues",
    "without_handler": "handlers", "database_locked": "database", "lock_lost": "daemon",
}


def live(health: Health, *, work_waits: bool, died: bool = False) -> Iterator[Finding]:
    """What the health of the moment comes to, dead letters aside.

    That no daemon runs is a failure where jobs wait for one, and where the last one died.
    """
    for each in health.problems:
        if each.cause == "dead_letters":
            continue
        nobody = each.cause == "no_daemon"
        more = " Jobs wait for one." if nobody and work_waits else ""
        fails = each.cause in ("database_locked", "lock_lost") or each.state is State.DOWN
        make = fail if fails and (not nobody or work_waits or died) else warn
        yield make(_ABOUT.get(each.cause, "workers"), each.text + more, each.next_command)
    if not any(each.cause in _OF_THE_DAEMON for each in health.problems):
        yield ok("daemon", health.about)


def dead_letters(groups: "Groups") -> Iterator[Finding]:
    """The largest groups."""
    largest = groups.largest_first()
    for group in largest[:GROUPS_TOLD]:
        yield warn("dead letters", f"{counted(group.count, 'job')} of type {group.job_type}: "
                   f"{group.failure_type}: {group.error[:120]}",
                   f"jobd dead show {group.fingerprint}")
    rest = sum(group.count for group in largest[GROUPS_TOLD:]) + groups.others
    if rest:
        yield warn("dead letters", f"{counted(rest, 'job')} in smaller groups", "jobd dead")
    if not largest:
        yield ok("dead letters", "none")
