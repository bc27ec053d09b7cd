"""How `jobd top` fits a terminal: nothing is cut in a word or a number without a mark."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jobd.cli.terminal import DIM, PLAIN, Look, cut, width_of

WIDEST, NARROWEST = 24, 8
"""Columns of the terminal that a column of text may take, where there is room, and where not."""
LEAST = 4
"""So much room the last column of a table is worth."""

Cell = tuple[str, str]
"""Text, and its colour."""
Line = list[Cell]


@dataclass(slots=True)
class Section:
    """A table with its heading."""

    heading: Sequence[str]
    rows: list[list[Cell]]
    right: frozenset[int] = frozenset()
    """Which columns stand to the right; these are numbers and times, and never shortened."""

    def lines(self, number: int, columns: int, look: Look) -> Iterator[Line]:
        """The heading and the first `number` rows, aligned, with those columns that have room."""
        rows = [[(look.safe(text), colour) for text, colour in row] for row in self.rows[:number]]
        table = [[(text, DIM) for text in self.heading], *rows]
        widths = self._widths(table, columns)
        for row in table:
            line: Line = []
            for column, (width, (text, colour)) in enumerate(zip(widths, row, strict=False)):
                fitted = shortened(text, width, look)
                room = " " * (width - width_of(fitted))
                fitted = room + fitted if column in self.right else fitted + room
                line += [("  " * (column > 0), PLAIN), (fitted, colour)]
            yield line

    def _widths(self, table: list[list[Cell]], columns: int) -> list[int]:
        """How wide each column is, from the left, as far as they have room."""
        natural = [max(width_of(row[column][0]) for row in table)
                   for column in range(len(self.heading))]
        last = max(width_of(self.heading[-1]), min(natural[-1], LEAST))
        for widest in range(WIDEST, NARROWEST - 1, -1):
            widths = [width if column in self.right else min(width, widest)
                      for column, width in enumerate(natural[:-1])]
            if sum(widths) + 2 * len(widths) + last <= columns:
                left = columns - sum(widths) - 2 * len(widths)
                return [*widths, min(natural[-1], left)]
        while len(widths) > 1 and sum(widths) + 2 * (len(widths) - 1) > columns:
            widths.pop()
        return [min(widths[0], max(columns, 0)), *widths[1:]]


def wrapped(line: Iterable[Cell], columns: int) -> Iterator[Line]:
    """The cells on as many lines as they need; each stays whole, without blanks at a beginning."""
    current: Line = []
    taken = 0
    for text, colour in line:
        if current and taken + width_of(text.rstrip()) > columns:
            yield current
            current, taken = [], 0
        text = text if current else text.lstrip()
        current.append((text, colour))
        taken += width_of(text)
    yield current


def words(text: str, colour: str) -> Line:
    """A sentence as cells, to be wrapped between its words."""
    first, *others = text.split() or [""]
    return [(first, colour), *((f" {word}", colour) for word in others)]


def painted(line: Line, columns: int, look: Look) -> str:
    """The line; a cell that is wider than what is left of the terminal is shortened."""
    parts: list[str] = []
    for text, colour in line:
        fitted = shortened(text if width_of(text) <= columns else text.rstrip(), columns, look)
        columns -= width_of(fitted)
        parts.append(look.paint(fitted, colour))
    return "".join(parts)


def shortened(text: str, width: int, look: Look) -> str:
    """`text` where it has room, else its beginning and a mark."""
    if width_of(text) <= width:
        return text
    return cut(text, width - 1).rstrip() + _mark(look) if width > 0 else ""


def ending(text: str, width: int, look: Look) -> str:
    """`text` where it has room, else a mark and its end, as the end of a path says most of it."""
    if width_of(text) <= width:
        return text
    while text and width_of(text) > width - 1:
        text = text[1:]
    return _mark(look) + text if text else ""


def _mark(look: Look) -> str:
    return "\u2026" if look.letters else "~"
