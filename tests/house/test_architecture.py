"""ARCHITECTURE.md names only what exists, and every file of the rooms it describes."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "jobd" / "ARCHITECTURE.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:\w+/)*[\w.]+\.(?:py|md|toml))`", TEXT)))


@pytest.mark.parametrize("name", NAMED)
def test_files_named_in_the_architecture_exist(name: str) -> None:
    """Each path in ARCHITECTURE.md leads to a file, from jobd/ or from the top."""
    places = (ROOT / "jobd" / name, ROOT / name, ROOT / "jobd" / "store" / "migrations" / name)
    assert any(place.exists() for place in places)


@pytest.mark.parametrize("room", ["core", "daemon"])
def test_every_file_of_core_and_daemon_is_named(room: str) -> None:
    """A newcomer finds every file of the two rooms that hold the decisions and the threads."""
    files = {path.name for path in (ROOT / "jobd" / room).glob("*.py")} - {"__init__.py"}
    missing = {name for name in files if f"{room}/{name}" not in TEXT}
    assert missing == set()
