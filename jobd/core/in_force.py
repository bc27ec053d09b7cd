"""The settings that a daemon has read from its file, kept so that a later edit can be named.

Only digests are kept, each with the same salt: a value may be a secret.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from jobd.core.config import SETTINGS, Config, flat
from jobd.core.reading import find


@dataclass(frozen=True, slots=True)
class Changed:
    """Settings that stand in the file otherwise than the daemon read them, by dotted name."""

    by_reload: Sequence[str] = ()
    by_restart: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.by_reload or self.by_restart)

    def __str__(self) -> str:
        parts = [("a reload takes", self.by_reload), ("a restart takes", self.by_restart)]
        return ", ".join(f"{how} {_listed(names)}" for how, names in parts if names)


def digests(config: Config, salt: str) -> dict[str, str]:
    """A digest of every value, by dotted name."""
    return {
        ".".join(path): hashlib.sha256(f"{salt} {path} {value!r}".encode()).hexdigest()[:16]
        for path, value in flat((), config).items()
    }


def changed(
    kept: Mapping[str, str], config: Config, salt: str, beaten: Collection[str]
) -> Changed:
    """What the file says otherwise now; `beaten` are settings that a flag or variable decides."""
    found = digests(config, salt)
    names = {name for name in kept.keys() | found.keys() if kept.get(name) != found.get(name)}
    lists: tuple[list[str], list[str]] = ([], [])
    for name in sorted(names - set(beaten)):
        setting = find(SETTINGS, tuple(name.split(".")))
        lists[setting is not None and not setting.reload].append(name)
    return Changed(*lists)


def _listed(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
