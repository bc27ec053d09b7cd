"""Doing what the plan says to daemons, their children, producers, the lock and the clock."""

import ctypes
import heapq
import os
import select
import signal
import sqlite3
import struct
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from tests.torture.plan import STEPS, Fault, Plan
from tests.torture.processes import Crowd, Incarnation, children_of

IN_MODIFY = 2
NOBODY_WAITS = 0.02
TRIES = 15


class WalWatch:
    """Readable when somebody writes to the write-ahead log."""

    def __init__(self, root: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0 or libc.inotify_add_watch(self.fd, bytes(root), IN_MODIFY) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def wait(self, seconds: float) -> bool:
        """Whether it was written to within this time; other files only shorten the wait."""
        select.select([self.fd], [], [], max(seconds, 0.0))
        with suppress(BlockingIOError):
            return b"jobd.db-wal\0" in os.read(self.fd, 65536)
        return False

    def close(self) -> None:
        os.close(self.fd)


class WallClock:
    """The offset of everyone's wall clock, where the harness runs under the shim."""

    def __init__(self) -> None:
        self._file = os.environ.get("CLOCK_SHIM")
        self._highest = 0.0
        self.step_to(0.0)

    def step_to(self, seconds: float) -> None:
        self._highest = max(self._highest, seconds)
        if self._file:
            descriptor = os.open(self._file, os.O_WRONLY)
            os.pwrite(descriptor, struct.pack("=q", round(seconds * 1e9)), 0)
            os.close(descriptor)

    def settle(self) -> None:
        """As late as it ever was, so that all is due that anyone was told to wait for."""
        self.step_to(self._highest)


class Chaos:
    """Fires the plan's faults as their time comes; single-threaded, called by the cycle."""

    def __init__(self, crowd: Crowd, plan: Plan, began: float) -> None:
        self.crowd = crowd
        self.producers: list[Incarnation] = []
        self.done: list[str] = []
        self.clock = WallClock()
        self._began = began
        self._aimed = [fault for fault in plan.faults if fault.lag is not None]
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0
        for fault in plan.faults:
            if fault.lag is None:
                self._at(began + fault.at, partial(self._fire, fault))

    def next_at(self) -> float:
        return self._due[0][0] if self._due else float("inf")

    def tick(self, *, written: bool) -> None:
        """Do what is due; `written` when the database was just written to."""
        now = time.monotonic()
        for fault in [each for each in self._aimed if written and now >= self._began + each.at]:
            self._aimed.remove(fault)
            self._at(now + (fault.lag or 0.0), partial(self._fire, fault))
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()

    def finish(self) -> None:
        """No more faults: what was begun comes to its end."""
        self._aimed.clear()
        while self._due:
            heapq.heappop(self._due)[2]()
        self.clock.settle()

    def _at(self, moment: float, call: Callable[[], object]) -> None:
        self._count += 1
        heapq.heappush(self._due, (moment, self._count, call))

    def _later(self, seconds: float, call: Callable[[], object]) -> None:
        self._at(time.monotonic() + seconds, call)

    def _fire(self, fault: Fault, tries: int = TRIES) -> None:
        kind = fault.kind
        if kind == "lock":
            self._lock(fault)
        elif kind == "clock":
            self.clock.step_to(STEPS[fault.pick % len(STEPS)])
            self.done.append(kind)
        elif kind.startswith("child_"):
            self._to_child(fault, tries)
        else:
            victims = self._victims(kind)
            if victims:
                self.done.append(kind)
            for victim in victims:
                self._do(kind.removeprefix("producer_"), victim, fault.seconds)

    def _victims(self, kind: str) -> list[Incarnation]:
        living, active = self.crowd.living(), self.crowd.active()
        match kind:
            case "kill_both":
                return living
            case "kill_waiting":
                return [each for each in living if each is not active][:1]
            case _ if kind.startswith("producer_"):
                return [each for each in self.producers if each.status is None][:1]
        return [active] if active else living[:1]

    def _do(self, what: str, victim: Incarnation, seconds: float) -> None:
        match what:
            case "kill" | "kill_twice" | "kill_waiting" | "kill_both":
                victim.send(signal.SIGKILL)
            case "freeze":
                victim.freeze()
                self._later(seconds, victim.thaw)
            case "freeze_kill":
                victim.freeze()
                self._later(seconds, lambda: victim.send(signal.SIGKILL))
            case "term" | "term_twice" | "term_kill":
                victim.send(signal.SIGTERM)
        if what == "kill_twice":
            self._later(seconds, self._kill_successor)
        if what == "term_twice":
            self._later(seconds, lambda: victim.send(signal.SIGTERM))
        if what == "term_kill":
            self._later(seconds, lambda: victim.send(signal.SIGKILL))

    def _kill_successor(self) -> None:
        """Maybe in the middle of its rescue of what the first one left."""
        successor = self.crowd.active()
        if successor is not None:
            successor.send(signal.SIGKILL)

    def _to_child(self, fault: Fault, tries: int) -> None:
        """The same to a child of the daemon; when it has none yet, a little later."""
        active = self.crowd.active()
        found = children_of(active.pid) if active else []
        if not found:
            if tries:
                self._later(NOBODY_WAITS, lambda: self._fire(fault, tries - 1))
            return
        pid, kind = found[fault.pick % len(found)], fault.kind
        self.done.append(kind)
        first = {"child_kill": signal.SIGKILL, "child_freeze": signal.SIGSTOP}
        _send(pid, first.get(kind, signal.SIGTERM))
        if kind == "child_freeze":
            self._later(fault.seconds, lambda: _send(pid, signal.SIGCONT))
        if kind == "child_term_twice":
            self._later(fault.seconds, lambda: _send(pid, signal.SIGTERM))

    def _lock(self, fault: Fault) -> None:
        path = self.crowd.root / "jobd.db"
        if path.exists():
            self.crowd.spawn(lambda: hold_lock(path, fault.seconds))
            self.done.append(fault.kind)


def hold_lock(path: Path, seconds: float) -> None:
    """Hold SQLite's write lock for a while, as a careless program would."""
    with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        select.select([], [], [], seconds)
        db.execute("ROLLBACK")


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
