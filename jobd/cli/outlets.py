"""Where the daemon tells others: the alert program and the metrics file, and whether it can."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from jobd.core.config import Config
from jobd.core.problem import lasted

LATE_MS = 10_000


def outlet_problems(
    config: Config, now: int, started_at: int | None = None
) -> Iterator[tuple[str, str]]:
    """(metrics or alerts, a sentence) for each that cannot be used.

    With a daemon that runs since `started_at` (ms) what it has written tells more than what this
    user may write.
    """
    if config.metrics.file:
        text = _metrics(Path(config.metrics.file), config.metrics.interval, now, started_at)
        if text:
            yield "metrics", f"metrics.file = {config.metrics.file!r}: {text}"
    if config.alerts.command:
        text = _program(config.alerts.command[0], config.commands.path)
        if text:
            yield "alerts", f"alerts.command: {config.alerts.command[0]} {text}: nobody is told"


def _metrics(file: Path, interval: float, now: int, started_at: int | None) -> str | None:
    if file.is_dir():
        return "it is a directory"
    if not file.parent.is_dir():
        return f"there is no directory {file.parent}"
    if started_at is not None:
        return _not_written(file, round(2_000 * interval) + LATE_MS, now, started_at)
    if not os.access(file.parent, os.W_OK | os.X_OK, effective_ids=True):
        return f"this user may not make files in {file.parent}"
    return None


def _not_written(file: Path, patience: int, now: int, started_at: int) -> str | None:
    try:
        written = os.stat(file).st_mtime_ns // 1_000_000
    except OSError:
        written = 0
    if now - max(written, started_at) <= patience:
        return None
    since = f"for {lasted(now - written)}" if written else "at all"
    return f"the daemon has not written it {since}; its log says why (metrics.failed)"


def _program(name: str, path: str) -> str | None:
    """Why it cannot be started, by the rules of the daemon: as given, or found on `path`."""
    found = name if name.startswith("/") else None if "/" in name else \
        shutil.which(name, mode=os.F_OK, path=path)
    if found is None or not os.path.exists(found):
        return "does not exist" if name.startswith("/") else f"is not found on {path}"
    if not os.path.isfile(found):
        return "is not a file"
    if not os.access(found, os.X_OK, effective_ids=True):
        return "is not executable (chmod +x)"
    return _interpreter(found)


def _interpreter(program: str) -> str | None:
    """A script needs what its first line names."""
    try:
        with open(program, "rb") as file:
            first = file.readline(256)
    except OSError:
        return None
    words = first[2:].split() if first.startswith(b"#!") else []
    if words and not os.path.exists(os.fsdecode(words[0])):
        return f"needs {words[0].decode(errors='replace')}, which does not exist"
    return None
