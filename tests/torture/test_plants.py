"""The planted bugs can still be planted; that they are found is `--calibrate`'s to show."""

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.torture.checks import CHECKS
from tests.torture.plants import PLANTS, VARIABLE, Edit, NotPlanted, Plant, replaced
from tests.torture.processes import ROOT

PLANTED = str(ROOT / "tests" / "torture" / "planted")


def source_of(module: str) -> str:
    return Path(ROOT, *module.split(".")).with_suffix(".py").read_text()


@pytest.mark.parametrize("plant", PLANTS.values(), ids=lambda plant: plant.name)
def test_a_plant_still_applies(plant: Plant) -> None:
    """Its lines are in jobd, each once, what it makes of them is Python, and its checks exist."""
    edits = defaultdict(list)
    for edit in plant.edits:
        edits[edit.module].append(edit)
    for module, of_module in edits.items():
        compile(replaced(source_of(module), of_module), module, "exec")
    assert set(plant.found_by) <= set(CHECKS)


def test_a_plant_whose_lines_are_gone_fails_loudly() -> None:
    """It is never taken for a bug that was not found."""
    with pytest.raises(NotPlanted):
        replaced("pass\n", [Edit("jobd.queue", "import this", "")])


def test_a_planted_interpreter_runs_the_bug() -> None:
    """What is imported there is the changed source, while the file stays as it is."""
    program = "from jobd.core import lifecycle as l; print(l.answer(l.Request.RETRY, " \
              "l.JobStatus.DEAD_LETTER, execution_over=False).refusal)"
    env = {**os.environ, VARIABLE: "retry_ignores_execution_over",
           "PYTHONPATH": os.pathsep.join([PLANTED, str(ROOT)])}
    run = [sys.executable, "-c", program]
    with_bug = subprocess.run(run, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    env.pop(VARIABLE)
    without = subprocess.run(run, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    assert with_bug.stdout.strip() == "None"
    assert "may still be executing" in without.stdout
