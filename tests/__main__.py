"""All tests, on every core: `python -m tests [-j N] [arguments for pytest]`.

Most tests wait for processes that they started, so one pytest alone leaves the machine half idle.
Here several run side by side, each on one unit of work at a time: the files that start daemons one
by one and the longest first, the quick directories whole.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
LONGEST_FIRST = ("systemd", "torture", "faults", "misbehaviour", "daemon")
MARKS = {0: "ok    ", 5: "empty "}


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
        return self.status in MARKS


def units() -> Iterator[Unit]:
    """Directories that start daemons by file, the others whole."""
    for directory in LONGEST_FIRST:
        files = sorted((HERE / directory).glob("test_*.py"), key=lambda path: -path.stat().st_size)
        yield from (Unit(path) for path in files)
    rest = [path for path in sorted(HERE.iterdir()) if path.name not in LONGEST_FIRST]
    yield from (Unit(path) for path in rest if path.name.startswith("test_")
                or (path.is_dir() and any(path.glob("test_*.py"))))


def run(unit: Unit, options: list[str]) -> Unit:
    """One pytest in a process of its own."""
    began = time.monotonic()
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, unit.name]
    done = subprocess.run(argv, cwd=HERE.parent, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return Unit(unit.path, done.returncode, time.monotonic() - began, done.stdout)


def main() -> int:
    """Run every unit; 1 when one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    parser.add_argument("-j", type=int, default=os.cpu_count() or 2, metavar="N",
                        help="so many at a time (default: one for each core)")
    args, options = parser.parse_known_args()
    began, failed = time.monotonic(), []
    with ThreadPoolExecutor(max_workers=args.j) as pool:
        for future in as_completed([pool.submit(run, unit, options) for unit in units()]):
            unit = future.result()
            last = unit.said.strip().rpartition("\n")[2]
            print(f"{MARKS.get(unit.status, 'FAILED')} {unit.name}: {last}", flush=True)
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
