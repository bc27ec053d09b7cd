"""What a setting is: its name, type, default, doc and check, declared where the value lives.

A frozen dataclass declares its fields with `setting(...)`; everything else (reading the file, the
environment and the flags, the reload, the documented file) walks these declarations.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import field, fields, is_dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from jobd.core.durations import format_duration, parse_duration
from jobd.core.names import nearest
from jobd.errors import BadInput

T = TypeVar("T")
Keys = tuple[str, ...]
"""Where a setting stands: ("pool", "workers"). A "*" stands for a name that the user chooses."""


class Kind(Protocol):
    """A type of setting; both methods raise BadInput with the way out, never naming the value."""

    def read(self, value: object) -> object:
        """The checked value of what stands in the file."""

    def parse(self, text: str) -> object:
        """The checked value of what stands in a variable or a flag."""


class Setting(NamedTuple):
    """One declared setting; `reload` says whether SIGHUP may change it."""

    path: Keys
    default: object
    doc: str
    kind: Kind
    reload: bool
    check_key: Callable[[str], object] | None = None

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        return "JOBD_" + "_".join(self.path).upper()


def setting(default: T, doc: str, kind: Kind, *, reload: bool = True) -> T:
    """Declare a dataclass field as a setting."""
    return field(default=default, metadata={"doc": doc, "kind": kind, "reload": reload})


def declared(prefix: Keys, holder: type[Any] | Any) -> Iterator[Setting]:
    """The settings that a dataclass declares; an instance says other defaults than its class."""
    for each in fields(holder):
        if "kind" in each.metadata:
            default = each.default if isinstance(holder, type) else getattr(holder, each.name)
            yield Setting((*prefix, each.name), default, **each.metadata)
        elif is_dataclass(each.type):
            yield from declared((*prefix, each.name), each.type)


class Whole(NamedTuple):
    """A whole number within bounds, both included."""

    low: int
    high: int

    def read(self, value: object) -> int:
        if type(value) is int and self.low <= value <= self.high:
            return value
        raise BadInput(f"write a whole number from {self.low} to {self.high}")

    def parse(self, text: str) -> int:
        return self.read(int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text)


class Number(NamedTuple):
    """A number within bounds, both included."""

    low: float
    high: float

    def read(self, value: object) -> float:
        if (type(value) is int or type(value) is float) and self.low <= value <= self.high:
            return float(value)
        raise BadInput(f"write a number from {self.low:g} to {self.high:g}")

    def parse(self, text: str) -> float:
        return self.read(float(text) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) else text)


class Duration(NamedTuple):
    """Seconds, written as text with a unit; with `optional`, "none" is None."""

    low: float
    high: float
    optional: bool = False

    def read(self, value: object) -> float | None:
        if isinstance(value, str):
            return self.parse(value)
        likely = f"{value}s" if type(value) is int and 0 < value < 1_000_000 else "5s"
        raise BadInput(f'write a duration such as "{likely}"')

    def parse(self, text: str) -> float | None:
        if self.optional and text == "none":
            return None
        seconds = self._seconds(text)
        if not self.low <= seconds <= self.high:
            bounds = f"{format_duration(self.low)} to {format_duration(self.high)}"
            raise BadInput(f"write a duration from {bounds}")
        return seconds

    def _seconds(self, text: str) -> float:
        try:
            return parse_duration(text)
        except BadInput:
            forms = '"500ms", "30s", "10m", "2h" or "7d"' + ', or "none"' * self.optional
            raise BadInput(f"write a duration such as {forms}") from None


class Choice:
    """One word of a few; `read` returns the word itself as it was handed in here."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def read(self, value: object) -> str:
        for word in self.words:
            if word == value:
                return word
        near = nearest(str(value), self.words)
        hint = f'did you mean "{near[0]}"? ' if near else ""
        *most, last = (f'"{word}"' for word in self.words)
        raise BadInput(f"{hint}write {', '.join(most)} or {last}")

    def parse(self, text: str) -> str:
        return self.read(text)


class Text(NamedTuple):
    """Any text without NUL; `empty` says whether it may be empty."""

    what: str
    empty: bool = False

    def read(self, value: object) -> str:
        if not isinstance(value, str) or "\0" in value or not (value or self.empty):
            raise BadInput(f"write {self.what} in quotes")
        return value

    def parse(self, text: str) -> str:
        return self.read(text)


class Texts(NamedTuple):
    """A list whose items match a pattern; ":" separates them in a variable or a flag."""

    what: str
    example: str
    pattern: str

    def read(self, value: object) -> tuple[str, ...]:
        items = value if isinstance(value, list | tuple) else (None,)
        if not all(isinstance(item, str) and re.fullmatch(self.pattern, item) for item in items):
            raise BadInput(f'write a list of {self.what} such as ["{self.example}"]')
        return tuple(items)

    def parse(self, text: str) -> tuple[str, ...]:
        return self.read([item for item in text.split(":") if item])
