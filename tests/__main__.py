"""All tests, on every core: `python -m tests [-j N] [arguments for pytest]`.

Most tests wait for processes that they started, so one pytest alone leaves the machine half idle.
Here several run side by side, each on one unit of work at a time: the files that start daemons one
by one and the longest first, the quick directories whole.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
QUICK = ("core", "house")
"""Directories that one pytest runs whole."""
LONG = ("systemd/test_service", "daemon/test_isolation", "torture/test_torture", "cli/test_demo",
        "daemon/test_survivors", "misbehaviour/test_handlers", "systemd/test_notify",
        "daemon/test_killed", "misbehaviour/test_database_nonsense", "daemon/test_clock")
"""Begun first, so that nothing long is left for the end."""


@dataclass(frozen=True)
class Unit:
    """What one pytest runs, and what came of it."""

    path: Path
    status: int = 0
    seconds: float = 0.0
    said: str = ""

    @property
    def name(self) -> str:
        return str(self.path.relative_to(HERE.parent))

    @property
    def good(self) -> bool:
        return self.status == 0


def units() -> list[Unit]:
    """The longest first; then file by file, for most of them start daemons."""
    files = sorted(HERE.rglob("test_*.py"), key=lambda path: -path.stat().st_size)
    alone = [path for path in files if path.relative_to(HERE).parts[0] not in QUICK]
    long = [HERE / f"{name}.py" for name in LONG]
    return [Unit(path) for path in (*long, *(HERE / each for each in QUICK),
                                    *(path for path in alone if path not in long))]


def run(unit: Unit, options: list[str]) -> Unit:
    """One pytest in a process of its own, with a directory of its own: by themselves they would
    tidy away each other's. That of a failure stays."""
    began, own = time.monotonic(), tempfile.mkdtemp(prefix="jobd-tests-")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
            f"--basetemp={own}/t", *options, unit.name]
    done = subprocess.run(argv, cwd=HERE.parent, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode == 0:
        shutil.rmtree(own, ignore_errors=True)
    return Unit(unit.path, done.returncode, time.monotonic() - began, done.stdout)


def main() -> int:
    """Run every unit; 1 when one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    parser.add_argument("-j", type=int, default=2 * (os.cpu_count() or 1), metavar="N",
                        help="so many at a time (default: two for each core, for they wait a lot)")
    args, options = parser.parse_known_args()
    began, failed = time.monotonic(), []
    with ThreadPoolExecutor(max_workers=args.j) as pool:
        for future in as_completed([pool.submit(run, unit, options) for unit in units()]):
            unit = future.result()
            last = unit.said.strip().rpartition("\n")[2]
            print(f"{'ok    ' if unit.good else 'FAILED'} {unit.name}: {last}", flush=True)
            skipped = [line for line in unit.said.splitlines() if line.startswith("SKIPPED")]
            print(*skipped, sep="\n", end="\n" * bool(skipped), flush=True)
            if not unit.good:
                failed.append(unit)
    for unit in failed:
        print(f"\n{'=' * 20} {unit.name}\n{unit.said}")
    print(f"{'FAILED' if failed else 'passed'} in {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
