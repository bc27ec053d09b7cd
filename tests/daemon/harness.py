"""Drives the real daemon from outside: argv, signals, files and its log; nothing of its insides.

A `House` is one directory with a database, a configuration and handlers; `RunningDaemon` is one
process on it. Tests wait for lines of the log with a deadline, never for time to pass. What really
ran is told by the handlers' own journal, one write() a line, and not by the database.
"""

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any
from unittest import mock

import jobd
from jobd.cli.main import main
from tests.daemon.warm import Starter

DEADLINE = 20.0
"""No event takes this long; a test that waits longer has failed."""

SHORT_TIMINGS: Mapping[str, object] = {
    "timing.sweep_interval": "100ms",
    "timing.heartbeat": "200ms",
    "timing.kill_grace": "300ms",
    "timing.zombie_hold": "1s",
    "timing.shutdown_grace": "1s",
    "retry.default.initial_delay": "50ms",
    "retry.default.jitter": 0,
}

BEATS = ("worker.heartbeat", "pool.health")

LIVE = ("pending", "running", "timeout", "zombie", "retrying")

WITNESS = Path(__file__).with_name("witness.py")

Record = dict[str, Any]


class Lines:
    """What a pipe said so far, line by line, for those who wait for a line of it."""

    def __init__(self, stream: Any, parse: Callable[[bytes], Any]) -> None:
        self.seen: list[Any] = []
        self.ended = False
        self._parse = parse
        self._stream = stream
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for raw in self._stream:
            line = self._parse(raw)
            with self._news:
                self.seen.append(line)
                self._news.notify_all()
        self._stream.close()
        with self._news:
            self.ended = True
            self._news.notify_all()

    def first(self, fits: Callable[[Any], bool], start: int, deadline: float) -> int | None:
        """Where the first line from `start` on is that fits; None when it does not come."""
        until = time.monotonic() + deadline
        position = start
        with self._news:
            while True:
                while position < len(self.seen):
                    if fits(self.seen[position]):
                        return position
                    position += 1
                left = until - time.monotonic()
                if self.ended or left <= 0:
                    return None
                self._news.wait(left)

    def join(self, deadline: float = DEADLINE) -> None:
        """Wait until the other end has closed the pipe."""
        self._thread.join(deadline)
        assert not self._thread.is_alive(), "the daemon is gone, but something holds its output"


class RunningDaemon:
    """One `jobd run` process, its log and its standard error."""

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, *, read_log: bool = True,
        cold: bool = False,
    ) -> None:
        self.process = Starter.start(argv, env, cwd, cold=cold or "LD_PRELOAD" in env)
        self.pid = self.process.pid
        self._stderr = Lines(self.process.stderr, lambda raw: raw.decode().rstrip("\n"))
        self._log: Lines | None = None
        if read_log:
            self.read_log()

    def read_log(self) -> None:
        """Begin to read standard output; a daemon started with `read_log=False` fills its pipe."""
        self._log = Lines(self.process.stdout, _object)

    @property
    def stderr(self) -> str:
        return "\n".join(self._stderr.seen)

    @property
    def log(self) -> list[Record]:
        """The lines so far."""
        return list(self._log.seen) if self._log else []

    def events(self, event: str, **keys: Any) -> list[Record]:
        """The lines so far that are this event and carry these keys."""
        return [line for line in self.log if _carries(line, {"event": event, **keys})]

    def wait_ready(self) -> "RunningDaemon":
        self.wait_for("daemon.ready")
        return self

    def wait_for(
        self, event: str, *, after: Record | None = None, deadline: float = DEADLINE, **keys: Any
    ) -> Record:
        """The first line with this event and keys, from the start or `after` an earlier line."""
        assert self._log is not None
        wanted = {"event": event, **keys}
        start = 0 if after is None else _position(self._log.seen, after) + 1
        found = self._log.first(lambda line: _carries(line, wanted), start, deadline)
        if found is None:
            raise AssertionError(f"{wanted} did not come; {self.account()}")
        return dict(self._log.seen[found])

    def next_beat(self, beat: Record | None) -> Record | None:
        """The heartbeat after this one; None when the daemon has died, and then it is reaped."""
        try:
            return self.wait_for("pool.health", after=beat)
        except AssertionError:
            assert self._log is not None
            if not self._log.ended:
                raise
        self.exit_status()
        return None

    def wait_for_all(self, event: str, ids: Sequence[int], deadline: float = DEADLINE) -> None:
        """Wait until there is a line with this event for each of these jobs."""
        assert self._log is not None
        missing = set(ids)

        def fits(line: Record) -> bool:
            if line.get("event") == event:
                missing.discard(line.get("job_id", 0))
            return not missing

        if missing and self._log.first(fits, 0, deadline) is None:
            raise AssertionError(f"no {event} of {sorted(missing)}; {self.account()}")

    def wait_stderr(self, text: str, deadline: float = DEADLINE) -> str:
        """The first line of standard error that has `text` in it."""
        found = self._stderr.first(lambda line: text in line, 0, deadline)
        if found is None:
            raise AssertionError(f"{text!r} did not come on stderr; {self.account()}")
        return str(self._stderr.seen[found])

    def stays_silent(self, seconds: float) -> bool:
        """Whether nothing at all is logged in this time."""
        assert self._log is not None
        return self._log.first(lambda _: True, len(self._log.seen), seconds) is None

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until the kernel has it."""
        self.signal(signal.SIGKILL)
        self.process.wait(DEADLINE)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.signal(signal.SIGTERM)
        return self.exit_status()

    def freeze(self) -> None:
        """SIGSTOP, and wait until it is stopped."""
        self.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def exit_status(self, deadline: float = DEADLINE) -> int:
        """Wait for the end; the exit status, negative for a signal. The log is complete then."""
        try:
            status = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end; {self.account()}") from None
        self._stderr.join()
        if self._log is not None:
            self._log.join()
        return status

    def account(self) -> str:
        """What there is to say of it when a test fails."""
        state = self.process.poll()
        told = [line for line in self.log if line.get("event") not in BEATS]
        tail = "\n".join(repr(line)[:400] for line in told[-15:])
        return (f"pid {self.pid}, {'alive' if state is None else f'exit {state}'}; its stderr:\n"
                f"{self.stderr[-3000:]}\nthe end of its log:\n{tail}")

    def forged(self) -> list[Record]:
        """Lines of standard output that are no JSON object; the last one of a killed daemon may
        have been cut."""
        lines = self.log[:-1] if self.process.returncode == -signal.SIGKILL else self.log
        return [line for line in lines if set(line) == {"no object"}]

    def put_away(self) -> None:
        """End it whatever it does, at the end of a test."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE)
        if self._log is None:
            assert self.process.stdout is not None
            self.process.stdout.close()


