"""Who still runs for an attempt: whoever holds its lock or carries its marker.

A process inherits both through any number of forks. One that closes every descriptor and clears
its environment escapes; nothing but a cgroup would find it.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

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


def survivors(directory: Path, mark: str) -> list[int]:
    """Pids that still belong to the attempt, ours excepted; zombies are nobody."""
    wanted = f"{MARKER}={mark}".encode()
    lock = str(directory / LOCK) if is_locked(directory) else ""
    return [
        pid
        for pid in _processes()
        if pid != os.getpid() and (wanted in _environment(pid) or _has_open(pid, lock))
    ]


def survey(database: Path, rows: Iterable[Row]) -> dict[int, list[int]]:
    """Who still runs for these attempts of dead daemons: pids by job id, in one look at /proc.

    An isolated child that hangs is known by its daemon alone, so it counts for every attempt of
    that daemon that had begun.
    """
    begun = [row for row in rows if row.worker_id is not None and row.started_at is not None]
    marks = {f"{MARKER}={marker(r.worker_id, r.id, r.attempt)}".encode(): [r.id] for r in begun}
    for row in begun:
        marks.setdefault(f"{OWNER}={row.worker_id}".encode(), []).append(row.id)
    found: dict[int, list[int]] = {}
    for pid in _processes() if begun else ():
        if pid == os.getpid():
            continue
        for job_id in {each for entry in _environment(pid) for each in marks.get(entry, ())}:
            found.setdefault(job_id, []).append(pid)
    for row in begun:
        directory = attempt_directory(database, row.id, row.attempt)
        if row.id not in found and is_locked(directory):
            mark = marker(row.worker_id, row.id, row.attempt)
            found[row.id] = survivors(directory, mark)
    return {job_id: pids for job_id, pids in found.items() if pids}


def end_survivors(
    find: Callable[[], list[int]], kill_grace: float, wait: Callable[[float], object]
) -> list[int]:
    """SIGTERM and SIGCONT to whom `find` finds, SIGKILL after `kill_grace`; who is left."""
    if not _signal_all(find(), signal.SIGTERM, signal.SIGCONT):
        return []
    if not _gone_within(find, kill_grace, wait):
        return []
    _signal_all(find(), signal.SIGKILL)
    return _gone_within(find, KILL_TAKES, wait)


def _gone_within(
    find: Callable[[], list[int]], seconds: float, wait: Callable[[float], object]
) -> list[int]:
    deadline = clock.monotonic() + seconds
    while left := find():
        if clock.monotonic() >= deadline:
            break
        wait(LOOK_EVERY)
    return left


def _signal_all(pids: list[int], *numbers: int) -> bool:
    for pid in pids:
        for number in numbers:
            send(pid, number)
    return bool(pids)


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
