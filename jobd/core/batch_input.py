"""The items of a batch as they come in: lines, NDJSON, CSV with a header, names ended by NUL.

They are read one at a time, in bounded memory. A line that is no item comes as a `BadLine` among
the items, with its number, so that all of them can be told before anything is stored.
"""

import codecs
import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from jobd.core.payload import parse_payload
from jobd.errors import BadInput

TOLD = 20
"""Bad lines that are told one by one; the others are counted."""

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Format(StrEnum):
    """How items stand in what is read."""

    LINES = "lines"
    NDJSON = "ndjson"
    CSV = "csv"
    NUL = "find0"


@dataclass(frozen=True, slots=True)
class Entry:
    """One item: its own parameters, where it began, and its text where it is one."""

    line: int
    parameters: dict[str, Any]
    text: str | None = None
    """What `{}` means; None for an item of several columns."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no item, and why; `advice` is said once, however many need it."""

    line: int
    why: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read: the format, its encoding, the name that a text without columns gets."""

    format: Format
    name: str = "item"
    encoding: str = "utf-8"
    delimiter: str = ","
    longest: int = 1 << 20
    """Bytes of a line; one that is longer is a bad one."""

    def __post_init__(self) -> None:
        _check_encoding(self.encoding)
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise BadInput(f"a delimiter is one character, not {self.delimiter!r:.60}")

    @property
    def word(self) -> str:
        """What a piece of this input is called, with its number behind it."""
        return "name" if self.format is Format.NUL else "line"


def items(raw: Iterable[bytes], how: Reading) -> Iterator[Entry | BadLine]:
    """Each item of the input, whose lines (or names) come as bytes, in their order.

    Raises:
        BadInput: nothing of it can be read: a header that is none, UTF-16.
    """
    texts = _texts(raw, how)
    read = {Format.LINES: _lines, Format.NUL: _lines, Format.NDJSON: _objects, Format.CSV: _rows}
    return read[how.format](texts, how)


def _texts(raw: Iterable[bytes], how: Reading) -> Iterator[str | BadLine]:
    """Every line as text, without its end where an end means nothing."""
    for number, piece in enumerate(raw, 1):
        if number == 1 and how.format is not Format.NUL:
            piece = _without_mark(piece)
        if len(piece) > how.longest:
            yield BadLine(number, f"it is longer than {how.longest} bytes")
            continue
        try:
            yield piece.decode(how.encoding)
        except UnicodeError as error:
            yield _undecodable(number, error, how)


def _without_mark(piece: bytes) -> bytes:
    if piece.startswith(_UTF16):
        raise BadInput("it is UTF-16: convert it first, as with `iconv -f utf-16 -t utf-8`")
    return piece.removeprefix(_BOM)


def _undecodable(number: int, error: UnicodeError, how: Reading) -> BadLine:
    at = ""
    if isinstance(error, UnicodeDecodeError):
        at = f" (byte {error.start + 1} is 0x{error.object[error.start]:02x})"
    if how.format is Format.NUL:
        name = error.object[:60] if isinstance(error, UnicodeDecodeError) else b""
        advice = "names of files have to be UTF-8: rename those, or leave them out"
        return BadLine(number, f"{name!r} is not UTF-8{at}", advice)
    advice = "in what encoding is it? say --encoding latin-1, cp1252 … for another than utf-8"
    return BadLine(number, f"it is not {how.encoding}{at}", advice)


def _lines(texts: Iterable[str | BadLine], how: Reading) -> Iterator[Entry | BadLine]:
    """A text for each line; empty lines are none, and "\\r\\n" ends one too."""
    for number, text in enumerate(texts, 1):
        if isinstance(text, BadLine):
            yield text
            continue
        if how.format is Format.LINES:
            text = text.removesuffix("\n").removesuffix("\r")
        if "\0" in text:
            yield BadLine(number, "it holds the character NUL",
                          "is it a list by `find -print0`? then say --find0")
        elif text:
            yield Entry(number, {how.name: text}, text)


def _objects(texts: Iterable[str | BadLine], how: Reading) -> Iterator[Entry | BadLine]:
    for number, text in enumerate(texts, 1):
        if isinstance(text, BadLine):
            yield text
        elif text.strip():
            try:
                found = json.loads(parse_payload(text.rstrip(), how.longest))
            except BadInput as error:
                why = str(error).replace(" at line 1 column ", " at column ")
                yield BadLine(number, why.replace("payload ", "it ", 1))
            else:
                yield Entry(number, found)


class _Refused(Exception):
    """A line beneath the row that is being read."""

    def __init__(self, bad: BadLine) -> None:
        self.bad = bad


class _Feed:
    """Lines for the csv module, which asks for several when a field holds newlines."""

    def __init__(self, texts: Iterator[str | BadLine]) -> None:
        self.line = 0
        self._texts = texts

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        text = next(self._texts)
        self.line += 1
        if isinstance(text, BadLine):
            raise _Refused(text)
        return text


def _rows(texts: Iterator[str | BadLine], how: Reading) -> Iterator[Entry | BadLine]:
    found = _records(texts, how)
    header: list[str] | None = None
    for number, record in found:
        if header is None:
            header = _header(number, record, how)
        elif isinstance(record, BadLine):
            yield record
        elif len(record) != len(header):
            yield BadLine(number, f"{_fields(len(record))}, and the header has {len(header)}")
        else:
            whole = record[0] if len(record) == 1 else None
            yield Entry(number, dict(zip(header, record, strict=True)), whole)
    if header is None:
        raise BadInput("it is empty, and CSV begins with a header that names the columns")


def _records(
    texts: Iterator[str | BadLine], how: Reading
) -> Iterator[tuple[int, list[str] | BadLine]]:
    """Every row with the line on which it begins; empty lines are none."""
    feed = _Feed(texts)
    reader = csv.reader(feed, delimiter=how.delimiter, strict=True)
    while True:
        began = feed.line + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except _Refused as refused:
            yield refused.bad.line, refused.bad
        except csv.Error as error:
            yield began, _no_row(began, str(error))
        else:
            if record:
                yield began, record


def _no_row(began: int, said: str) -> BadLine:
    if "unexpected end" in said:
        said = "a quote is opened and not closed"
    elif "field limit" in said:
        said = f"a field is longer than {csv.field_size_limit()} characters: is a quote not closed?"
    elif "new-line" in said:
        said = "it holds a carriage return outside of quotes"
    elif "expected after" in said:
        said = 'text follows a closing quote (a quote within quotes is written "")'
    return BadLine(began, said)


def _header(number: int, record: list[str] | BadLine, how: Reading) -> list[str]:
    """The names of the columns; without them no row means anything."""
    if isinstance(record, BadLine):
        advice = f"; {record.advice}" if record.advice else ""
        raise BadInput(f"the header (line {record.line}): {record.why}{advice}")
    if "" in record:
        raise BadInput(f"the header (line {number}) has no name for column {record.index('') + 1}")
    twice = [name for index, name in enumerate(record) if name in record[:index]]
    if twice:
        raise BadInput(f"the header (line {number}) has the column {twice[0]!r:.60} twice")
    other = next((each for each in ";\t|" if each in record[0] and how.delimiter != each), None)
    if len(record) == 1 and other is not None:
        raise BadInput(f"the header (line {number}) is one column, {record[0]!r:.60}: "
                       f"are its columns parted by {other!r}? say --delimiter {other!r}")
    return record


def _fields(number: int) -> str:
    return f"{number} field{'' if number == 1 else 's'}"


def _check_encoding(encoding: str) -> None:
    try:
        codecs.lookup(encoding)
        fits = 'a\n\r,"{}'.encode(encoding) == b'a\n\r,"{}'
    except (LookupError, UnicodeError, ValueError):
        raise BadInput(
            f"there is no encoding {encoding!r:.60}; there are utf-8, latin-1, cp1252 …"
        ) from None
    if not fits:
        raise BadInput(f"{encoding} cannot be read line by line: convert it first, as with "
                       f"`iconv -f {encoding} -t utf-8`")


@dataclass(slots=True)
class Complaints:
    """Bad lines of one input: the first twenty with their reasons, and how many more."""

    source: str
    word: str = "line"
    count: int = 0
    _told: list[BadLine] = field(default_factory=list)
    _advice: dict[str, None] = field(default_factory=dict)

    def add(self, bad: BadLine) -> None:
        self.count += 1
        if len(self._told) < TOLD:
            self._told.append(bad)
            if bad.advice:
                self._advice[bad.advice] = None

    def check(self) -> None:
        """Raise BadInput with all of it when there was any."""
        if not self.count:
            return
        more = self.count - len(self._told)
        number = "a bad" if self.count == 1 else f"{self.count} bad"
        plural = "" if self.count == 1 else "s"
        raise BadInput("\n".join([
            *(f"{self.source}, {self.word} {bad.line}: {bad.why}" for bad in self._told),
            *([f"{self.source}: and {more} more"] if more else []),
            *(f"{self.source}: {advice}" for advice in self._advice),
            f"{self.source} has {number} {self.word}{plural}; nothing was stored",
        ]))
