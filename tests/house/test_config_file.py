"""config/jobd.toml says exactly what the code says: each setting, its default, its doc."""

import re
import tomllib
from pathlib import Path

import pytest

from jobd.core.config import SETTINGS, Config, load
from jobd.core.lifecycle import FailureType
from jobd.core.reading import Reading
from jobd.core.settings import Keys, Setting

TEXT = (Path(__file__).parents[2] / "config/jobd.toml").read_text()

HEADING = re.compile(r"#?\[(.+)\]")
COMMENTED = re.compile(r'#("[^"]+"|[\w.]+) = (.+)')

EXAMPLES: dict[str, object] = {
    "db": "/var/lib/jobd/jobd.db",
    "classify.*": "network",
    "queues.*.concurrency": 2,
}
"""Settings whose default cannot be written: the file shows an example instead."""


def documented() -> dict[str, tuple[object, str]]:
    """The value and the line above it, for each dotted name in the file."""
    found, table, above = {}, "", ""
    for line in TEXT.splitlines():
        if heading := HEADING.fullmatch(line):
            table = heading[1] + "."
        elif setting := COMMENTED.fullmatch(line):
            value = tomllib.loads(f"value = {setting[2]}")["value"]
            found[table + setting[1].strip('"')] = (value, above)
        above = line
    return found


DOCUMENTED = documented()

IN_FULL = [
    each
    for path, each in SETTINGS.items()
    if path[0] != "retry" or path[1] == "default" or path[2] == "max_retries"
]
"""What the file spells out: of the tables per failure type, the number of retries alone."""

WITH_DOC = [each for each in IN_FULL if each.path[0] != "retry" or each.path[1] == "default"]
"""The docs of a retry table stand under [retry.default], once for all."""


def name_in_file(path: Keys) -> str:
    own = {"classify": "requests.exceptions.ConnectionError", "queues": "media"}
    return ".".join(own[path[0]] if part == "*" else part for part in path)


def test_the_file_as_it_stands_changes_nothing() -> None:
    """Every value is a comment, so an upgrade may bring better defaults."""
    assert load(tomllib.loads(TEXT), {}, {}) == Config()


@pytest.mark.parametrize("each", IN_FULL, ids=lambda each: each.name)
def test_every_setting_stands_in_the_file_with_its_default(each: Setting) -> None:
    """What the file shows is what the code does without it."""
    value, _ = DOCUMENTED[name_in_file(each.path)]
    if each.name in EXAMPLES:
        assert value == EXAMPLES[each.name]
    else:
        assert each.kind.read(value) == each.default


@pytest.mark.parametrize("each", WITH_DOC, ids=lambda each: each.name)
def test_the_line_above_a_setting_is_its_doc(each: Setting) -> None:
    """One sentence, written once in the code."""
    _, above = DOCUMENTED[name_in_file(each.path)]
    assert above == f"# {each.doc}"


def test_the_file_names_no_setting_that_the_code_does_not_have() -> None:
    """In the other direction: nothing is documented that does not exist."""
    assert set(DOCUMENTED) == {name_in_file(each.path) for each in IN_FULL}


@pytest.mark.parametrize("each", IN_FULL, ids=lambda each: each.name)
def test_one_line_without_its_mark_sets_what_it_shows(each: Setting) -> None:
    """Whoever takes a single "#" away sets that setting, with no other line to mind."""
    name = name_in_file(each.path)
    lines = TEXT.splitlines()
    settings = [n for n, line in enumerate(lines) if COMMENTED.fullmatch(line)]
    at = settings[list(DOCUMENTED).index(name)]
    lines[at] = lines[at].removeprefix("#")
    reading = Reading(SETTINGS)
    reading.read_file(tomllib.loads("\n".join(lines)), "the file")
    assert (reading.problems, [".".join(path) for path in reading.values]) == ([], [name])


def test_each_failure_type_has_a_table() -> None:
    """The nine tables stand in the file, open to what [retry.default] lists."""
    assert set(tomllib.loads(TEXT)["retry"]) == {"default", *FailureType}


def test_with_every_comment_taken_away_the_file_still_loads() -> None:
    """Each example is one that jobd accepts."""
    uncommented = re.sub(r'(?m)^#(?=\[|[\w"]+[^=\n]* = )', "", TEXT)
    config = load(tomllib.loads(uncommented), {}, {})
    assert config.db == EXAMPLES["db"]
    assert config.queues["media"].concurrency == 2
    assert config.classify == {"requests.exceptions.ConnectionError": FailureType.NETWORK}
    assert (config.retry, config.timing, config.log) == (
        Config().retry, Config().timing, Config().log
    )  # fmt: skip
