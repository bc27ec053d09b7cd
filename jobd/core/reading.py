"""Reading settings from a file's tables, the environment and flags; every problem is collected."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jobd.core.names import nearest
from jobd.core.settings import Keys, Setting
from jobd.errors import BadInput

PREFIX = "JOBD_"
NOT_SETTINGS = frozenset({"JOBD_CONFIG", "JOBD_ATTEMPT", "JOBD_JOB_ID", "JOBD_OWNER"})
"""Variables that begin with JOBD_ and are no settings."""


class Reading:
    """What the sources say so far: `values` by path, each source beating those read before it.

    `tables` are the paths of tables that the file holds; `problems` a sentence for each mistake.
    """

    def __init__(self, settings: Mapping[Keys, Setting]) -> None:
        self.values: dict[Keys, Any] = {}
        self.tables: set[Keys] = set()
        self.problems: list[str] = []
        self._settings = settings
        self._fixed = [each for path, each in settings.items() if "*" not in path]

    def read_file(self, tables: Mapping[str, object], source: str) -> None:
        """Take every value of a parsed TOML file."""
        for key, value in tables.items():
            self._walk((key,), value, source)

    def read_environment(self, environment: Mapping[str, str]) -> None:
        """Take every JOBD_ variable; an empty one counts as not set."""
        known = {each.variable: each for each in self._fixed}
        for variable, text in sorted(environment.items()):
            if not variable.startswith(PREFIX) or variable in NOT_SETTINGS or not text:
                continue
            found = known.get(variable)
            if found is None:
                self._unknown_variable(variable, known)
            else:
                self._take(found.path, f"environment: {variable}", text, found.kind.parse)

    def read_flags(self, flags: Mapping[str, object]) -> None:
        """Take every flag by its dotted name; None counts as not given."""
        known = {each.name: each for each in self._fixed}
        for name, value in flags.items():
            found = known.get(name)
            if value is None:
                continue
            if found is None:
                self._unknown(f"command line: unknown setting {name}", name, known)
            else:
                read = found.kind.parse if isinstance(value, str) else found.kind.read
                self._take(found.path, f"command line: {name}", value, read)

    def _walk(self, path: Keys, value: object, source: str) -> None:
        name = ".".join(path)
        found = find(self._settings, path)
        if not self._key_fits(path, f"{source}: {name}"):
            return
        if found is not None:
            self._take(path, f"{source}: {name}", value, found.kind.read)
        elif not self._is_table(path):
            self._unknown_leaves(path, value, source)
        elif isinstance(value, Mapping):
            self.tables.add(path)
            for key, inner in value.items():
                self._walk((*path, key), inner, source)
        else:
            way_out = f"this is a table; write [{name}] and its settings beneath"
            self._report(f"{source}: {name} = {shown(value)}: {way_out}")

    def _key_fits(self, path: Keys, where: str) -> bool:
        """Whether the last part of `path`, where the user chooses it, is a name that may be."""
        for known, found in self._settings.items():
            chosen = known[: len(path)][-1] == "*" and _matches(known[: len(path)], path)
            if chosen and found.check_key is not None:
                try:
                    found.check_key(path[-1])
                except BadInput as error:
                    self._report(f"{where}: {error}")
                    return False
        return True

    def _is_table(self, path: Keys) -> bool:
        return any(_matches(known[: len(path)], path) for known in self._settings)

    def _unknown_leaves(self, path: Keys, value: object, source: str) -> None:
        if isinstance(value, Mapping) and value:
            for key, inner in value.items():
                self._unknown_leaves((*path, key), inner, source)
        else:
            name = ".".join(path)
            near = {name for known in self._settings for name in _spelt(known, path)}
            self._unknown(f"{source}: unknown setting {name}", name, near)

    def _take(self, path: Keys, label: str, value: Any, read: Callable[[Any], object]) -> None:
        try:
            self.values[path] = read(value)
        except BadInput as error:
            self._report(f"{label} = {shown(value)}: {error}")

    def _unknown_variable(self, variable: str, known: Iterable[str]) -> None:
        """What all of them begin with makes none of them near."""
        own = {name.removeprefix(PREFIX) for name in known}
        near = nearest(variable.removeprefix(PREFIX), sorted(own))
        problem = f"environment: unknown variable {variable}"
        self._report(f"{problem}; did you mean {PREFIX}{near[0]}?" if near else problem)

    def _unknown(self, problem: str, name: str, candidates: Iterable[str]) -> None:
        near = nearest(name, sorted(candidates))
        self._report(f"{problem}; did you mean {near[0]}?" if near else problem)

    def _report(self, problem: str) -> None:
        self.problems.append("".join(map(_printable, problem)))


def _printable(character: str) -> str:
    escaped = character.encode("unicode_escape").decode()
    return character if character.isprintable() else escaped


def find(settings: Mapping[Keys, Setting], path: Keys) -> Setting | None:
    """The setting that stands at `path`, be it by its own name or by a "*"."""
    exact = settings.get(path)
    return exact or next((s for known, s in settings.items() if _matches(known, path)), None)


def _matches(pattern: Keys, path: Keys) -> bool:
    return len(pattern) == len(path) and all(
        wanted in ("*", part) for wanted, part in zip(pattern, path, strict=True)
    )


def _spelt(pattern: Keys, path: Keys) -> Iterator[str]:
    """What a misspelt `path` may have meant: `pattern` and its tables, with the user's own keys."""
    parts = [path[i] if part == "*" and i < len(path) else part for i, part in enumerate(pattern)]
    if "*" not in parts:
        yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def shown(value: object) -> str:
    """A value as an error message quotes it: one line, at most 60 characters, printable."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=not value.isprintable())
    else:
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
