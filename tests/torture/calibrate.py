"""Whether the harness finds bugs: each plant in a run of its own, until it is found."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.torture.plants import PLANTS, VARIABLE, Plant
from tests.torture.processes import ROOT

SETTLES_WITHIN = 15.0
FOUND = re.compile(r"^found in cycle (\d+) of the run by (.*)$", re.MULTILINE)


def calibrate(only: Sequence[str] | None, seed: int) -> int:
    """Print a line for each plant; 1 when one of them was not found by a check that should."""
    missed = [name for name in only or PLANTS if not _is_found(PLANTS[name], seed)]
    print(f"not found: {', '.join(missed)}" if missed else "all were found", flush=True)
    return 1 if missed else 0


def _is_found(plant: Plant, seed: int) -> bool:
    path = os.pathsep.join([str(ROOT / "tests" / "torture" / "planted"), str(ROOT)])
    argv = [sys.executable, "-m", "tests.torture", "--until-found", "--seed", str(seed),
            "--cycles", str(plant.within), "--settle", str(SETTLES_WITHIN)]
    began = time.monotonic()
    done = subprocess.run(argv, env={**os.environ, VARIABLE: plant.name, "PYTHONPATH": path},
                          cwd=ROOT, capture_output=True, text=True, check=False)
    found = FOUND.search(done.stdout)
    if found is None:
        print(f"{plant.name}: NOT FOUND in {plant.within} cycles; status {done.returncode} "
              f"{done.stderr[-500:]}", flush=True)
        return False
    number, checks = found.groups()
    as_meant = bool(set(checks.split(", ")) & set(plant.found_by))
    print(f"{plant.name}: cycle {number} of {plant.within}, {time.monotonic() - began:.0f} s, by "
          f"{checks}", flush=True)
    if not as_meant:
        print(f"NOT AS MEANT:\n{done.stdout[-3000:]}", flush=True)
    return as_meant