@dataclass(frozen=True)
class Span:
    """One attempt as its handler saw it; times on the clock that all processes share."""

    job_id: int
    attempt: int
    pid: int
    began: float
    ended: float | None
    how: str | None


@dataclass
class House:
    """One directory: database, configuration, handlers, journal, and the daemons on them."""

    root: Path
    config: dict[str, object] = field(default_factory=lambda: dict(SHORT_TIMINGS))
    daemons: list[RunningDaemon] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.db = self.root / "jobd.db"
        self.config_file = self.root / "jobd.toml"
        self.journal = self.root / "journal"
        self.gates = self.root / "gates"
        self.gates.mkdir()
        self.code = self.root / "code"
        self.code.mkdir()
        (self.code / "witness.py").write_text(WITNESS.read_text())
        kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBD_")}
        self.env = {**kept, "HOME": str(self.root), "WITNESS_ROOT": str(self.root)}
        self._queue: jobd.Queue | None = None
        self.write_config()

    # The daemon.

    def handlers(self, source: str, module: str = "handlers") -> None:
        """Write the handlers' module; everything in `witness` is there already."""
        head = "import os, signal, sys, threading, time\nimport jobd\nfrom witness import *\n"
        (self.code / f"{module}.py").write_text(head + source)

    def write_config(self, **settings: object) -> None:
        """Write the configuration file: the short timings, and `a__b` for the setting a.b."""
        given = {name.replace("__", "."): value for name, value in settings.items()}
        self.config |= given
        self.config_file.write_text(
            "".join(f"{name} = {json.dumps(value)}\n" for name, value in self.config.items())
        )

    def argv(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "jobd", "--config", str(self.config_file), "--db",
                str(self.db), *args]

    def launch(
        self, *args: str, module: str = "handlers", read_log: bool = True, cold: bool = False,
        env: Mapping[str, str] | None = None, **settings: object,
    ) -> RunningDaemon:
        """Start a daemon and return at once; `cold` from nothing, imports and all."""
        self.write_config(**settings)
        argv = self.argv("run", "--handlers", module, "--path", str(self.code), *args)
        return self.run(argv, {**self.env, **(env or {})}, read_log=read_log, cold=cold)

    def run(
        self, argv: Sequence[str], env: Mapping[str, str], *, read_log: bool = True,
        cold: bool = True,
    ) -> RunningDaemon:
        """Start a daemon by its whole command line, in the house's directory."""
        daemon = RunningDaemon(argv, env, self.root, read_log=read_log, cold=cold)
        self.daemons.append(daemon)
        return daemon

    def start(self, *args: str, **options: Any) -> RunningDaemon:
        """Start a daemon and wait until it is ready."""
        return self.launch(*args, **options).wait_ready()

    # Asking, as a user does.

    def cli(self, *args: str, expect: int = 0) -> str:
        """Run a verb of the command line; its standard output. `said` keeps what it complained of.

        In this process, which is forty times faster than in one of its own.
        """
        out, err = io.StringIO(), io.StringIO()
        with (
            redirect_stdout(out), redirect_stderr(err),
            mock.patch.dict(os.environ, self.env, clear=True),
        ):
            status = main(self.argv(*args)[3:])
        self.said = err.getvalue()
        assert status == expect, (args, status, out.getvalue(), self.said)
        return out.getvalue()

    def cli_json(self, *args: str, expect: int = 0) -> Any:
        return json.loads(self.cli(*args, "--json", expect=expect))

    @property
    def queue(self) -> jobd.Queue:
        if self._queue is None:
            self._queue = jobd.Queue(self.db)
        return self._queue

    def enqueue(self, job_type: str, payload: Record | None = None, **options: Any) -> int:
        return int(self.queue.enqueue(job_type, payload, **options))

    def job(self, job_id: int) -> Record:
        """The row as it stands in the file: payload and result are JSON text, times are ms."""
        return dict(self.rows("SELECT * FROM job_queue WHERE id = ?", job_id)[0])

    def wait_until_all_ended(self, daemon: RunningDaemon, deadline: float = 30) -> bool:
        """Look with each heartbeat whether every job has ended; False when the daemon died."""
        until, beat = time.monotonic() + deadline, None
        while daemon.process.poll() is None:
            if self.all_ended():
                return True
            assert time.monotonic() < until, daemon.account()
            beat = daemon.next_beat(beat)
        return False

    def all_ended(self) -> bool:
        return not self.rows(f"SELECT id FROM job_queue WHERE status IN {LIVE} LIMIT 1")

    def status(self, job_id: int) -> str:
        return str(self.job(job_id)["status"])

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        """What plain SQLite reads in the file."""
        with closing(sqlite3.connect(self.db, timeout=10)) as db:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA wal_autocheckpoint = 0")
            return db.execute(query, values).fetchall()

    def attempts(self, job_id: int) -> list[sqlite3.Row]:
        return self.rows("SELECT * FROM job_attempts WHERE job_id = ? ORDER BY attempt", job_id)

    # What the handlers wrote, and the gates at which they wait.

    def notes(self) -> list[list[str]]:
        """The journal's lines, as words."""
        if not self.journal.exists():
            return []
        return [line.split() for line in self.journal.read_text().splitlines()]

    def spans(self, job_id: int | None = None) -> list[Span]:
        """The attempts in the order in which they began."""
        found: dict[tuple[int, int, int], Span] = {}
        for kind, job, attempt, pid, at, *how in self.notes():
            key = (int(job), int(attempt), int(pid))
            if kind == "begin":
                assert key not in found, f"attempt {attempt} of job {job} was started twice"
                found[key] = Span(*key, float(at), None, None)
            elif kind == "end":
                found[key] = Span(*key, found[key].began, float(at), how[0])
        return [span for span in found.values() if job_id in (None, span.job_id)]

    def gate(self, name: str) -> "Gate":
        """A gate at which handlers wait with `wait_at(name)`, made shut."""
        path = self.gates / name
        os.mkfifo(path)
        return Gate(path)

    def put_away(self) -> None:
        if self._queue is not None:
            self._queue.close()
        for daemon in self.daemons:
            daemon.put_away()
        assert [line for daemon in self.daemons for line in daemon.forged()] == []

    def __enter__(self) -> "House":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.put_away()


