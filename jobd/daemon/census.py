"""How many threads and open files a process has, and whether handlers have leaked too many."""

import errno
import os
import resource
import threading
from collections.abc import Mapping
from typing import Any

from jobd.core.config import Pool
from jobd.daemon.worker import WorkerPool

BETWEEN = 2.0
"""Seconds between two looks into the directories that tell what handlers leak."""


def threads() -> int:
    """The threads of this process, Python's and others."""
    return _entries("/proc/self/task") or threading.active_count()


def open_files() -> int:
    """The files that this process has open; as many as it may have when one more is refused."""
    return _entries("/proc/self/fd") or file_limit()


def file_limit() -> int:
    """How many files this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Census:
    """Whether this process has too much of what runs out."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._next_look = 0.0

    def exhausted(self, limits: Pool, now: float) -> Mapping[str, Any]:
        """The keys of `pool.exhausted`: each count that is above its limit, and that limit.

        Threads and files are counted every two seconds; `now` is monotonic.
        """
        counts = [("stuck", self._pool.stuck_count(), "max_stuck_threads",
                   limits.max_stuck_threads)]
        if now >= self._next_look:
            self._next_look = now + BETWEEN
            most_files = min(round(limits.max_open_files * file_limit()), file_limit() - 1)
            counts += [
                ("threads", threads(), "max_threads", limits.max_threads),
                ("open_files", open_files(), "max_open_files", most_files),
            ]
        return {
            name: value
            for what, count, limit, most in counts if count > most
            for name, value in ((what, count), (limit, most))
        }


def said(too_many: Mapping[str, Any]) -> str:
    """What `exhausted` found, in words."""
    what, limit, *_ = too_many
    names = {"stuck": f"{'thread' if too_many[what] == 1 else 'threads'} that would not stop"}
    has = f"{too_many[what]} {names.get(what, what.replace('_', ' '))}"
    return f"it had {has}, and pool.{limit} allows {too_many[limit]}"


def worn(max_threads: int, max_open_files: float) -> str | None:
    """Why a child process should not run another job; None while it may.

    It asks after every job and so counts no files: all numbers below the lowest that is free are
    taken.
    """
    if threading.active_count() > max_threads:
        return f"{threading.active_count()} threads"
    try:
        lowest = os.dup(0)
        os.close(lowest)
    except OSError as error:
        lowest = file_limit() if error.errno == errno.EMFILE else 0
    return f"{lowest} open files" if lowest > round(max_open_files * file_limit()) else None


def _entries(directory: str) -> int:
    try:
        return len(os.listdir(directory))
    except OSError:
        return 0
