"""How verbs print: tables for people, JSON for programs, and nothing that drives the terminal."""

import json
import unicodedata
from collections.abc import Mapping, Sequence

from jobd.core.durations import age

WIDEST = 60

Row = Mapping[str, object]


def printable(text: str) -> str:
    """`text` with every character that a terminal would obey written as an escape.

    That is all control characters (C0, C1, DEL), line and paragraph separators, formatting
    characters such as the bidi overrides, and surrogates. Lines stay lines only when the caller
    splits them first.
    """
    if text.isprintable():
        return text
    return "".join(c if _is_harmless(c) else _escape(c) for c in text)


def print_json(value: object) -> None:
    """`value` as indented ASCII: no character of a job's text reaches the terminal as it is."""
    print(as_json(value))


def as_json(value: object) -> str:
    """The text that `print_json` prints."""
    return json.dumps(value, indent=2).replace("\x7f", "\\u007f")


def print_table(rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Aligned columns under their names; numbers to the right, text cut at 60 characters."""
    heads = [column.upper().replace("_", " ") for column in columns]
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    right = [
        any(_is_number(row.get(column)) for row in rows)
        and all(_is_number(row.get(column)) or row.get(column) is None for row in rows)
        for column in columns
    ]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    for line in (heads, *cells):
        print(_aligned(line, widths, right))


def ago(moment: int | None, now: int) -> str | None:
    """A human age, or None for no time."""
    return None if moment is None else age(now, moment)


def _aligned(line: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(line, widths, right, strict=True)
    ]
    return "  ".join(parts).rstrip()


def _cell(value: object) -> str:
    if value is None:
        return "-"
    text = printable(str(value))
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_harmless(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
