"""A short torture, always the same plans; `python -m tests.torture` goes on as long as asked."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.torture.plan import draw_plan
from tests.torture.processes import ROOT

SEED, CYCLES, EACH = 5, 15, 5


@pytest.mark.parametrize("first", range(0, CYCLES, EACH))
def test_nothing_is_lost_or_run_twice_under_faults(first: int, tmp_path: Path) -> None:
    """Daemons are killed, frozen and stopped in mid-work, and every check holds afterwards."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture", "--seed", str(SEED), "--first", str(first),
         "--cycles", str(EACH), "--keep", "--dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert f"{EACH} cycles" in done.stdout


def test_a_seed_draws_the_same_plan_again() -> None:
    """The same jobs, requests and faults at the same times; another number draws others."""
    assert draw_plan(3, 7) == draw_plan(3, 7)
    assert draw_plan(3, 7) != draw_plan(3, 8)
