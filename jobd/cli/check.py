"""`jobd check`: tell what a start would find, without starting anything."""

import argparse
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

from jobd import clock
from jobd.cli.in_force import edited
from jobd.cli.options import (
    Settings,
    add_handler_options,
    handler_flags,
    search_path,
    settings,
)
from jobd.cli.outlets import outlet_problems
from jobd.cli.table import print_json, printable
from jobd.core.config import Config, relations
from jobd.core.findings import OLDEST_SQLITE, WAL_RESET, Version, has_wal_reset_fix
from jobd.errors import CONFIGURATION, DONE, ConfigurationError, JobdError, NoDatabase
from jobd.store.examination import refuse_network
from jobd.store.opening import open_database
from jobd.store.presence import presence

_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the answer; `level` is ok, warn or fail, and fail means: it would not start."""

    level: str
    about: str
    message: str


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "tell whether the configuration, the handlers and the database fit; change nothing"
    parser = verbs.add_parser(
        "check", help=text, description=text, epilog="example:  jobd check --handlers myjobs"
    )
    add_handler_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print every finding; 78 when one of them would keep the daemon from starting."""
    findings = [_sqlite(sqlite3.sqlite_version_info), *_examine(args)]
    if args.json:
        print_json([asdict(each) for each in findings])
    else:
        for each in findings:
            for line in f"{each.about}: {each.message}".split("\n"):
                print(f"{_MARKS[each.level]} {printable(line)}")
    return CONFIGURATION if any(each.level == "fail" for each in findings) else DONE


def _examine(args: argparse.Namespace) -> Iterator[Finding]:
    try:
        found = settings(args, handler_flags(args))
    except ConfigurationError as error:
        yield from (Finding("fail", "configuration", problem) for problem in error.problems)
    else:
        yield _configuration(found)
        yield from (Finding("warn", "timing", warning) for warning in relations(found.config))
        yield from _log_file(found.config)
        yield from _handlers(found.config)
        yield from (Finding("warn", about, problem)
                    for about, problem in outlet_problems(found.config, clock.now_ms()))
        yield from _settings(found)
        yield _database(found.db, found.synchronous)


def _configuration(found: Settings) -> Finding:
    none = "no file; defaults, environment and flags alone"
    return Finding("ok", "configuration", str(found.config_file or none))


def _settings(found: Settings) -> Iterator[Finding]:
    """What an active daemon does not know yet."""
    try:
        change = edited(found, presence(found.db, clock.now_ms()))
    except JobdError:
        return  # said of the database
    if change is not None:
        yield Finding("warn", "settings", f"{change.text}; {change.mend}")


def _log_file(config: Config) -> Iterator[Finding]:
    path = Path(config.log.file)
    place = path if path.exists() else path.parent
    if config.log.file and (path.is_dir() or not os.access(place, os.W_OK)):
        yield Finding("fail", "log", f"log.file = {config.log.file!r} cannot be written")


def _handlers(config: Config) -> Iterator[Finding]:
    problems = handlers_problems(config)
    yield from (
        Finding("warn", "handlers", f"pool.path names {place}, which is no directory to look into")
        for place in config.pool.path if not _lets_look(place)
    )
    yield from (Finding("fail", "handlers", problem) for problem in problems)
    if not problems:
        none = "no modules named; only commands (`jobd exec`) can run"
        yield Finding("ok", "handlers", ", ".join(config.pool.handlers) or none)


def handlers_problems(config: Config) -> list[str]:
    """A sentence for each module of `pool.handlers` that cannot be found; nothing is imported."""
    places = search_path(config)
    return [
        f"no module {module}; pool.handlers names it, and pool.path says where to look"
        for module in config.pool.handlers
        if not _findable(module, places)
    ]


def _lets_look(place: str) -> bool:
    return os.path.isdir(place) and os.access(place, os.R_OK | os.X_OK, effective_ids=True)


def _findable(module: str, places: list[str]) -> bool:
    top, *rest = module.split(".")
    spec = PathFinder.find_spec(top, places) or _installed(top)
    for depth in range(1, len(rest) + 1):
        if spec is None or spec.submodule_search_locations is None:
            return False
        name = ".".join((top, *rest[:depth]))
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    return spec is not None


def _installed(top: str) -> ModuleSpec | None:
    try:
        return find_spec(top)
    except ValueError:  # a module without a spec, such as __main__
        return None


def _database(path: Path, synchronous: str) -> Finding:
    try:
        refuse_network(path)
        open_database(path, synchronous=synchronous, check="drift", now=clock.now_ms()).close()
    except NoDatabase:
        if refusal := _not_to_be_made(path):
            return Finding("fail", "database", refusal)
        return Finding("ok", "database", f"no database yet at {path}; `jobd run` makes it")
    except JobdError as error:
        return Finding("fail", "database", str(error))
    for needed in (path, path.parent):
        if not os.access(needed, os.W_OK, effective_ids=True):
            return Finding("fail", "database", f"{path}: this user may not write to {needed}")
    return Finding("ok", "database", str(path))


def _not_to_be_made(path: Path) -> str | None:
    """Why this user cannot make the database that is not there yet."""
    place = next(each for each in path.parents if os.path.lexists(each))
    if path.exists():
        place = path
    elif not place.is_dir():
        return f"no database yet at {path}, and {place} is no directory to make it in"
    if not os.access(place, os.W_OK, effective_ids=True):
        return f"no database yet at {path}, and this user may not write to {place}"
    return None


def _sqlite(version: Version) -> Finding:
    number = ".".join(map(str, version))
    if version < OLDEST_SQLITE:
        return Finding("fail", "sqlite", f"{number} is too old; jobd needs 3.37 or newer")
    if not has_wal_reset_fix(version):
        return Finding("warn", "sqlite", f"{number} {WAL_RESET}")
    return Finding("ok", "sqlite", number)
