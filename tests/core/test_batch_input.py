"""Items of a batch as they come in: what each format means, and what is said of a bad line."""

from collections.abc import Iterator

import pytest

from jobd.core.batch_input import TOLD, BadLine, Complaints, Entry, Format, Reading, items
from jobd.errors import BadInput


def read(data: bytes, format_: str, **how: object) -> list[Entry | BadLine]:
    lines = data.split(b"\0")[:-1] if format_ == Format.NUL else data.splitlines(keepends=True)
    return list(items(lines, Reading(Format(format_), **how)))  # type: ignore[arg-type]


def parameters(data: bytes, format_: str, **how: object) -> list[dict[str, object]]:
    found = read(data, format_, **how)
    assert not [each for each in found if isinstance(each, BadLine)]
    return [each.parameters for each in found if isinstance(each, Entry)]


def complaints(data: bytes, format_: str, **how: object) -> list[tuple[int, str]]:
    return [(each.line, each.why) for each in read(data, format_, **how)
            if isinstance(each, BadLine)]


def test_a_line_is_a_text_without_its_end() -> None:
    """Spaces stay, empty lines are none, "\\r\\n" ends one too, and the last needs no end."""
    assert parameters(b" a b \n\n\r\nc\r\n-d\ne", "lines") == [
        {"item": " a b "}, {"item": "c"}, {"item": "-d"}, {"item": "e"},
    ]


def test_the_parameter_of_a_line_has_the_name_that_was_asked_for() -> None:
    """So that it fits the argument of a handler."""
    assert parameters(b"x\n", "lines", name="path") == [{"path": "x"}]


def test_a_name_ended_by_nul_may_hold_newlines() -> None:
    """What find -print0 writes goes through as it is, a byte-order mark and a "\\r" too."""
    data = "\ufeffa\nb\r\0-c\0".encode()
    assert parameters(data, "find0") == [{"item": "\ufeffa\nb\r"}, {"item": "-c"}]


def test_an_object_a_line() -> None:
    """NDJSON: values keep their kinds, and lines of nothing but space are none."""
    assert parameters(b'{"a": 1.5, "b": [true]}\r\n \n{}\n', "ndjson") == [
        {"a": 1.5, "b": [True]}, {},
    ]


