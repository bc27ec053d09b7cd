"""tests/security/CHECKLIST.md: every line has tests that exist, or says why it has none."""

import re

import pytest

from tests.house.test_catalogue import ROOT, functions_in

TEXT = (ROOT / "tests" / "security" / "CHECKLIST.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")]
        for line in TEXT.splitlines() if line.startswith("| ")][2:]
NAMED = sorted(set(re.findall(r"`(tests/[^`]+::[^`]+)`", TEXT)))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_line_has_a_test_or_a_reason(row: list[str]) -> None:
    """The last cell names a test, or the one before it says why there is none."""
    line, must_hold, *tests = row
    assert line
    assert "`tests/" in tests[0] or re.match(r"\*\*(not here|needs)\*\*: \S", must_hold)


@pytest.mark.parametrize("node", NAMED)
def test_each_test_of_the_checklist_exists(node: str) -> None:
    """The name is one that pytest takes: file::function."""
    file, _, function = node.partition("::")
    assert (ROOT / file).exists()
    assert function in functions_in(file)


def test_each_test_of_security_is_in_the_checklist() -> None:
    """What is tested there is told there."""
    found = {f"tests/security/{path.name}::{name}"
             for path in (ROOT / "tests" / "security").glob("test_*.py")
             for name in functions_in(f"tests/security/{path.name}") if name.startswith("test_")}
    assert found - set(NAMED) == set()
