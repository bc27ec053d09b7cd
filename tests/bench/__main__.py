"""`python -m tests.bench`: jobd beside its peers and beside SQLite itself, in turn on one disk.

Every job must have run exactly once, or the run fails. Figures are medians over the repetitions
with the least and the most; a ratio is the median of the ratios of runs that stood side by side.
"""

import argparse
import json
import platform
import sqlite3
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tests.bench.batches import BATCHES
from tests.bench.contest import Arena, Figures, Wrong
from tests.bench.report import as_table, summary
from tests.bench.workloads import WORKLOADS, Workload

EVERYTHING = (*WORKLOADS, *BATCHES)
PEERS = ("huey", "litequeue", "persist-queue")


def main() -> int:
    """Run the workloads asked for; 1 when one of them did not do its work exactly once."""
    args = _arguments()
    chosen = [each for each in EVERYTHING if not args.only or each.name in args.only]
    if args.quick:
        chosen = [each for each in chosen if each.quick is not None]
    arena = Arena(None if args.without_peers else _peers(args.peers))
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
          f"{args.repetitions} repetitions", flush=True)
    found = {}
    for workload in chosen:
        try:
            runs = _compete(arena, workload, args)
        except Wrong as error:
            print(f"\n{workload.name}: WRONG: {error}", file=sys.stderr)
            return 1
        found[workload.name] = summary(workload, runs)
        print("\n" + as_table(workload, found[workload.name]), flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=2) + "\n")
    return 0


def _compete(
    arena: Arena, workload: Workload, args: argparse.Namespace
) -> dict[str, list[Figures]]:
    """Each contender once per round, the order turned from round to round."""
    contenders = [each for each in workload.contenders
                  if not (each.is_peer and args.without_peers)]
    options = dict(workload.options)
    if args.quick and workload.quick is not None:
        options |= workload.quick
    if args.rows is not None and "rows" in options:
        options["rows"] = args.rows
    runs: dict[str, list[Figures]] = {each.name: [] for each in contenders}
    for turn in range(args.repetitions):
        first = turn % len(contenders)
        for each in contenders[first:] + contenders[:first]:
            runs[each.name].append(arena.run(workload, each, options))
    return runs


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, under two minutes")
    parser.add_argument("--only", nargs="+", metavar="NAME",
                        choices=[each.name for each in EVERYTHING], help="these workloads only")
    parser.add_argument("--repetitions", type=int, metavar="N", help="default 7, or 1 with --quick")
    parser.add_argument("--rows", type=int, metavar="N", help="jobs in a crowd (default 1,000,000)")
    parser.add_argument("--peers", metavar="PYTHON", help="the Python in whose environment the "
                        "peers are installed; without it one is made")
    parser.add_argument("--without-peers", action="store_true", help="jobd and SQLite alone")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    args = parser.parse_args()
    args.repetitions = args.repetitions or (1 if args.quick else 7)
    return args


def _peers(python: str | None) -> str:
    """A Python that has the peers: the one given, or that of a fresh virtual environment."""
    if python:
        return python
    place = Path(tempfile.gettempdir()) / "jobd-bench-peers"
    found = place / "bin" / "python"
    if not found.exists():
        print(f"installing {', '.join(PEERS)} into {place}", flush=True)
        venv.create(place, with_pip=True, clear=True)
        subprocess.run([found, "-m", "pip", "install", "--quiet", *PEERS], check=True)
    return str(found)


if __name__ == "__main__":
    sys.exit(main())
