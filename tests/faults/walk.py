"""Walks over all crash points of a command line: one run for each, which is killed there.

An unharmed run tells which points there are, and later runs may tell of more. Two walkers share
them, each in a house of its own with a process that forks (`crashing.py`).
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.daemon.harness import House

CRASHING = Path(__file__).with_name("crashing.py")
WALKERS = 2
KILLED = -signal.SIGKILL
WIDE = bool(os.environ.get("JOBD_TEST_FAULTS_WIDE"))
"""Whether the walks and the crowd take the time they like; the suite's own runs are short."""


@dataclass(frozen=True)
class Run:
    """One process: how it ended, when, and the crash points that it passed."""

    pid: int
    status: int
    at: float
    passed: tuple[str, ...]


class Walker:
    """A house and a server of processes that die in it."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.house = House(root)
        self.house.handlers("")
        self.trace = root / "trace"
        self._server = subprocess.Popen([sys.executable, str(CRASHING)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def run(self, *args: str, fatal: str = "") -> Run:
        """Run `jobd ARGS`; it dies at the crash point `fatal`, if it comes by it."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        request = {"argv": self.house.argv(*args)[3:], "env": self.house.env,
                   "cwd": str(self.house.root), "fatal": fatal, "trace": str(self.trace)}
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        ended = json.loads(self._server.stdout.readline())
        return Run(**ended, passed=tuple(self.trace.read_text().splitlines()))

    def daemon(self, *args: str, fatal: str = "") -> Run:
        """Run the daemon until every job has ended or it dies."""
        words = ("run", "--handlers", "handlers", "--path", str(self.house.code), "--workers", "2")
        return self.run(*words, *args, fatal=fatal)

    def clean(self, *args: str) -> Run:
        """Run the daemon unharmed; it ends well."""
        ended = self.daemon(*args)
        assert ended.status == 0, self.said()
        return ended

    def said(self) -> str:
        return self.output("err")[-3000:] + self.output("out")[-3000:]

    def output(self, stream: str) -> str:
        """What all processes since the last `begin_with` wrote to "out" or "err"."""
        path = Path(f"{self.trace}.{stream}")
        return path.read_text() if path.exists() else ""

    def log(self) -> list[dict[str, Any]]:
        """The whole lines of the logs of all daemons since the last `begin_with`."""
        lines = self.output("out").splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def begin_with(self, template: Path | None) -> None:
        """Forget the last run, and put a copy of this directory's files in the house."""
        house = self.house
        for path in house.root.iterdir():
            if path not in (house.code, house.config_file):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if template is not None:
            shutil.copytree(template, house.root, dirs_exist_ok=True)

    def put_away(self) -> None:
        self._server.communicate()
        self.house.put_away()


def keep(walker: Walker, target: Path) -> Path:
    """Keep what lies in the walker's house now, as that with which each run begins."""
    house = walker.house
    house.queue.close()
    kept = (house.code, house.config_file, house.gates)
    left = {path.name for path in kept} | {"trace", "trace.out", "trace.err", "jobd.db.sock"}
    shutil.copytree(house.root, target, ignore=lambda *_: left)
    return target


@contextmanager
def walkers(root: Path, handlers: str = "", **settings: object) -> Iterator[list[Walker]]:
    """Walkers in houses alike."""
    made = [Walker(root / f"walker{number}") for number in range(WALKERS)]
    try:
        for walker in made:
            walker.house.handlers(handlers)
            walker.house.write_config(**settings)
        yield made
    finally:
        for walker in made:
            walker.put_away()


def walk(
    made: Sequence[Walker], one: Callable[[Walker, str], Run], only: str = ""
) -> list[str]:
    """Call `one(walker, point)` for each crash point that there is; the points where it died.

    With `only`, for those that have this in their names. In the suite's own runs a point that
    comes by many times is taken at its first, second, fifth, eighth, … time.
    """

    def share(walker: Walker, points: Sequence[str]) -> list[tuple[str, Run]]:
        return [(point, one(walker, point)) for point in points]

    seen: dict[str, bool] = {}

    def wanted(points: Sequence[str]) -> list[str]:
        return [p for p in dict.fromkeys(points)
                if only in p and p not in seen and (WIDE or number(p) == 0 or number(p) % 3 == 1)]

    fresh = wanted(one(made[0], "").passed)
    with ThreadPoolExecutor(len(made)) as pool:
        while fresh:
            shares = [fresh[number::len(made)] for number in range(len(made))]
            runs = [each for found in pool.map(share, made, shares) for each in found]
            seen |= {point: run.status == KILLED for point, run in runs}
            fresh = wanted([point for _, run in runs for point in run.passed])
    return [point for point, died in seen.items() if died]


def number(point: str) -> int:
    """How many of its name came before it."""
    return int(point.rpartition(" ")[2])


def names(points: Sequence[str]) -> set[str]:
    """The points without their numbers."""
    return {point.rpartition(" ")[0] for point in points}
