"""README.md is true: its commands are typed here, its tables and its diagram are the code's."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd.cli.main import build_parser
from jobd.core.config import Config, load
from jobd.core.lifecycle import ENDED, FailureType, JobStatus, arrows

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", TEXT)
PROSE = re.sub(r"(?ms)^```.*?^```$", "", TEXT)
INLINE = sorted(set(re.findall(r"`(jobd [^`]+)`", PROSE)))


def section(heading: str) -> str:
    """The text under a heading, down to the next of its rank."""
    return TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def blocks(heading: str, language: str) -> list[str]:
    found = re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", section(heading))
    return [text for name, text in found if name == language]


def test_the_first_two_blocks_are_the_demo_and_the_tests() -> None:
    """A stranger sees first how to watch it work, then how to test it; CI types both."""
    assert [language for language, _ in BLOCKS[:2]] == ["sh", "sh"]
    assert BLOCKS[0][1].rstrip().endswith(".venv/bin/jobd demo")
    assert BLOCKS[1][1].rstrip().endswith("-m tests")


def test_each_of_ten_guarantees_names_tests_that_exist() -> None:
    """What is promised is proved somewhere, under that name."""
    written = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    promises = re.split(r"(?m)^\d+\. ", section("What you may rely on"))[1:]
    assert len(promises) == 10
    for promise in promises:
        names = re.findall(r"`(test_\w+)`", promise)
        assert names, promise
        assert [name for name in names if f"def {name}(" not in written] == []


def test_the_diagram_is_the_state_machine() -> None:
    """Each arrow of the diagram is an allowed move, and each move is drawn."""
    diagram = blocks("The life of a job", "mermaid")[0]
    drawn = re.findall(r"(?m)^ +(\S+) --> (\S+?)(?::.*)?$", diagram)
    inside = [arrow for arrow in drawn if "[*]" not in arrow]
    assert len(inside) == len(set(inside))
    assert set(inside) == {(str(a), str(b)) for a, b in arrows()}
    assert ("completed", "[*]") in drawn
    assert JobStatus("completed") in ENDED


def test_the_table_of_failures_is_the_policy() -> None:
    """Nine failure types, each with the number of retries that the code gives it."""
    row = r"(?m)^\| `(\w+)` \| .*? \| (\d+)(?: rescues)? \|"
    rows = re.findall(row, section("When a job fails"))
    policies = Config().retry
    assert {FailureType(name): int(number) for name, number in rows} == {
        each: policies[each].max_retries for each in FailureType
    }


@pytest.mark.parametrize("command", INLINE)
def test_a_command_in_the_text_can_be_typed(command: str) -> None:
    """Every `jobd …` that the prose names is one that the command line understands."""
    words = shlex.split(command.replace("ID…", "1 2").replace("ID", "1").replace("N", "4"))[1:]
    if words[0] in NEEDS_MORE:
        words += NEEDS_MORE[words[0]]
    build_parser().parse_args(words)


NEEDS_MORE = {"enqueue": ["checksum"], "exec": ["--", "true"]}
"""What the prose leaves out when it speaks of a verb."""


@pytest.mark.parametrize("text", [text for language, text in BLOCKS if language == "toml"])
def test_a_configuration_in_the_text_is_one(text: str) -> None:
    """What README shows of a configuration file loads."""
    load(tomllib.loads(text), {}, {})


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a stranger has after the first command: README, the sources, a virtual environment."""
    shutil.copytree(ROOT / "jobd", tmp_path / "jobd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "README.md", tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "home").mkdir()
    return tmp_path


class Typist:
    """Types blocks of README in the clone, as a user whose home is empty."""

    def __init__(self, clone: Path) -> None:
        self.clone = clone
        kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBD_")}
        self.environment = {**kept, "HOME": str(clone / "home")}

    def type(self, block: str) -> str:
        """Run a block to its end; what it printed."""
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=self.clone, text=True,
                              env=self.environment, capture_output=True, timeout=60)
        assert done.returncode == 0, (block, done.stdout, done.stderr)
        return done.stdout

    def start(self, block: str) -> "subprocess.Popen[str]":
        """Leave a block running in a terminal of its own."""
        *others, last = block.strip().splitlines()
        return subprocess.Popen(["bash", "-euc", "\n".join([*others, f"exec {last}"])],
                                cwd=self.clone, env=self.environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.fixture
def walk(clone: Path) -> Iterator[Typist]:
    """A typist in a clone where the handler is written and the daemon runs, as README says."""
    typist = Typist(clone)
    (clone / "myjobs.py").write_text(blocks("Your own jobs", "python")[0])
    daemon = typist.start(blocks("Your own jobs", "sh")[0])
    assert daemon.stdout is not None
    lines = iter(daemon.stdout)
    for line in lines:
        if '"daemon.ready"' in line:
            break
    yield typist
    daemon.terminate()
    daemon.communicate(timeout=60)
    assert daemon.returncode == 0


def test_the_walk_through_goes_as_written(walk: Typist) -> None:
    """Handler, daemon, enqueue from the shell and from Python, a program: typed block by block."""
    _, from_shell = blocks("Your own jobs", "sh")
    said = walk.type(from_shell)
    files = len(list((walk.clone / "jobd" / "core").glob("*.py")))
    assert re.search(rf"files\W+{files}\b", said)
    assert "is scheduled for" in said
    (walk.clone / "from_python.py").write_text(blocks("Your own jobs", "python")[1])
    files = len(list((walk.clone / "jobd" / "daemon").glob("*.py")))
    assert walk.type(".venv/bin/python from_python.py") == f"{{'files': {files}}}\n"
    path = 'export PATH="$PWD/.venv/bin:$PATH"\n'
    said = walk.type(path + blocks("Programs", "sh")[0])
    assert f"{TEXT.count(chr(10))} README.md" in said
    walk.type(path + "jobd wait 4")
    said = walk.type(path + blocks("Care of the file", "sh")[0])
    assert any(walk.clone.glob("jobd-*.db"))
    assert (walk.clone / "big.txt.gz").exists()
    check_batches(walk)
    for command in re.findall(r"`(jobd [^`]+)`", section("Look around")):
        if not re.match("jobd (cancel|release|retry|queue|migrate)", command):
            walk.type(path + command.replace("ID…", "1 3").replace("ID", "4"))


def check_batches(walk: Typist) -> None:
    """The chapter on batches: a program and a handler for each item, results as sha256sum's own."""
    said = walk.type(blocks("Batches", "sh")[0])
    assert re.search(r"durations +median", said)
    ours = sorted((walk.clone / "sums.txt").read_text().splitlines())
    theirs = walk.type("find jobd -name '*.py' -print0 | xargs -0 sha256sum")
    assert ours == sorted(theirs.splitlines())
    (walk.clone / "batch.py").write_text(blocks("Batches", "python")[0])
    assert walk.type(".venv/bin/python batch.py") == "2\n"


def test_the_examples_of_batches_can_be_typed() -> None:
    """Each line that feeds a batch is one that the command line understands."""
    for line in blocks("Batches", "sh")[1].splitlines():
        words = shlex.split(line.rpartition(" | jobd ")[2] or line)
        build_parser().parse_args(words[words.index("batch") :])
