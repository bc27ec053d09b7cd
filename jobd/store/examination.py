"""Looking at the database file and what is around it, for `jobd doctor`; changes nothing."""

import os
import re
import socket
import sqlite3
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jobd.core.findings import OVER_THE_NETWORK, FileFacts
from jobd.errors import ConfigurationError
from jobd.poke import address, socket_path
from jobd.store.access import user_name
from jobd.store.attempt_files import attempts_directory
from jobd.store.complaints import error_name
from jobd.store.daemon_lock import lock_path
from jobd.store.kernel_locks import flocks

INSTRUCTIONS = 20_000
"""Steps of SQLite's machine between two looks at the clock."""
PROBLEMS_TOLD = 3
_OCTAL = re.compile(r"\\([0-7]{3})")
SUFFIXES = ("", "-wal", "-shm", ".daemon", ".metrics", ".pulse", ".settings", ".turn",
            ".line")


def integrity(
    db: sqlite3.Connection, enough: Callable[[], bool], *, full: bool
) -> tuple[list[str], bool]:
    """What is damaged, and whether the look came to its end before `enough()`."""
    db.set_progress_handler(lambda: not full and enough(), INSTRUCTIONS)
    try:
        check = "integrity_check" if full else "quick_check"
        rows = db.execute(f"PRAGMA {check}({PROBLEMS_TOLD})").fetchall()
    except sqlite3.DatabaseError as error:
        if error_name(error) == "SQLITE_INTERRUPT":
            return [], False
        return [str(error)], True
    finally:
        db.set_progress_handler(None, 0)
    return [line for (text,) in rows if text != "ok" for line in str(text).splitlines()], True


def newest_time(db: sqlite3.Connection) -> int | None:
    """The latest time at which something has happened, in ms."""
    newest: int | None = db.execute(
        """SELECT max(at) FROM (
            SELECT max(started_at, seen_at) AS at FROM daemons
            UNION ALL SELECT max(created_at, coalesce(claimed_at, 0), coalesce(completed_at, 0))
                FROM (SELECT * FROM job_queue ORDER BY id DESC LIMIT 100)
        )"""
    ).fetchone()[0]
    return newest


def paused_with_jobs(queues: list[dict[str, object]]) -> list[tuple[str, int]]:
    """(queue, jobs) of each queue that is paused while jobs wait in it."""
    return [(str(each["name"]), int(str(each["ready"]))) for each in queues
            if each["paused_at"] is not None and each["ready"]]


def files(database: Path) -> Iterator[FileFacts]:
    """The directory, the database and what lies beside it."""
    attempts = attempts_directory(database)
    beside = (Path(f"{database}{suffix}") for suffix in SUFFIXES)
    for path in (database.parent, attempts, *beside):
        try:
            found = path.stat()
        except OSError:
            continue
        yield FileFacts(str(path), found.st_mode, os.access(path, os.W_OK),
                        _kept_out(database, found))


def _kept_out(database: Path, found: os.stat_result) -> str:
    """The owner of the database, when a file of such an owner and mode is not for that user."""
    try:
        ours = database.stat()
    except OSError:
        return ""
    needed = 0o7 if stat.S_ISDIR(found.st_mode) else 0o6
    mine = ours.st_uid in (0, found.st_uid)
    shared = ours.st_gid == found.st_gid and found.st_mode >> 3 & needed == needed
    return "" if mine or shared or found.st_mode & needed == needed else user_name(ours.st_uid)


def file_system(database: Path) -> tuple[str | None, str]:
    """The type of the file system that holds the database, and where it is mounted."""
    place = database if database.exists() else database.parent
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
        device = place.stat().st_dev
    except OSError:
        return None, ""
    return mounted(lines, os.path.realpath(place), f"{os.major(device)}:{os.minor(device)}")


def mounted(mountinfo: Sequence[str], place: str, device: str) -> tuple[str | None, str]:
    """What /proc/self/mountinfo says of a path: the longest mount above it.

    One with the device's number goes before the others: a mount may hide beneath another.
    """
    found: tuple[bool, int, str | None, str] = (False, -1, None, "")
    for line in mountinfo:
        before, _, after = line.partition(" - ")
        words, kind = before.split(), after.partition(" ")[0]
        mount = _OCTAL.sub(lambda match: chr(int(match[1], 8)), words[4])
        if mount == "/" or place == mount or place.startswith(f"{mount}/"):
            found = max(found, (words[2] == device, len(mount), kind, mount))
    return found[2], found[3]


def refuse_network(database: Path) -> None:
    """Raise ConfigurationError when the database lies, or would lie, on another machine."""
    kind, mount = file_system(database)
    if kind in OVER_THE_NETWORK:
        raise ConfigurationError([
            f"{database} lies on {kind} ({mount}): locks do not hold over the network, and SQLite "
            "corrupts databases there; name one on a local disk with --db or the setting db"
        ])


def inodes_free(directory: Path) -> int | None:
    """How many more files there may be; None when the file system has no such number."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_favail if found.f_files else None


def socket_answers(database: Path) -> bool:
    """Whether a daemon listens at the socket that it is poked by."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as poking:
        try:
            with address(socket_path(database)) as name:
                poking.connect(name)
        except OSError:
            return False
    return True


def waiting_daemons(database: Path) -> list[int]:
    """Pids that wait for the daemon's lock, to take over when it is free."""
    return [each.pid for path in (lock_path(database), database)
            for each in flocks(path) if each.waits]
