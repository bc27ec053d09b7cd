"""Who still runs for an attempt: whoever holds its lock or carries its marker.

A process inherits both through any number of forks. One that closes every descriptor and clears
its environment escapes; nothing but a cgroup would find it.
"""

import os
import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jobd import clock
from jobd.core.job import Row
from jobd.store.attempt_files import LOCK, attempt_directory, is_locked

MARKER = "JOBD_ATTEMPT"
OWNER = "JOBD_OWNER"
"""The daemon of an isolated child, which outlives the attempts that it runs."""
KILL_TAKES = 1.0
LOOK_EVERY = 0.02


def marker(worker_id: str | None, job_id: int, attempt: int) -> str:
    """The value of JOBD_ATTEMPT in every process of this attempt."""
    return f"{worker_id}:{job_id}:{attempt}"


class Left(NamedTuple):
    """What is left of an attempt: the pids that can be seen, and whether its lock is held.

    A lock that nobody seems to hold is held by someone we may not look at, or who is in the
    middle of an exec: not over, all the same.
    """

    pids: list[int]
    locked: bool
    group: int | None = None
    """Their process group, when it is known that nobody else is in it."""

    def __bool__(self) -> bool:
        return self.locked or bool(self.pids)


NOTHING_LEFT = Left([], False)


def left_of(directory: Path, mark: str) -> Left:
    """Who still belongs to the attempt, ourselves excepted; zombies are nobody."""
    wanted = f"{MARKER}={mark}".encode()
    locked = is_locked(directory)
    lock = str(directory / LOCK) if locked else ""
    pids = [
        pid
        for pid in _processes()
        if pid != os.getpid() and (wanted in _environment(pid) or _has_open(pid, lock))
    ]
    return Left(pids, locked)


def group_of(leader: int) -> list[int]:
    """Pids in the process group of `leader` that still run, itself included."""
    return [pid for pid in _processes() if _group(pid) == leader]


def _group(pid: int) -> int | None:
    """The process group; None for zombies and those that are gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[2])


def marked(marks: Collection[str]) -> dict[str, list[int]]:
    """Pids by the marker they carry, of those in `marks`, in one look at /proc."""
    wanted = {f"{MARKER}={mark}".encode(): mark for mark in marks}
    found: dict[str, list[int]] = {}
    for pid in _processes():
        for entry in _environment(pid):
            if entry in wanted:
                found.setdefault(wanted[entry], []).append(pid)
    return found


def survey(database: Path, rows: Iterable[Row]) -> dict[int, Left]:
    """What is left of these attempts of dead daemons, by job id, in one look at /proc.

    Rows count that had not started by the database: a start is written a moment after it. An
    isolated child that hangs is known by its daemon alone, so it counts for all of its attempts.
    """
    owned = [row for row in rows if row.worker_id is not None]
    marks = {f"{MARKER}={marker(r.worker_id, r.id, r.attempt)}".encode(): [r.id] for r in owned}
    for row in owned:
        marks.setdefault(f"{OWNER}={row.worker_id}".encode(), []).append(row.id)
    pids: dict[int, list[int]] = {}
    for pid in _processes() if owned else ():
        if pid != os.getpid():
            for job_id in {i for entry in _environment(pid) for i in marks.get(entry, ())}:
                pids.setdefault(job_id, []).append(pid)
    return {row.id: left for row in owned if (left := _left(database, row, pids.get(row.id, [])))}


def _left(database: Path, row: Row, pids: list[int]) -> Left:
    directory = attempt_directory(database, row.id, row.attempt)
    if not is_locked(directory):
        return Left(pids, False)
    seen = left_of(directory, marker(row.worker_id, row.id, row.attempt))
    return Left(sorted({*pids, *seen.pids}), seen.locked)


def end_left(
    find: Callable[[], Left], kill_grace: float, wait: Callable[[float], object]
) -> Left:
    """SIGTERM and SIGCONT to whom `find` finds and to their group, SIGKILL after `kill_grace`; what
    is left then."""
    numbers = (signal.SIGTERM, signal.SIGCONT)
    if not _gone_within(find, kill_grace, wait, numbers):
        return NOTHING_LEFT
    return _gone_within(find, KILL_TAKES, wait, (signal.SIGKILL,))


def _gone_within(
    find: Callable[[], Left],
    seconds: float,
    wait: Callable[[float], object],
    numbers: Sequence[int],
) -> Left:
    """Signal each that is found, once, however late it is found."""
    deadline = clock.monotonic() + seconds
    signalled: set[int] = set()
    while left := find():
        if left.group is not None and (not signalled or signal.SIGKILL in numbers):
            # Whoever forks and goes on as its child has gone from where it was seen.
            for number in numbers:
                signal_group(left.group, number)
            # Who was forked since that look has had it too.
            signalled.update(group_of(left.group))
        _signal_all([pid for pid in left.pids if pid not in signalled], *numbers)
        signalled.update(left.pids)
        if clock.monotonic() >= deadline:
            break
        wait(LOOK_EVERY)
    return left


def _signal_all(pids: list[int], *numbers: int) -> None:
    for pid in pids:
        for number in numbers:
            send(pid, number)


def send(pid: int, number: int) -> None:
    """Signal one process, if it is still there."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # it has gone, or changed its user: then it is no child we could end


def signal_group(leader: int, number: int) -> None:
    """Signal a whole process group, if anyone is left in it."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        pass


def _processes() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            yield int(name)


def _environment(pid: int) -> list[bytes]:
    """The environment a process was started with; empty for zombies and for others' processes."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _has_open(pid: int, path: str) -> bool:
    if not path:
        return False
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    for descriptor in descriptors:
        try:
            if os.readlink(f"/proc/{pid}/fd/{descriptor}") == path:
                return True
        except OSError:
            continue
    return False
