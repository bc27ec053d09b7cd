"""The file beside the database in which the active daemon keeps what it read of its settings."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from jobd.store.files import file_mode
from jobd.store.measuring import write_atomically


@dataclass(frozen=True, slots=True)
class InForce:
    """By whom, from which file, and a digest of each value (core/in_force.py)."""

    pid: int
    file: str | None
    salt: str
    values: Mapping[str, str]
    beaten: Sequence[str]


def in_force_file(database: Path) -> Path:
    return Path(f"{database}.settings")


def keep(database: Path, found: InForce) -> None:
    """Write it for whoever may read the database; on a full disk there is none."""
    path = in_force_file(database)
    with suppress(OSError):
        path.unlink(missing_ok=True)
        write_atomically(path, json.dumps(asdict(found)), file_mode(path))


def kept(database: Path) -> InForce | None:
    """What the last daemon kept; None when there is nothing that can be read."""
    try:
        found = InForce(**json.loads(in_force_file(database).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    fits = isinstance(found.values, dict) and isinstance(found.beaten, list) \
        and isinstance(found.file, str | None)
    return found if fits else None
