"""The command line of the torture: cycles, what they found, and how to see it again."""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture.checks import Violation, violations
from tests.torture.cycle import SETTLES_WITHIN, Cycle
from tests.torture.evidence import Evidence
from tests.torture.journal import BEGAN
from tests.torture.plan import draw_plan

SHIM = Path(__file__).parents[1] / "daemon" / "clock_shim.c"
EVERY = 20


@dataclass
class Totals:
    """What a run has done so far."""

    cycles: int = 0
    jobs: int = 0
    attempts: int = 0
    deaths: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: int = 0

    def add(self, done: Sequence[str], evidence: Evidence, found: Sequence[Violation]) -> None:
        self.cycles += 1
        self.jobs += len(evidence.jobs)
        self.attempts += len(evidence.noted(BEGAN))
        self.deaths += sum(each.status == -9 for each in evidence.daemons)
        self.faults.update(done)
        self.violations += len(found)

    def __str__(self) -> str:
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        return (f"{self.cycles} cycles, {self.jobs} jobs, {self.attempts} attempts, "
                f"{self.deaths} daemons killed, {sum(self.faults.values())} faults ({faults}), "
                f"{self.violations} violations")


def main(argv: Sequence[str] | None = None) -> int:
    """Run; 1 when anything was violated, 2 when the words make no sense."""
    args = _parser().parse_args(argv)
    if args.calibrate:
        from tests.torture.calibrate import calibrate

        return calibrate(args.only, args.seed)
    if "CLOCK_SHIM" not in os.environ and not args.no_clock and shutil.which("cc"):
        _run_under_the_shim()
    for name in [each for each in os.environ if each.startswith("JOBD_")]:
        del os.environ[name]
    signal.signal(signal.SIGTERM, _end)
    try:
        return _run(args)
    finally:
        if "CLOCK_SHIM" in os.environ:
            shutil.rmtree(Path(os.environ["CLOCK_SHIM"]).parent, ignore_errors=True)


def _run(args: argparse.Namespace) -> int:
    import jobd.cli.main
    import jobd.daemon.daemon  # noqa: F401 - so that a fork finds all of it imported

    totals, began = Totals(), time.monotonic()
    for number in range(args.first, args.first + args.cycles):
        if _told_to_end:
            return 143
        found = _cycle(args, number, totals)
        if found and args.until_found:
            checks = ", ".join(sorted({violation.check for violation in found}))
            print(f"found in cycle {totals.cycles} of the run by {checks}", flush=True)
            break
        if totals.cycles % EVERY == 0:
            print(f"{time.monotonic() - began:.0f} s: {totals}", flush=True)
    seconds = (time.monotonic() - began) / max(totals.cycles, 1)
    print(f"seed {args.seed}: {totals}; {seconds:.2f} s a cycle", flush=True)
    return 1 if totals.violations else 0


_told_to_end: list[int] = []


def _end(number: int, _frame: object) -> None:
    """Python swallows the exception when it is raised in a hook after a fork; then we end later."""
    _told_to_end.append(number)
    sys.exit(143)


def _cycle(args: argparse.Namespace, number: int, totals: Totals) -> list[Violation]:
    root = Path(tempfile.mkdtemp(prefix="torture-", dir=args.dir))
    cycle = Cycle(draw_plan(args.seed, number), root, args.settle)
    evidence = cycle.run()
    found = list(violations(evidence))
    totals.add(cycle.done, evidence, found)
    if found:
        words = " ".join(f"{fault}" for fault in cycle.done)
        kept = f"kept in {root}; " if args.keep else ""
        print(f"VIOLATED in cycle {number} of seed {args.seed}, after {words}; {kept}"
              f"again: python -m tests.torture --seed {args.seed} --first {number} --cycles 1")
        for violation in found[:args.show]:
            print(f"  {violation}", flush=True)
    if not found or not args.keep:
        shutil.rmtree(root, ignore_errors=True)
    return found


def _run_under_the_shim() -> None:
    """Become the same again with a wall clock that can be stepped, for us and all our children."""
    directory = tempfile.mkdtemp(prefix="torture-shim-")
    library, offset = f"{directory}/clock_shim.so", Path(directory) / "offset"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, str(SHIM)], check=True)
    offset.write_bytes(bytes(8))
    os.environ.update(LD_PRELOAD=library, CLOCK_SHIM=str(offset))
    os.execv(sys.executable, [sys.executable, "-m", "tests.torture", *sys.argv[1:]])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.torture", description=__doc__)
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--first", type=int, default=0, help="the number of the first cycle")
    parser.add_argument("--settle", type=float, default=SETTLES_WITHIN, metavar="SECONDS")
    parser.add_argument("--show", type=int, default=8, help="violations shown of a cycle")
    parser.add_argument("--keep", action="store_true", help="keep what failing cycles left")
    parser.add_argument("--dir", help="where the cycles' directories are made")
    parser.add_argument("--no-clock", action="store_true", help="do not step the wall clock")
    parser.add_argument("--until-found", action="store_true", help="end at the first violation")
    parser.add_argument("--calibrate", action="store_true", help="find the planted bugs")
    parser.add_argument("--only", nargs="*", help="of the planted bugs, these")
    return parser
