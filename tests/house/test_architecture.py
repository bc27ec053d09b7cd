"""ARCHITECTURE.md names only what exists, and every file of the rooms it describes."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "jobd" / "ARCHITECTURE.md").read_text()
SOURCES = "\n".join(path.read_text() for path in sorted((ROOT / "jobd").rglob("*.py")))
WORDS = sorted(set(re.findall(r"`([a-z_A-Z][\w.]*)(?:\([^`]*\))?`", TEXT)))
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


@pytest.mark.parametrize("name", [each for each in WORDS if each not in NAMED])
def test_names_in_the_architecture_exist(name: str) -> None:
    """Each function, class, column or setting that it names stands in the code."""
    for part in name.split("."):
        assert re.search(rf"\b{part}\b", SOURCES), name


def test_it_tells_where_to_add_things() -> None:
    """A verb, a move, a failure type, a migration, a setting: each has its place."""
    added = re.findall(r"(?m)^- \*\*(.*?)\*\*", TEXT.partition("## Where to add")[2])
    wanted = {"a verb of the command line", "a move", "a failure type", "a migration", "a setting"}
    assert wanted <= set(added)
