"""Arguments made from an item: `{}`, `{.}`, `{/}`, `{//}`, `{/.}`, `{name}` and `{#}`.

They mean what they mean to GNU parallel. What comes out are arguments of a program, never text
that a shell reads.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from posixpath import basename, dirname
from typing import Any

from jobd.errors import BadInput

_BRACES = re.compile(r"\{\{([^{}]*)\}\}|\{([^{}]*)\}")
_WORD = re.compile(r"[\w-]+|%|##|\.\.")
_SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "ash"}


def _without_extension(text: str) -> str:
    return re.sub(r"\.[^/.]*\Z", "", text)


_PARTS: Mapping[str, Callable[[str], str]] = {
    "//": lambda text: dirname(text.rstrip("/") if text.strip("/") else text[:1]) or ".",
    "/.": lambda text: _without_extension(basename(text)),
    "/": basename,
    ".": _without_extension,
    "": str,
}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where something of the item goes: of a column, or of all of it; `part` says what of it."""

    column: str | None
    part: str


class Template:
    """Words with places for what each item holds; made once, filled for each."""

    def __init__(self, words: Sequence[str], columns: Collection[str] | None) -> None:
        """`columns` are the names that a place may have; None lets each item have its own.

        Raises:
            BadInput: a place names no column, or is none that jobd knows.
        """
        self._columns = columns
        self._words = [self._parsed(word) for word in words]
        places = [any(isinstance(part, _Place) for part in word) for word in self._words]
        self.has_places = any(places)
        self._fixed = [None if place else "".join(map(str, word))
                       for word, place in zip(self._words, places, strict=True)]
        """The words that are the same for every item."""

    @property
    def wants_whole(self) -> bool:
        """Whether `{}` or a part of it occurs, which an item of several columns has not."""
        return any(isinstance(part, _Place) and part.column is None and part.part != "#"
                   for word in self._words for part in word)

    def fill(self, values: Mapping[str, Any], whole: str | None, position: int) -> list[str]:
        """The words for one item.

        Raises:
            BadInput: the item lacks what a place asks for, or it is no text.
        """
        return [
            "".join([self._filled(part, values, whole, position) for part in word])
            if fixed is None else fixed
            for fixed, word in zip(self._fixed, self._words, strict=True)
        ]

    def check_shell(self) -> None:
        """Refuse what would make an item part of a shell's program."""
        words = self._words
        first = [word[0] if len(word) == 1 and isinstance(word[0], str) else "" for word in words]
        if not first or basename(first[0]) not in _SHELLS:
            return
        for index, word in enumerate(first[1:-1], 1):
            if re.fullmatch(r"-\w*c", word):
                script = words[index + 1]
                if any(isinstance(part, _Place) and part.part != "#" for part in script):
                    raise BadInput(
                        "an item cannot be part of a shell's program, where its spaces and quotes "
                        f"would act; hand it over: {basename(first[0])} -c '… \"$1\" …' sh {{}}"
                    )
                return
            if not word.startswith("-"):
                return

    def _parsed(self, word: str) -> list[str | _Place]:
        parts: list[str | _Place] = []
        end = 0
        for match in _BRACES.finditer(word):
            literal, inside = match.groups()
            if inside is None and self._means(literal) is not None:
                found: str | _Place = f"{{{literal}}}"
            else:
                place = None if inside is None else self._means(inside)
                if place is None:
                    continue
                found = self._checked(place, inside)
            parts += [word[end : match.start()], found]
            end = match.end()
        parts.append(word[end:])
        return _joined(parts)

    def _means(self, inside: str) -> _Place | None:
        """The place that `{inside}` is; None when it is literal text."""
        if self._columns is not None and inside in self._columns:
            return _Place(inside, "")
        if inside == "#":
            return _Place(None, "#")
        for part in _PARTS:
            name = inside.removesuffix(part)
            if not inside.endswith(part) or (not name and part != inside):
                continue
            known = self._columns is not None and name in self._columns
            if not name or known or _WORD.fullmatch(name):
                return _Place(name or None, part)
        return None

    def _checked(self, place: _Place, inside: str) -> _Place:
        name = place.column
        if name is None or (self._columns is None and not _no_column(name)):
            return place
        if self._columns is None or name not in self._columns:
            there = ", ".join(f"{{{each}}}" for each in self._columns or ())
            of_item = "{}, {.}, {/}, {//}, {/.}, {#}"
            raise BadInput(
                f"there is no {{{inside}}} here; there are "
                f"{there or of_item}; for the letters themselves write {{{{{inside}}}}}"
            )
        return place

    @staticmethod
    def _filled(
        part: str | _Place, values: Mapping[str, Any], whole: str | None, position: int
    ) -> str:
        if isinstance(part, str):
            return part
        if part.part == "#":
            return str(position)
        if part.column is None:
            if whole is None:
                raise BadInput("it has columns, so that {} says too little: name one")
            value: Any = whole
        elif part.column in values:
            value = values[part.column]
        else:
            raise BadInput(f"it has no {part.column!r:.60}")
        text = _PARTS[part.part](as_text(part.column or "", value))
        if "\0" in text:
            raise BadInput("an argument cannot hold the character NUL")
        return text


def as_text(name: str, value: Any) -> str:
    """A value as an argument: text as it is, numbers and truth as JSON writes them."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    kind = "null" if value is None else "an array" if isinstance(value, list) else "an object"
    raise BadInput(f"{name!r:.60} is {kind}, and an argument is text")


def _no_column(name: str) -> bool:
    """Whether a place without columns to compare is meant for another program, as `{1}`, `{%}`."""
    return not re.fullmatch(r"[^\W\d][\w-]*", name)


def _joined(parts: list[str | _Place]) -> list[str | _Place]:
    """Text beside text as one."""
    found: list[str | _Place] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        elif part != "":
            found.append(part)
    return found
