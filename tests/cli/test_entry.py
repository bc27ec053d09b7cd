"""The first moments of the command: what it imports, and what a signal finds."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INTERRUPTED = """
import signal, sys
class Finder:
    def find_spec(name, *_):
        if name == sys.argv[-1]:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder)
"""
BEGIN = "from jobd.__main__ import main; sys.exit(main())"


def run(code: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60)


@pytest.mark.parametrize(
    "module", ["jobd.actor", "jobd.core.lifecycle", "sqlite3", "jobd.cli.main", "jobd.cli.retry"]
)
def test_ctrl_c_during_imports_is_quiet(module: str) -> None:
    """However early it comes: status 130, and no traceback."""
    done = run(INTERRUPTED + BEGIN, "retry", module)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_command_begins_in_that_function() -> None:
    """What is tested here is what pip makes the script of."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"jobd": "jobd.__main__:main"}


def test_a_name_of_the_package_is_imported_when_it_is_asked_for() -> None:
    """The package alone imports no SQLite; each name is there, and a wrong one is told as ever."""
    done = run("import sys, jobd; assert 'sqlite3' not in sys.modules; "
               "assert set(jobd.__all__) <= set(dir(jobd)); jobd.Queue, jobd.job; "
               "assert 'sqlite3' in sys.modules; from jobd import *; Stopped; jobd.nonsense")
    assert done.stderr.splitlines()[-1] == (
        "AttributeError: module 'jobd' has no attribute 'nonsense'"
    )
