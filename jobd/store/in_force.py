"""The file beside the database in which the active daemon keeps what it read of its settings."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from jobd.store.files import file_mode, write_atomically

LONGEST_WHY = 300


class InForce(NamedTuple):
    """By whom, from which file, and a digest of each value (core/in_force.py)."""

    pid: int
    file: str | None
    salt: str
    values: Mapping[str, str]
    beaten: Sequence[str]
    ended: Mapping[str, Any]
    """How it ended, once it has: `exit_status` and `why`, which is empty when it was asked to."""
    unit: str = ""
    """The service that it is (core/service.py)."""


def in_force_file(database: Path) -> Path:
    return Path(f"{database}.settings")


def keep(database: Path, found: InForce) -> None:
    """Write it for whoever may read the database; on a full disk there is none."""
    path = in_force_file(database)
    with suppress(OSError):
        path.unlink(missing_ok=True)
        write_atomically(path, json.dumps(found._asdict()), file_mode(path))


def kept(database: Path) -> InForce | None:
    """What the last daemon kept; None when there is nothing that can be read."""
    try:
        told = json.loads(in_force_file(database).read_text(encoding="utf-8"))
        found = InForce(**{"ended": {}, **told})
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    fits = isinstance(found.values, dict) and isinstance(found.beaten, list) \
        and isinstance(found.file, str | None) and isinstance(found.ended, dict)
    return found if fits else None


def last_unit(database: Path) -> str:
    """The service that the last daemon was; empty when it was none, or did not say."""
    found = kept(database)
    return found.unit if found and isinstance(found.unit, str) else ""


def last_words(database: Path) -> str:
    """How the last daemon ended, as the end of a sentence; empty when it did not say."""
    found = kept(database)
    if found is None or not found.ended:
        return ""
    why = str(found.ended.get("why") or "")[:LONGEST_WHY]
    status = found.ended.get("exit_status")
    return f"pid {found.pid} ended with exit status {status}, because {why}" if why else \
        f"pid {found.pid} was stopped, and ended with exit status {status}"
