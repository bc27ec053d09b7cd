"""Placeholders of `jobd batch exec`: what each becomes, and what is no placeholder."""

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from jobd.core.placeholders import Template
from jobd.errors import BadInput


def fill(
    word: str, whole: str | None = None, *, columns: Collection[str] | None = (),
    values: Mapping[str, Any] | None = None,
) -> str:
    [filled] = Template([word], columns).fill(values or {}, whole, 7)
    return filled


@pytest.mark.parametrize(("whole", "stem", "base", "directory", "base_stem"), [
    ("sub.dir/foo.tar.gz", "sub.dir/foo.tar", "foo.tar.gz", "sub.dir", "foo.tar"),
    ("sub.dir/bar", "sub.dir/bar", "bar", "sub.dir", "bar"),
    ("foo", "foo", "foo", ".", "foo"),
    ("/foo.c", "/foo", "foo.c", "/", "foo"),
    ("./a b/c.d e", "./a b/c", "c.d e", "./a b", "c"),
    ("a/b/", "a/b/", "", "a", ""),
    ("-rf.x", "-rf", "-rf.x", ".", "-rf"),
    ("two\nlines.txt", "two\nlines", "two\nlines.txt", ".", "two\nlines"),
])
def test_parts_of_a_path(
    whole: str, stem: str, base: str, directory: str, base_stem: str
) -> None:
    """As GNU parallel parts them."""
    places = ["{}", "{.}", "{/}", "{//}", "{/.}"]
    assert [fill(place, whole) for place in places] == [whole, stem, base, directory, base_stem]


def test_a_word_may_hold_several_places_and_text() -> None:
    """Each is filled where it stands."""
    assert fill("out/{/.}-{#}.gz:{}", "a/b.c") == "out/b-7.gz:a/b.c"


def test_what_an_item_holds_is_not_read_again() -> None:
    """A file may be called {} or {name}."""
    assert fill("{}-{.}", "{}{x}.{/}") == "{}{x}.{/}-{}{x}.{/}"


@pytest.mark.parametrize("word", [
    "{print $1}", '{"a": 1}', "{{.Names}}", "a{2,3}", "{", "}", "{a b}", "${", "{}}"[2:],
])
def test_braces_of_other_programs_stay(word: str) -> None:
    """Only what looks like a placeholder is one."""
    assert fill(word, "x") == word


@pytest.mark.parametrize(("word", "literal"), [
    ("{{}}", "{}"), ("{{.}}", "{.}"), ("{{name}}", "{name}"), ("a{{#}}{}", "a{#}x"),
    ("{{1}}", "{1}"),
])
def test_doubled_braces_are_the_letters_themselves(word: str, literal: str) -> None:
    """For what would be a placeholder otherwise."""
    assert fill(word, "x") == literal


def test_columns_by_name_and_their_parts() -> None:
    """A column's name goes before everything else, with spaces, dots and slashes in it."""
    columns = {"path": "a/b.c", "First Name": "Ann", "v.1": "x", "": "no"}
    told = {place: fill(place, columns=columns, values=columns)
            for place in ("{path}", "{path.}", "{path/}", "{path//}", "{path/.}",
                          "{First Name}", "{v.1}")}
    assert list(told.values()) == ["a/b.c", "a/b", "b.c", "a", "b", "Ann", "x"]


@pytest.mark.parametrize("word", ["{print}", "{1}", "{%}", "{##}", "{pat}", "{pat.}"])
def test_an_unknown_word_names_the_columns(word: str) -> None:
    """And how to write the letters themselves."""
    with pytest.raises(BadInput) as caught:
        Template([word], ["path", "size"])
    assert "{path}, {size}" in str(caught.value)
    assert "{" + word + "}" in str(caught.value)


def test_values_of_json_as_arguments() -> None:
    """Text as it is, numbers and truth as JSON writes them."""
    values = {"a": "x", "b": 1.5, "c": True, "d": 12}
    assert fill("{a} {b} {c} {d}", columns=None, values=values) == "x 1.5 true 12"


@pytest.mark.parametrize(("values", "why"), [
    ({}, "it has no 'a'"),
    ({"a": None}, "'a' is null"),
    ({"a": [1]}, "'a' is an array"),
    ({"a": {}}, "'a' is an object"),
    ({"a": "x\0"}, "NUL"),
])
def test_an_item_that_a_place_cannot_take(values: dict[str, Any], why: str) -> None:
    """It is that line's mistake."""
    with pytest.raises(BadInput, match=why):
        fill("{a}", columns=None, values=values)


def test_all_of_an_item_of_several_columns() -> None:
    """It has no text: a column is to be named."""
    with pytest.raises(BadInput, match="name one"):
        fill("{}", None, columns=["a", "b"], values={"a": "1", "b": "2"})


@pytest.mark.parametrize("words", [
    ["sh", "-c", "cat {} > x"], ["/bin/bash", "-ec", "{/}"], ["bash", "-e", "-c", "x{}"],
])
def test_an_item_is_no_part_of_a_shells_program(words: list[str]) -> None:
    """A file's name is data: it is handed over as an argument."""
    with pytest.raises(BadInput, match=r'"\$1"'):
        Template(words, ()).check_shell()


@pytest.mark.parametrize("words", [
    ["sh", "-c", 'cat "$1" > "$2"', "sh", "{}", "{.}.out"], ["sh", "-c", "echo {#}"],
    ["sh", "script.sh", "-c", "{}"], ["grep", "-c", "{}"], ["{}", "-c", "{}"], ["sh", "-c"],
])
def test_items_as_arguments_of_a_shell_are_right(words: list[str]) -> None:
    """They arrive byte for byte."""
    Template(words, ()).check_shell()


def test_whether_there_is_a_place_at_all() -> None:
    """Without one the item goes to the end."""
    assert not Template(["gzip", "{{}}"], ()).has_places
    assert Template(["gzip", "{#}"], ()).has_places
    assert not Template(["gzip", "{#}"], ()).wants_whole
    assert Template(["gzip", "{/.}"], ()).wants_whole