@pytest.mark.parametrize(("line", "why"), [
    (b'{"a": 1, "a": 2}', "it has the key 'a' twice"),
    (b"[1]", "it must be a JSON object, not an array"),
    (b'{"a": NaN}', "it holds NaN"),
    (b"{a: 1}", "it is not JSON: Expecting property name enclosed in double quotes at column 2"),
    (b'{"a":', "it is not JSON: Expecting value at column 6"),
    (b'{"a": "\\ud800"}', "lone surrogate"),
    (b'{"a": "\xe9"}', "it is not utf-8 (byte 8 is 0xe9)"),
    (b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", "nested deeper"),
])
def test_an_object_that_is_none(line: bytes, why: str) -> None:
    """The line is named, in words about the line."""
    [(number, said)] = complaints(b"{}\n" + line + b"\n{}\n", "ndjson")
    assert number == 2
    assert why in said


def test_csv_is_what_the_header_says() -> None:
    """A mark at its beginning, quotes, commas and newlines in fields; empty lines are none."""
    data = '\ufeffpath,note\r\n"a,\r\nb","say ""x"""\r\n\r\nżółć,\n'.encode()
    assert parameters(data, "csv") == [
        {"path": "a,\r\nb", "note": 'say "x"'}, {"path": "żółć", "note": ""},
    ]


def test_a_csv_of_one_column_is_a_text_each() -> None:
    """So that {} means something; with more columns it does not."""
    one, two = read(b"a\n1\n", "csv"), read(b"a,b\n1,2\n", "csv")
    assert [each.text for each in one + two if isinstance(each, Entry)] == ["1", None]


def test_bad_rows_of_csv_are_told_by_the_line_where_they_begin() -> None:
    """Too short, too long, not UTF-8, badly quoted: each with its line, newlines in fields
    counted; what is good between them is read."""
    data = b'a,b\n"x\ny",1\none\n1,2,3\ncaf\xe9,1\n"x"y,3\ngood,1\n"open,4\nend,5\n'
    assert complaints(data, "csv") == [
        (4, "1 field, and the header has 2"),
        (5, "3 fields, and the header has 2"),
        (6, "it is not utf-8 (byte 4 is 0xe9)"),
        (7, 'text follows a closing quote (a quote within quotes is written "")'),
        (9, "a quote is opened and not closed"),
    ]
    good = [each.parameters["a"] for each in read(data, "csv") if isinstance(each, Entry)]
    assert good == ["x\ny", "good"]


def test_a_quote_that_swallows_the_file_is_bounded() -> None:
    """It ends at the largest field, and says what it probably is."""
    data = b'a,b\n"x,1\n' + b"y,2\n" * 50_000
    number, why = complaints(data, "csv")[0]
    assert number == 2
    assert "is a quote not closed?" in why


@pytest.mark.parametrize(("data", "why"), [
    (b"", "it is empty, and CSV begins with a header"),
    (b"\n\r\n", "it is empty"),
    (b"a,,c\n", "has no name for column 2"),
    (b"a,b,a\n", "the column 'a' twice"),
    (b"a;b\n1;2\n", "say --delimiter ';'"),
    (b"caf\xe9,b\n", "not utf-8"),
    (b'"a,b\n1,2\n', "a quote is opened"),
    ("a,b\n".encode("utf-16"), "iconv -f utf-16"),
])
def test_a_header_that_is_none_ends_the_reading(data: bytes, why: str) -> None:
    """Without it no row means anything."""
    with pytest.raises(BadInput, match=why.replace("(", r"\(")):
        read(data, "csv")


def test_another_delimiter_and_encoding() -> None:
    """A table from a spreadsheet of Western Europe."""
    data = "name;size\ncafé;1,5\n".encode("cp1252")
    assert parameters(data, "csv", delimiter=";", encoding="cp1252") == [
        {"name": "café", "size": "1,5"},
    ]


@pytest.mark.parametrize(("how", "why"), [
    ({"encoding": "klingon"}, "there is no encoding 'klingon'"),
    ({"encoding": "utf-16"}, "cannot be read line by line"),
    ({"encoding": "base64"}, "there is no encoding"),
    ({"delimiter": ""}, "one character"),
    ({"delimiter": "||"}, "one character"),
    ({"delimiter": '"'}, "one character"),
])
def test_what_nothing_can_be_read_with(how: dict[str, str], why: str) -> None:
    """It is refused before anything is read."""
    with pytest.raises(BadInput, match=why):
        Reading(Format.CSV, **how)  # type: ignore[arg-type]


def test_a_line_that_is_too_long_is_not_kept() -> None:
    """Its number is told, and the next is read."""
    assert complaints(b"x" * 200 + b"\nshort\n", "lines", longest=100) == [
        (1, "it is longer than 100 bytes"),
    ]


def test_a_list_by_print0_read_as_lines_is_recognised() -> None:
    """NUL in a line: no program can get it, and the flag that was meant is named."""
    [bad] = read(b"a\0b\0", "lines")
    assert isinstance(bad, BadLine)
    assert "--find0" in str(bad.advice)


def test_the_name_of_a_file_that_is_no_text_is_shown() -> None:
    """One among ten thousand has to be found."""
    assert complaints(b"good\0caf\xe9.txt\0", "find0") == [
        (2, r"b'caf\xe9.txt' is not UTF-8 (byte 4 is 0xe9)"),
    ]


def test_items_come_while_the_input_still_does() -> None:
    """Nothing is gathered: an endless input gives its first items."""

    def endless() -> Iterator[bytes]:
        yield b"a,b\n"
        while True:
            yield b"1,2\n"

    found = items(endless(), Reading(Format.CSV))
    assert next(found) == Entry(2, {"a": "1", "b": "2"})
    assert next(found) == Entry(3, {"a": "1", "b": "2"})


def test_complaints_name_the_first_bad_lines_and_count_the_rest() -> None:
    """The way out is said once, at the end, and that nothing was stored."""
    found = Complaints("list.csv")
    for number in range(1, TOLD + 6):
        found.add(BadLine(number, "it is bad", "mend it"))
    with pytest.raises(BadInput) as caught:
        found.check()
    lines = str(caught.value).splitlines()
    assert lines[0] == "list.csv, line 1: it is bad"
    assert lines[TOLD:] == [
        "list.csv: and 5 more", "list.csv: mend it",
        f"list.csv has {TOLD + 5} bad lines; nothing was stored",
    ]


def test_no_complaint_is_no_error() -> None:
    """A clean input goes on."""
    Complaints("list.csv").check()
