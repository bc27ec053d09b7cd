"""`jobd demo`: the whole thing in one minute on real input that every machine has."""

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from jobd import clock
from jobd.cli.demo_report import judge, print_report
from jobd.core.lifecycle import COMPLETED, LIVE, JobStatus
from jobd.queue import Queue
from jobd.store import overview
from jobd.store.connection import Database
from jobd.store.opening import open_database

BAR_WIDTH = 30
LOOK_EVERY = 0.1
SAY_EVERY = 2.0
KILL_AFTER = 0.3
GIVE_UP_AFTER = 300.0
LONGEST_STOP = 15.0


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "demo",
        help="see it work on real input, in about a minute",
        description="Every .py file of Python's standard library becomes a job that parses it. "
        "A real daemon runs them as a child process, is killed with SIGKILL in mid-work, and "
        "started again. Exits 0 only if every job ended where it should.",
    )
    parser.add_argument("--dir", metavar="DIR", help="keep database and log in DIR "
                        "(default: a new directory for temporary files)")
    parser.add_argument("--workers", type=int, default=4, metavar="N", help="run N jobs at a time")
    parser.add_argument("--files", type=int, metavar="N", help="only N files, picked evenly")
    parser.set_defaults(run=run)


@dataclass
class Stage:
    """Where the demo plays: its directory, its daemon, and what it has seen."""

    directory: Path
    workers: int
    started: float = field(default_factory=clock.monotonic)
    daemons: int = 0
    killed: int = 0

    @property
    def db(self) -> Path:
        return self.directory / "jobd.db"

    @property
    def log(self) -> Path:
        return self.directory / "jobd.log"

    def start_daemon(self) -> "subprocess.Popen[bytes]":
        """The real daemon, as a child: the same command that a person would type."""
        self.daemons += 1
        own_settings = {name: value for name, value in os.environ.items()
                        if not name.startswith("JOBD_")}
        argv = [sys.executable, "-m", "jobd", "--config", str(self.directory / "jobd.toml"),
                "--db", str(self.db), "run", "--handlers", "jobd.cli.demo_handlers",
                "--workers", str(self.workers)]
        with self.log.open("ab") as log:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    env=own_settings, start_new_session=True)


def run(args: argparse.Namespace) -> int:
    directory = Path(args.dir or tempfile.mkdtemp(prefix="jobd-demo-")).absolute()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    stage = Stage(directory, args.workers)
    _prepare(stage)
    paths = _evenly(source_files(), args.files)
    with Queue(stage.db) as queue:
        ids = queue.enqueue_many([("inspect_source", {"path": path}) for path in paths])
    print(f"{len(ids)} source files of Python {sys.version.split()[0]} are jobs now, in {stage.db}")
    _play(stage, list(map(int, ids)))
    verdict = judge(stage.db, stage.log, dict(zip(map(int, ids), paths, strict=True)))
    print_report(verdict, stage.db, stage.log, clock.monotonic() - stage.started, stage.killed)
    return 0 if verdict.good else 1


def source_files() -> list[str]:
    """Every .py file below the standard library, other people's packages left out."""
    root = Path(sysconfig.get_path("stdlib"))
    found = (path for path in root.rglob("*.py") if "site-packages" not in path.parts)
    return sorted(str(path) for path in found if path.is_file())


def _evenly(paths: list[str], count: int | None) -> list[str]:
    """`count` of the paths, spread over all of them."""
    if count is None or count >= len(paths):
        return paths
    return [paths[index * len(paths) // count] for index in range(max(count, 1))]


def _prepare(stage: Stage) -> None:
    """A second run in the same directory begins anew, and reads no configuration but its own."""
    for name in ("jobd.db", "jobd.db-wal", "jobd.db-shm", "jobd.log"):
        (stage.directory / name).unlink(missing_ok=True)
    (stage.directory / "jobd.toml").write_text('[log]\nformat = "json"\n')


def _play(stage: Stage, ids: list[int]) -> None:
    daemon = stage.start_daemon()
    try:
        with _watching(stage.db) as database:
            daemon = _until_done(stage, database, daemon, len(ids))
    finally:
        _stop(daemon)


def _until_done(
    stage: Stage,
    database: Database,
    daemon: "subprocess.Popen[bytes]",
    total: int,
) -> "subprocess.Popen[bytes]":
    """Show how it goes; kill the daemon once, and start it again whenever it is gone."""
    screen = _Screen(total)
    while True:
        counts = overview.counts(database.connection)
        live = sum(counts[status] for status in LIVE)
        screen.show(counts, final=not live)
        if not live or clock.monotonic() - stage.started > GIVE_UP_AFTER:
            return daemon
        if not stage.killed and counts[COMPLETED] > KILL_AFTER * total:
            stage.killed += 1
            daemon.kill()
            daemon.wait()
            screen.say(f"killed the daemon (pid {daemon.pid}) with SIGKILL in mid-work")
        if daemon.poll() is not None:
            daemon = stage.start_daemon()
            screen.say(f"started the daemon again (pid {daemon.pid})")
        clock.pause(LOOK_EVERY)


@contextmanager
def _watching(path: Path) -> Iterator[Database]:
    database = open_database(path, now=clock.now_ms())
    try:
        yield database
    finally:
        database.close()


def _stop(daemon: "subprocess.Popen[bytes]") -> None:
    """Whatever happened, no process stays behind."""
    daemon.terminate()
    try:
        daemon.wait(LONGEST_STOP)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        daemon.kill()
        daemon.wait()


class _Screen:
    """A progress bar on a terminal, plain lines without one."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._terminal = sys.stdout.isatty()
        self._said_at = -SAY_EVERY

    def show(self, counts: dict[JobStatus, int], *, final: bool) -> None:
        words = "  ".join(f"{status} {count}" for status, count in counts.items() if count)
        if self._terminal:
            done = self._total - sum(counts[status] for status in LIVE)
            filled = round(BAR_WIDTH * done / max(self._total, 1))
            print(f"\r[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {words}\x1b[K", end="",
                  flush=True)
            if final:
                print()
        elif final or clock.monotonic() - self._said_at >= SAY_EVERY:
            self._said_at = clock.monotonic()
            print(words, flush=True)

    def say(self, sentence: str) -> None:
        print(f"\r{sentence}\x1b[K" if self._terminal else sentence, flush=True)
