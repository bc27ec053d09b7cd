"""tests/faults/CATALOGUE.md: every fault has a test that exists, or says why it has none."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "tests" / "faults" / "CATALOGUE.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines() if re.match(r"\| [A-Z]\d", line)
]
NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", TEXT)) - {"tests/house/test_catalogue.py"})


@cache
def functions_in(file: str) -> set[str]:
    """The test functions that a file defines."""
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_fault_has_a_test_or_a_reason(row: list[str]) -> None:
    """Four cells, none empty; the last names a test, or says why there is none."""
    assert len(row) == 4, row
    assert all(row)
    reasons = re.findall(r"\*\*(not here|needs|open)\*\*: \S", row[3])
    assert reasons or "`tests/" in row[3]


@pytest.mark.parametrize("node", NAMED)
def test_each_test_named_in_the_catalogue_exists(node: str) -> None:
    """The name is one that pytest takes: file::function."""
    file, _, function = node.partition("::")
    assert (ROOT / file).exists()
    assert function in functions_in(file)


def test_the_catalogue_counts_without_gaps() -> None:
    """The rows of each chapter are numbered from one on, so that none is dropped unseen."""
    found: dict[str, list[int]] = {}
    for name, *_ in ROWS:
        first, _, last = name.partition(" to ")
        numbers = range(int(first[1:]), int((last or first)[1:]) + 1)
        found.setdefault(name[0], []).extend(numbers)
    assert {letter: list(range(1, len(n) + 1)) for letter, n in found.items()} == found
    assert set(found) == set("ABCDTFGHIJKLM")
