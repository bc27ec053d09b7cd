"""`jobd demo`: the whole thing in one minute on real input that every machine has."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from jobd import clock, errors
from jobd.cli.demo_jobs import planned
from jobd.cli.demo_report import judge, print_next, print_report
from jobd.cli.demo_screen import Screen
from jobd.core.lifecycle import LIVE
from jobd.queue import Queue
from jobd.store import overview
from jobd.store.connection import Database
from jobd.store.opening import open_database

LOOK_EVERY = 0.1
GIVE_UP_AFTER = 300.0
MOST_DAEMONS = 4
LONGEST_STOP = 15.0
SETTINGS = """\
[log]
format = "json"
[timing]
kill_grace = "1s"
shutdown_grace = "3s"
"""
MARK = "made-by-jobd-demo"


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "demo",
        help="see it work on real input, in about a minute",
        description="Every .py file of Python's standard library becomes a job that parses it, "
        "and a few jobs get into trouble: one overruns its timeout, one fails twice, one kills "
        "the daemon with SIGKILL. A real daemon runs them as a child process. Exits 0 only if "
        "every job ended where it should.",
    )
    parser.add_argument("--dir", metavar="DIR", help="keep database and log in DIR "
                        "(default: a new directory for temporary files)")
    parser.add_argument("--workers", type=_count, default=4, metavar="N",
                        help="run N jobs at a time")
    parser.add_argument("--files", type=_count, metavar="N", help="only N files, picked evenly")
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 100000")
    return int(text)


@dataclass
class Stage:
    """Where the demo plays: its directory and its daemons, one after the other."""

    directory: Path
    workers: int
    daemon: "subprocess.Popen[bytes] | None" = None
    started: float = field(default_factory=clock.monotonic)
    daemons: int = 0

    @property
    def db(self) -> Path:
        return self.directory / "jobd.db"

    @property
    def log(self) -> Path:
        return self.directory / "jobd.log"

    def start_daemon(self) -> int:
        """The real daemon, as a child: the same command that a person would type."""
        self.daemons += 1
        own_settings = {name: value for name, value in os.environ.items()
                        if not name.startswith("JOBD_")}
        argv = [sys.executable, "-m", "jobd", "--config", str(self.directory / "jobd.toml"),
                "--db", str(self.db), "run", "--handlers", "jobd.cli.demo_handlers",
                "--workers", str(self.workers)]
        with self.log.open("ab") as log:
            self.daemon = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                           env=own_settings, start_new_session=True)
        return self.daemon.pid

    def stop_daemon(self) -> None:
        """Whatever happened, no process stays behind."""
        if self.daemon is None:
            return
        self.daemon.terminate()
        try:
            self.daemon.wait(LONGEST_STOP)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self.daemon.kill()
            self.daemon.wait()


def run(args: argparse.Namespace) -> int:
    """Play the whole thing; 0 when every job ended where it should."""
    stage = Stage(_directory(args.dir), args.workers)
    plan = planned(stage.directory, args.files)
    with Queue(stage.db) as queue:
        ids = queue.enqueue_many((each.job_type, each.payload) for each in plan)
    print(f"{len(ids)} jobs are enqueued in {stage.db}: most parse a source file of Python "
          f"{sys.version.split()[0]}", flush=True)
    with _signals_raise():
        try:
            _until_done(stage, len(ids))
        except KeyboardInterrupt:
            print(f"\nstopping; what is there stays in {stage.directory}", flush=True)
            raise
        finally:
            stage.stop_daemon()
    found = judge(stage.db, stage.log, dict(zip(map(int, ids), plan, strict=True)),
                  deaths=stage.daemons - 1)
    print_report(found, clock.monotonic() - stage.started)
    print_next(found, stage.directory)
    return errors.DONE if found.good else errors.FAILED


def _directory(wanted: str | None) -> Path:
    """A directory of the demo's own, emptied of an earlier demo and of nothing else.

    Raises:
        BadInput: somebody else's database is there.
    """
    directory = Path(wanted or tempfile.mkdtemp(prefix="jobd-demo-")).absolute()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    names = ("jobd.db", "jobd.db-wal", "jobd.db-shm", "jobd.log", "jobd.toml")
    if not (directory / MARK).exists():
        taken = [name for name in names if (directory / name).exists()]
        if taken:
            raise errors.BadInput(
                f"{directory / taken[0]} was not made by a demo: give --dir a directory of its own"
            )
    (directory / MARK).touch()
    for name in names:
        (directory / name).unlink(missing_ok=True)
    (directory / "jobd.toml").write_text(SETTINGS)
    return directory


def _until_done(stage: Stage, total: int) -> None:
    """Show how it goes, and start the daemon again when it is gone.

    Raises:
        JobdError: the daemon does not live, or the jobs do not end.
    """
    screen = Screen(total)
    stage.start_daemon()
    with _watching(stage.db) as database:
        while True:
            counts = overview.counts(database.connection)
            live = sum(counts[status] for status in LIVE)
            screen.show(counts, final=not live)
            if not live:
                return
            if stage.daemon is not None and stage.daemon.poll() is not None:
                _start_again(stage, screen, stage.daemon)
            if clock.monotonic() - stage.started > GIVE_UP_AFTER:
                raise errors.JobdError(f"{live} jobs have not ended after {GIVE_UP_AFTER:.0f} s; "
                                       f"the log is {stage.log}")
            clock.pause(LOOK_EVERY)


def _start_again(stage: Stage, screen: Screen, dead: "subprocess.Popen[bytes]") -> None:
    if dead.returncode != -signal.SIGKILL or stage.daemons >= MOST_DAEMONS:
        last = stage.log.read_text(errors="replace").strip().rpartition("\n")[2]
        raise errors.JobdError(f"the daemon ended with status {dead.returncode}; its log is "
                               f"{stage.log}, and ends with\n{last}")
    screen.say(f"the daemon (pid {dead.pid}) died by SIGKILL, in mid-work")
    screen.say(f"started it again (pid {stage.start_daemon()}): what it had begun is rescued")


@contextmanager
def _watching(path: Path) -> Iterator[Database]:
    database = open_database(path, now=clock.now_ms())
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _signals_raise() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does: with its daemon."""
    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
