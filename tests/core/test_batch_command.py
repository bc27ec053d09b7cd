"""The arguments of each item of a batch of programs."""

from typing import Any

import pytest

from jobd.core.batch_command import CommandTemplate
from jobd.core.batch_input import Entry, Format
from jobd.errors import BadInput

ROW = {"path": "a/b.mov", "size": "256"}


def own(
    *argv: str, item: str | dict[str, Any] = "a/b.mov", stdin: str | None = None,
    shared: dict[str, Any] | None = None, format_: Format | None = None,
) -> dict[str, Any]:
    """What the first item becomes, in the directory /srv."""
    text = item if isinstance(item, str) else None
    entry = Entry(1, {"item": item} if isinstance(item, str) else item, text)
    format_ = format_ or (Format.CSV if text is None else Format.LINES)
    return CommandTemplate(argv, "/srv", stdin, shared or {}, format_).own(entry, 1)


def test_places_are_filled_and_nothing_is_added() -> None:
    """Where one argument has a place, the item goes nowhere else."""
    assert own("ffmpeg", "-i", "{}", "{.}.mp4") == {
        "argv": ["ffmpeg", "-i", "a/b.mov", "a/b.mp4"],
    }


def test_without_a_place_the_item_is_the_last_argument() -> None:
    """As parallel and xargs do."""
    assert own("gzip", "-9", item="two words; $x")["argv"] == ["gzip", "-9", "two words; $x"]


def test_columns_of_csv_and_values_that_all_share() -> None:
    """A row's own value goes before the shared one."""
    found = own("convert", "{path}", "-q", "{q}", "{size}", item=ROW, shared={"q": 9, "size": 1})
    assert found["argv"] == ["convert", "a/b.mov", "-q", "9", "256"]


def test_a_program_with_a_slash_is_found_from_here() -> None:
    """As `jobd exec` finds it: the daemon runs elsewhere."""
    assert own("./x.sh", "{}")["argv"][0] == "/srv/x.sh"
    assert own("{}", item="bin/run")["argv"] == ["/srv/bin/run"]
    assert own("x.sh", "{}")["argv"][0] == "x.sh"


def test_standard_input_of_each() -> None:
    """--stdin {} gives each program its file."""
    assert own("wc", "-l", "{#}", stdin="{}")["stdin"] == "/srv/a/b.mov"
    assert own("wc", "{}", stdin="{//}/x", item="/abs/b")["stdin"] == "/abs/x"


@pytest.mark.parametrize(("argv", "why"), [
    (["gzip"], "say which columns the program gets: {path}, {size}"),
    (["gzip", "{}"], "here it has columns: {path}, {size}"),
    (["gzip", "{paht}"], "there are {path}, {size}"),
])
def test_a_row_of_several_columns_needs_names(argv: list[str], why: str) -> None:
    """They are told."""
    with pytest.raises(BadInput, match=why.replace("{", r"\{")):
        own(*argv, item=ROW)


def test_objects_have_keys_of_their_own() -> None:
    """A place that one object has and another has not is that line's mistake."""
    template = CommandTemplate(["echo", "{a}"], "/", None, {}, Format.NDJSON)
    assert template.own(Entry(1, {"a": 1}), 1)["argv"] == ["echo", "1"]
    with pytest.raises(BadInput, match="it has no 'a'"):
        template.own(Entry(2, {"b": 1}), 2)


def test_an_object_of_one_key_is_that_value() -> None:
    """There is no doubt what the program gets; with two there is."""
    assert own("echo", item={"a": 1.5}, format_=Format.NDJSON)["argv"] == ["echo", "1.5"]
    with pytest.raises(BadInput, match="which of its keys"):
        own("echo", item=ROW, format_=Format.NDJSON)


def test_an_empty_program_is_refused() -> None:
    """An item that names the program has to name one."""
    with pytest.raises(BadInput, match="empty name"):
        own("{path}", item={"path": "", "b": "x"})
