"""The side file: what really ran, told by what ran it, each line one write() with O_APPEND.

Nothing here imports jobd: the programs of command jobs use it too, in an interpreter of their own.
Times are CLOCK_MONOTONIC, which all processes of the machine share and no one can step.
"""

import fcntl
import glob
import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager

BEGAN, ENDED, TWO_AT_ONCE, KILLS, SAVED, RESUMED = "S", "E", "X", "K", "C", "R"
RETURNED = "ok"
DYING_TAKES = 5.0


class Journal:
    """Appends lines about attempts, and proves by locks that no two of a job overlap."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._file = appended(f"{root}/journal")

    def note(self, kind: str, job_id: int, attempt: int, how: object = "-") -> None:
        """What happened to which attempt, in which process, when."""
        line = f"{kind} {job_id} {attempt} {os.getpid()} {time.monotonic():.6f} {how}".encode()
        # A multiple of 64 bytes: SIGKILL ends a write() at the end of a page.
        os.write(self._file, line.ljust(len(line) // 64 * 64 + 63) + b"\n")

    @contextmanager
    def attempt(self, job_id: int, attempt: int, *, inherited: bool = False) -> Iterator[None]:
        """The lines around an attempt, which holds its job's lock for as long as it executes.

        The kernel frees the lock when the process dies; an `inherited` one when all have died that
        were forked meanwhile.
        """
        self.note(BEGAN, job_id, attempt)
        lock = self._hold(job_id, attempt, inherited)
        try:
            yield
        except BaseException as error:
            self.note(ENDED, job_id, attempt, type(error).__name__)
            raise
        else:
            self.note(ENDED, job_id, attempt, RETURNED)
        finally:
            _let_go(lock, everywhere=not inherited)

    def _hold(self, job_id: int, attempt: int, inherited: bool) -> int:
        lock = os.open(self.lock_of(job_id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.set_inheritable(lock, inherited)
        if not self._is_alone(lock, job_id) or not self._programs_are_gone(job_id):
            self.note(TWO_AT_ONCE, job_id, attempt)
        return lock

    def _is_alone(self, lock: int, job_id: int) -> bool:
        """Whether no one else executes the job.

        A killed process runs nothing any more, but on a busy machine the kernel may close its
        files, jobd's lock first, over tens of milliseconds. It shows none of them in /proc then.
        """
        return _locked(lock) or (not _is_open(self.lock_of(job_id), lock) and _locked_soon(lock))

    def _programs_are_gone(self, job_id: int) -> bool:
        try:
            lock = os.open(f"{self.lock_of(job_id)}.run", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            return _locked(lock) or (
                not _is_open(f"{self.lock_of(job_id)}.run", lock) and _locked_soon(lock))
        finally:
            _let_go(lock, everywhere=True)

    def belong(self, job_id: int) -> int:
        """Held by a program that a handler runs, and by all that it forks."""
        lock = os.open(f"{self.lock_of(job_id)}.run", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)
        return lock

    def lock_of(self, job_id: int) -> str:
        return f"{self._root}/locks/{job_id}"


def appended(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _let_go(lock: int, *, everywhere: bool) -> None:
    """Close it; `everywhere` unlocks it first, because a child that another thread has just forked,
    and that has not come to its exec, holds a copy."""
    if everywhere:
        fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)


def _is_open(path: str, but_for: int) -> bool:
    """Whether anyone holds this file open, by another descriptor than this one of ours."""
    ours = f"/proc/{os.getpid()}/fd/{but_for}"
    for link in glob.iglob("/proc/[0-9]*/fd/*"):
        try:
            if link != ours and os.readlink(link) == os.path.realpath(path):
                return True
        except OSError:
            continue
    return False


def _locked_soon(lock: int) -> bool:
    """Whether the lock can be had once a dying process has closed its files."""
    until = time.monotonic() + DYING_TAKES
    while not _locked(lock):
        if time.monotonic() >= until:
            return False
        select.select([], [], [], 0.001)
    return True


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
