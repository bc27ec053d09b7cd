"""The settings in force against the file: the daemon keeps what it read, others compare."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from jobd.cli.options import Settings, read_toml
from jobd.core.config import Config, load, reloaded, set_by
from jobd.core.in_force import Changed, changed, digests
from jobd.core.presence import Presence
from jobd.core.service import systemctl
from jobd.errors import ConfigurationError
from jobd.store.in_force import InForce, keep, kept


class Keeper:
    """In the daemon: what its file alone said, as far as it is in force, is told at each reading.

    A reload that does not take a setting leaves its old value in force, here as in the daemon.
    """

    def __init__(
        self, found: Settings, flags: Mapping[str, object], environment: Mapping[str, str],
        unit: str = "",
    ) -> None:
        self._found = found
        self._unit = unit
        self._beaten = sorted(set_by(environment, flags))
        self._salt = os.urandom(8).hex()
        self._config = _alone(found.tables)
        self._keep()

    def reloaded(self, found: Settings) -> None:
        """The file was read again, and is accepted."""
        self._config = reloaded(self._config, _alone(found.tables))
        self._keep()

    def ended(self, status: int, why: str) -> None:
        """The last words, for whoever asks why no daemon is there."""
        self._keep({"exit_status": status, "why": why})

    def _keep(self, ended: Mapping[str, object] = MappingProxyType({})) -> None:
        file = self._found.config_file
        keep(self._found.db, InForce(
            os.getpid(), None if file is None else str(file.absolute()), self._salt,
            digests(self._config, self._salt), self._beaten, dict(ended), self._unit,
        ))


@dataclass(frozen=True, slots=True)
class Edited:
    """What the daemon does not know of its file; `text` is a sentence, `mend` what to type."""

    text: str
    mend: str
    changed: Changed


def edited(found: Settings, seen: Presence) -> Edited | None:
    """How the file differs from what the active daemon has read; None when it does not."""
    told = kept(found.db) if seen.alive else None
    if told is None or told.pid != seen.pid:
        return None
    pid = seen.pid_here or seen.pid
    here = None if found.config_file is None else str(found.config_file.absolute())
    if told.file is None or told.file != here:
        return _another_file(told.file, here, pid)
    try:
        config = _alone(read_toml(Path(told.file)))
    except ConfigurationError:
        return None  # broken, or not ours to read: that is said elsewhere
    differs = changed(told.values, config, told.salt, told.beaten)
    if not differs:
        return None
    text = f"{told.file} has changed since the daemon, pid {pid}, read it: {differs}"
    return Edited(text, _mend(differs, pid, told.unit), differs)


def _mend(differs: Changed, pid: int | None, unit: str) -> str:
    if differs.by_restart:
        return systemctl("restart", unit) or f"restart the daemon, pid {pid}"
    return systemctl("reload", unit) or f"kill -HUP {pid}"


def _another_file(theirs: str | None, here: str | None, pid: int | None) -> Edited | None:
    if theirs == here:
        return None
    read = "no configuration file" if theirs is None else theirs
    ours = "none" if here is None else here
    way = f"--config {theirs}, or restart the daemon" if theirs else "restart the daemon"
    return Edited(f"the daemon, pid {pid}, has read {read}, and this command reads {ours}",
                  f"{way}, whichever is meant", Changed())


def _alone(tables: Mapping[str, object]) -> Config:
    """What the file says by itself, whatever beats it."""
    return load(tables, {}, {})
