"""What the terminal can show: its encoding, colours, and how many columns a text takes."""

import os
import sys
import unicodedata
from collections.abc import Mapping
from typing import TextIO

from jobd.cli.table import printable

PLAIN, BOLD, DIM, RED, GREEN, YELLOW, CYAN = "", "1", "2", "31", "32", "33", "36"


class Look:
    """How text may look on one output: in colours or not, with all letters or ASCII alone."""

    def __init__(self, *, colours: bool, letters: bool) -> None:
        self.colours = colours
        self.letters = letters

    def safe(self, text: str) -> str:
        """`text` on one line with nothing in it that the terminal would obey.

        To a terminal that does not speak UTF-8 the bytes of a harmless letter may be controls.
        """
        text = printable(text)
        return text if self.letters else text.encode("ascii", "backslashreplace").decode()

    def paint(self, text: str, colour: str) -> str:
        """`text`, which must be safe already, in a colour."""
        return f"\x1b[{colour}m{text}\x1b[0m" if self.colours and colour and text else text


def look_of(stream: TextIO, wish: str, environment: Mapping[str, str] = os.environ) -> Look:
    """How to write to `stream`; `wish` is always, never or auto: colours on a terminal."""
    terminal = stream.isatty()
    wanted = terminal and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    return Look(
        colours=wish == "always" or (wish == "auto" and wanted),
        letters=not terminal or speaks_utf8(stream.encoding, environment),
    )


def speaks_utf8(encoding: str | None, environment: Mapping[str, str]) -> bool:
    """Whether the terminal does, by the locale: Python itself takes UTF-8 where that says C."""
    names = (environment.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    locale = next((name for name in names if name), "")
    utf8 = (encoding or "").lower().replace("-", "").startswith("utf8")
    return utf8 and "utf8" in locale.lower().replace("-", "")


def width_of(text: str) -> int:
    """The columns that `text` takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def cut(text: str, width: int) -> str:
    """As much of `text` as fits into `width` columns, filled up with spaces to exactly that."""
    room, kept = max(width, 0), []
    for character in text:
        room -= _columns(character)
        if room < 0:
            room += _columns(character)
            break
        kept.append(character)
    return "".join(kept) + " " * room


def size(stream: TextIO | None = None) -> tuple[int, int]:
    """Columns and lines of the terminal; a usual page where there is none."""
    try:
        found = os.get_terminal_size((stream or sys.stdout).fileno())
    except (OSError, ValueError):
        return 100, 60
    return found.columns or 80, found.lines or 24


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
