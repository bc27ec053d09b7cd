"""What verbs import: whoever only looks is answered at once, so these load little.

The time itself is not measured here: what makes it long are modules, and each has its name.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobd import Queue

ROOT = Path(__file__).parents[2]
RUN = """
import sys
before = set(sys.modules)
from jobd.__main__ import main
status = main()
print(*sorted(set(sys.modules) - before), file=sys.stderr)
raise SystemExit(status)
"""
HEAVY = {
    "apscheduler", "asyncio", "dataclasses", "difflib", "email", "hashlib", "inspect", "logging",
    "shutil", "socket", "structlog", "threading", "tomllib", "jobd.core.config", "jobd.core.health",
    "jobd.core.job", "jobd.core.settings", "jobd.daemon", "jobd.log", "jobd.queue",
    "jobd.store.measuring", "jobd.store.migrations", "jobd.store.schema",
}
FOR_ONE_JOB = HEAVY - {"socket"}
"""Who puts a job in wakes the daemon by its socket."""
LOOKS = ["batch show b", "batch list", "batch", "list", "status", "show 1"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory with a database where it is looked for, and no configuration."""
    home = tmp_path_factory.mktemp("home")
    with Queue(home / ".local/state/jobd/jobd.db") as queue:
        queue.enqueue("x")
        queue.batch("b", "x", [{"n": 1}])
    return home


def imported(home: Path, words: str) -> set[str]:
    """The modules that this command line loads beyond what its interpreter begins with."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("LC_")}
    # -S: what an installation of this package for its developers loads would hide much of it.
    ran = subprocess.run(
        [sys.executable, "-S", "-c", RUN, *words.split()], capture_output=True, text=True,
        env={**variables, "HOME": str(home), "PYTHONPATH": str(ROOT)}, timeout=60, check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return set(ran.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("words", LOOKS)
def test_a_verb_that_looks_loads_nothing_heavy(home: Path, words: str) -> None:
    """Without a configuration and without a daemon: what those need is loaded by who has them."""
    assert imported(home, words) & HEAVY == set()


def test_putting_a_job_in_loads_little_more(home: Path) -> None:
    """Not even to see that the schema is what it must be."""
    assert imported(home, "enqueue x") & FOR_ONE_JOB == set()


def test_the_version_is_printed_by_less_than_any_verb(home: Path) -> None:
    """No database, and no room but the command line's own."""
    found = imported(home, "--version")
    assert "sqlite3" not in found
    assert {name for name in found if name.startswith("jobd.store")} == set()
