"""The jobs of `jobd demo`, each with what it has to come to."""

import ast
import contextlib
import gzip
import hashlib
import json
import shutil
import sys
import sysconfig
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobd.core.command import EXEC, Command
from jobd.core.lifecycle import COMPLETED, DEAD_LETTER, FailureType
from jobd.store.reading import Record

ARCHIVED = 4
KILL_AT = 0.4

Check = Callable[[Record, Sequence[Record]], str | None]
"""Given a job and its attempts that did not complete: what is wrong with it, or None."""


@dataclass(frozen=True)
class Planned:
    """One job to be: what is enqueued, how the report calls it, what it has to come to."""

    job_type: str
    payload: Mapping[str, Any]
    title: str
    check: Check
    trouble: bool = False
    """Whether it is one of those that get into trouble on purpose."""


def planned(directory: Path, files: int | None) -> list[Planned]:
    """Everything the demo runs, in the order in which it is enqueued."""
    sources = source_files()
    inspections = [_inspection(path) for path in _evenly(sources, files)]
    largest = sorted(sources, key=lambda path: Path(path).stat().st_size)[-ARCHIVED:]
    commands = [_compression(Path(path), directory / "archive") for path in largest]
    middle = round(KILL_AT * len(inspections))
    return [*_TROUBLE, *inspections[:middle], KILLER, *commands, *inspections[middle:]]


def source_files() -> list[str]:
    """Every .py file below the standard library, other people's packages left out."""
    root = Path(sysconfig.get_path("stdlib"))
    found = (path for path in root.rglob("*.py") if "site-packages" not in path.parts)
    return sorted(str(path) for path in found if path.is_file())


def _evenly(paths: list[str], count: int | None) -> list[str]:
    """`count` of the paths, spread over all of them."""
    if count is None or count >= len(paths):
        return paths
    return [paths[index * len(paths) // count] for index in range(max(count, 1))]


def _inspection(path: str) -> Planned:
    def check(job: Record, _attempts: Sequence[Record]) -> str | None:
        if job["status"] == DEAD_LETTER and job["failure_type"] == FailureType.VALIDATION:
            return "was refused, but its file parses" if _parses(path) else None
        if job["status"] != COMPLETED:
            return _is_not(job, COMPLETED)
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        return None if _result(job).get("sha256") == digest else "has the wrong digest"

    return Planned("inspect_source", {"path": path}, Path(path).name, check)


def _compression(source: Path, archive: Path) -> Planned:
    """`python -m gzip`, which every machine with Python has, on a copy of a real file."""
    archive.mkdir(exist_ok=True)
    copy = archive / source.name
    shutil.copyfile(source, copy)
    gzip_it = (sys.executable, "-P", "-m", "gzip", "--best", str(copy))
    command = Command(argv=gzip_it, cwd=str(archive))

    def check(job: Record, _attempts: Sequence[Record]) -> str | None:
        if job["status"] != COMPLETED:
            return _is_not(job, COMPLETED)
        packed = Path(f"{copy}.gz")
        with contextlib.suppress(OSError, EOFError):
            if gzip.decompress(packed.read_bytes()) == source.read_bytes():
                return None
        return f"did not compress {source.name} rightly"

    return Planned(EXEC, command.payload(), f"gzip {source.name}", check)


def _parses(path: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(Path(path).read_bytes())
        except (SyntaxError, ValueError):
            return False
    return True


def _result(job: Record) -> dict[str, Any]:
    found = json.loads(job["result"] or "{}")
    return found if isinstance(found, dict) else {}


def _is_not(job: Record, wanted: str) -> str:
    return f"is {job['status']}, not {wanted}: {job['failure_type']} {job['error_message']}"


def _failed(attempts: Sequence[Record], failure_type: FailureType) -> int:
    return sum(attempt["failure_type"] == failure_type for attempt in attempts)


def _overran(job: Record, attempts: Sequence[Record]) -> str | None:
    if job["status"] != COMPLETED:
        return _is_not(job, COMPLETED)
    return None if _failed(attempts, FailureType.TIMEOUT) == 1 else "did not overrun once"


def _killed(job: Record, _attempts: Sequence[Record]) -> str | None:
    if job["status"] != COMPLETED:
        return _is_not(job, COMPLETED)
    return None if job["rescue_count"] else "was not rescued"


def _failed_twice(job: Record, attempts: Sequence[Record]) -> str | None:
    if job["status"] != COMPLETED:
        return _is_not(job, COMPLETED)
    return None if _failed(attempts, FailureType.NETWORK) == 2 else "did not fail twice as network"


def _refused(job: Record, _attempts: Sequence[Record]) -> str | None:
    fits = job["status"] == DEAD_LETTER and job["failure_type"] == FailureType.VALIDATION
    return None if fits else _is_not(job, DEAD_LETTER)


_TROUBLE = (
    Planned("overrun_once", {}, "overruns its timeout of 1 s, is retried", _overran, True),
    Planned("fail_twice", {}, "fails twice as network, then succeeds", _failed_twice, True),
    Planned("resize", {"width": -1}, "has a payload its handler refuses", _refused, True),
)
KILLER = Planned("kill_daemon_once", {}, "kills the daemon, is rescued", _killed, True)