@dataclass(frozen=True)
class Gate:
    """A fifo: who waits at it sits in a system call that nothing of Python can interrupt."""

    path: Path

    def open(self) -> None:
        """Let through whoever waits now, and whoever comes later."""
        hold = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        _held_open.append(hold)


_held_open: list[int] = []


def close_gates() -> None:
    while _held_open:
        os.close(_held_open.pop())


def most_at_once(spans: Sequence[Span]) -> int:
    """How many of these attempts ran at the same time, at most."""
    edges = [(span.began, 1) for span in spans]
    edges += [(span.ended, -1) for span in spans if span.ended is not None]
    running = most = 0
    for _, step in sorted(edges):
        running += step
        most = max(most, running)
    return most


def overlaps(spans: Sequence[Span], deaths: Mapping[int, float]) -> list[tuple[Span, Span]]:
    """Pairs of attempts of one job that ran at the same time.

    An attempt without an end lasted until its process died; `deaths` says when, by pid.
    """
    def end(span: Span) -> float:
        return deaths.get(span.pid, float("inf")) if span.ended is None else span.ended

    by_job: dict[int, list[Span]] = {}
    for span in sorted(spans, key=lambda each: each.began):
        by_job.setdefault(span.job_id, []).append(span)
    return [
        (one, other)
        for of_one_job in by_job.values()
        for one, other in pairwise(of_one_job)
        if other.began < end(one)
    ]


def _object(raw: bytes) -> Record:
    """One line of the log; what is no JSON object is kept to be complained of."""
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"no object": raw}


def _carries(line: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(line.get(key) == value for key, value in wanted.items())


def _position(lines: Sequence[Any], line: Mapping[str, Any]) -> int:
    return next(i for i, each in enumerate(lines) if each == line)

