"""One cycle: daemons and producers in a fresh directory, faults, calm, and the evidence."""

import json
import os
import select
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from tests.torture.evidence import (
    TWO_LIVE,
    UNSETTLED,
    Evidence,
    query,
    read_attempts,
    read_batches,
    read_jobs,
    read_notes,
    read_said,
)
from tests.torture.faults import Chaos, WalWatch
from tests.torture.journal import appended
from tests.torture.plan import CHAOS, CONFIG, Plan
from tests.torture.processes import Crowd, marked_processes
from tests.torture.producer import Producer

SETTLES_WITHIN = 25.0
"""Far beyond every window of the configuration; it ends as soon as all have ended."""
LOOK_EVERY = 0.03
TICK = 0.01
ENDS_WITHIN = 20.0
CHAOS_ENDS_WITHIN = 15.0
STARTS_AT_MOST = 60


class Cycle:
    """Runs one plan in `root`."""

    def __init__(self, plan: Plan, root: Path, settles_within: float = SETTLES_WITHIN) -> None:
        self._plan = plan
        self._root = root
        self._settles_within = settles_within
        self._db = root / "jobd.db"
        self._crowd = Crowd(root)
        self.done: list[str] = []
        """The faults that hit someone."""

    def run(self) -> Evidence:
        (self._root / "locks").mkdir()
        (self._root / "jobd.toml").write_text(CONFIG)
        evidence = Evidence(orders=self._plan.orders())
        try:
            self._chaos()
            evidence.unsettled = self._settle()
            evidence.leftovers = self._leftovers(marked_only=True)
            self._count(evidence)
            self._stop()
            evidence.leftovers += self._leftovers(marked_only=False)
        finally:
            self._crowd.end_all()
        self._read(evidence)
        return evidence

    def _chaos(self) -> None:
        began = time.monotonic() + 0.05
        self._keep_two()
        chaos = Chaos(self._crowd, self._plan, began)
        for actions in self._plan.producers:
            work = Producer(str(self._root), actions, began).work
            chaos.producers.append(self._crowd.spawn(work))
        if self._plan.observed:
            self._crowd.spawn(lambda: observe(self._db, self._root))
        watch = WalWatch(self._root)
        try:
            while self._goes_on(chaos, began):
                self._crowd.reap()
                self._keep_two()
                wait = min(TICK, chaos.next_at() - time.monotonic())
                chaos.tick(written=watch.wait(wait))
        finally:
            watch.close()
            chaos.finish()
            self.done = chaos.done

    def _goes_on(self, chaos: Chaos, began: float) -> bool:
        now = time.monotonic()
        if now < began + CHAOS or chaos.next_at() < float("inf"):
            return True
        busy = any(each.status is None for each in chaos.producers)
        return busy and now < began + CHAOS_ENDS_WITHIN

    def _keep_two(self) -> None:
        """One active and one waiting daemon, as a service manager would see to."""
        while len(self._crowd.living()) < 2 and len(self._crowd.daemons) < STARTS_AT_MOST:
            self._start()

    def _start(self) -> None:
        cold = self._plan.cold[len(self._crowd.daemons) % len(self._plan.cold)]
        self._crowd.start_daemon(cold=cold)

    def _settle(self) -> list[str]:
        """Wait until every job has ended and nothing executes; what had not by then."""
        until = time.monotonic() + self._settles_within
        while True:
            self._crowd.reap()
            self._keep_two()
            left = self._unsettled()
            if not left or time.monotonic() >= until:
                return left
            select.select([], [], [], LOOK_EVERY)

    def _unsettled(self) -> list[str]:
        try:
            return [str(dict(row)) for row in query(self._db, UNSETTLED)]
        except sqlite3.DatabaseError as error:
            return [f"the database cannot be read: {error}"]

    def _count(self, evidence: Evidence) -> None:
        status, said = self._crowd.ask("status", "--json")
        with suppress(ValueError, KeyError):
            evidence.counts = dict(json.loads(said)["jobs"])
        if not evidence.counts:
            evidence.counts = {f"status said ({status}) {said[:300]}": 0}

    def _stop(self) -> None:
        """SIGTERM to both; whoever does not end in time is killed, and that shows."""
        for each in self._crowd.living():
            each.send(signal.SIGTERM)
        self._until(lambda: not self._crowd.living(), ENDS_WITHIN)

    def _leftovers(self, *, marked_only: bool) -> list[str]:
        """Processes that are there though all is over; those on their way out are waited for."""
        left: list[str] = []

        def gone() -> bool:
            self._crowd.reap()
            found = marked_processes(self._root)
            ours = {each.pid for each in [*self._crowd.daemons, *self._crowd.others]}
            left[:] = [f"pid {pid} {mark} of an attempt that is over" for pid, mark in found
                       if (mark or not marked_only) and pid not in ours]
            return not left

        self._until(gone, 2.0)
        return left

    def _until(self, holds: Callable[[], bool], seconds: float) -> None:
        until = time.monotonic() + seconds
        while not holds() and time.monotonic() < until:
            self._crowd.reap()
            select.select([], [], [], LOOK_EVERY)

    def _read(self, evidence: Evidence) -> None:
        root = self._root
        evidence.child_faults = any(kind.startswith("child_") for kind in self.done)
        evidence.notes = read_notes(root)
        evidence.said = read_said(root, "acknowledged")
        evidence.seen = read_said(root, "observed")
        evidence.jobs, evidence.attempts = read_jobs(self._db), read_attempts(self._db)
        evidence.batches = read_batches(self._db)
        evidence.daemons = self._crowd.daemons
        for each in self._crowd.daemons:
            evidence.logs[each.pid] = _lines(Path(each.log))
            evidence.errors[each.pid] = "\n".join(_lines(Path(f"{each.log}.err")))
        evidence.errors[0] = "\n".join(_lines(root / "others.err"))
        evidence.integrity = [
            *(str(row[0]) for row in query(self._db, "PRAGMA integrity_check") if row[0] != "ok"),
            *(str(tuple(row)) for row in query(self._db, "PRAGMA foreign_key_check")),
        ]
        status, said = self._crowd.ask("migrate", "verify")
        evidence.schema = said if status else ""


