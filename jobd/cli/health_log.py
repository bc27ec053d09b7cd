"""`jobd health --from-log`: the verdict by the log alone, without any database."""

import argparse
import os
import sys
from pathlib import Path

from jobd import clock
from jobd.cli.log_file import StreamLines, recent
from jobd.cli.options import what_fits
from jobd.cli.table import printable
from jobd.cli.tail import log_file
from jobd.core.config import Config
from jobd.core.health import Health
from jobd.core.log_line import read_event
from jobd.core.service import systemctl
from jobd.core.watched import Watched
from jobd.errors import ConfigurationError, NotFound
from jobd.store.in_force import last_unit

PIECE = 1.0


def by_log(args: argparse.Namespace) -> tuple[Health, dict[str, str]]:
    """The verdict, and which log it is by.

    Whatever is wrong with the configuration, a file that is named is read.
    """
    name = log_file(args)
    try:
        found = what_fits(args)
        config, start = found.config, systemctl("start", last_unit(found.db))
    except ConfigurationError:
        config, start = Config(), None
    watched = _from_stream() if name == "-" else _from_file(Path(name))
    max_age = config.alerts.max_age
    health = watched.health(
        clock.now_ms(), round(1000 * config.timing.heartbeat),
        None if max_age is None else round(1000 * max_age),
    )
    problems = [each._replace(next_command=start) if start and each.cause == "stopped" else each
                for each in health.problems]
    return Health(problems, health.about), {"log": name}


def _from_stream() -> Watched:
    watched, source = Watched(), StreamLines(sys.stdin.fileno())
    while (lines := source.more(PIECE)) is not None:
        _take(watched, lines)
    return watched


def _from_file(path: Path) -> Watched:
    """The end of the file; and of the one before, while the new one has no heartbeat yet."""
    watched = Watched()
    lines = _recent(path)
    if not any('"event": "pool.health"' in line for line in lines):
        before = path.with_name(f"{path.name}.1")
        _take(watched, _recent(before) if before.is_file() else [])
    _take(watched, lines)
    return watched


def _recent(path: Path) -> list[str]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"no file {printable(str(path))}") from None
    try:
        return recent(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _take(watched: Watched, lines: list[str]) -> None:
    for line in lines:
        event = read_event(line)
        if event is not None:
            watched.take(event)