OF_WHOLE_BATCHES = """
    SELECT id, status, attempt FROM job_queue
    WHERE batch_id IS NULL OR batch_id IN (SELECT id FROM batch_jobs WHERE sealed_at IS NOT NULL)
"""
"""Items that their producer was killed amid putting in are taken away again, all of them."""


def observe(db: Path, root: Path) -> None:
    """Look again and again, and note what must never be seen; until it is killed."""
    file, before = appended(f"{root}/observed"), dict[int, tuple[str, int]]()
    while True:
        with suppress(sqlite3.OperationalError):
            if db.exists():
                for seen in look(db, before):
                    os.write(file, json.dumps(seen).encode() + b"\n")
        select.select([], [], [], 0.01)


def look(db: Path, before: dict[int, tuple[str, int]]) -> list[dict[str, object]]:
    """What must never be seen, compared with `before` (id to status and attempt), brought up to
    date."""
    with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True, timeout=1)) as reader:
        rows = reader.execute(OF_WHOLE_BATCHES).fetchall()
        two = reader.execute(TWO_LIVE).fetchall()
    seen: list[dict[str, object]] = [{"two live with": key, "ids": ids} for key, ids in two]
    for job_id, status, attempt in rows:
        old_status, old_attempt = before.get(job_id, ("pending", 0))
        if attempt < old_attempt or (old_status == "completed" and status != "completed"):
            seen.append({"went back": job_id, "from": [old_status, old_attempt],
                         "to": [status, attempt]})
        before[job_id] = (status, attempt)
    gone = set(before) - {row[0] for row in rows}
    return [*seen, *({"vanished": job_id, "was": before.pop(job_id)} for job_id in gone)]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
