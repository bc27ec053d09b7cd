"""`jobd doctor`: one page on everything that may be wrong, each line with what mends it."""

import argparse
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path

from jobd import clock
from jobd.cli.check import handlers_problems
from jobd.cli.in_force import edited
from jobd.cli.options import Settings, what_fits
from jobd.cli.outlets import outlet_problems
from jobd.cli.table import print_json, printable
from jobd.core import findings
from jobd.core.batch_status import BatchStatus
from jobd.core.config import relations
from jobd.core.findings import Finding, Level, fail, ok, warn
from jobd.core.health import judge
from jobd.core.version import VERSION
from jobd.errors import (
    DONE,
    FAILED,
    ConfigurationError,
    DatabaseBusy,
    DatabaseFull,
    DatabaseUnavailable,
    JobdError,
    NoAccess,
    NoDatabase,
)
from jobd.store import examination, overview, sizes
from jobd.store.access import no_access
from jobd.store.batch_reading import batches
from jobd.store.connection import Database
from jobd.store.dead_letters import grouped
from jobd.store.health_facts import health_facts
from jobd.store.kernel_locks import readers
from jobd.store.opening import open_database
from jobd.store.presence import presence, with_writer
from jobd.store.schema import examine

LOOKS_FOR = 10.0


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "look at everything that may be wrong, and say what mends it; change nothing"
    parser = verbs.add_parser(
        "doctor", help=text, description=f"{text}. Exits 1 when a line says FAIL, else 0.",
        epilog="example:  jobd doctor --json",
    )
    parser.add_argument("--full", action="store_true",
                        help="read the whole file, indexes against rows, however long that takes")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print every finding."""
    found = list(_examine(args))
    if args.json:
        print_json([asdict(each) for each in found])
    else:
        _print(found)
    return FAILED if any(each.level is Level.FAIL for each in found) else DONE


def _print(found: list[Finding]) -> None:
    width = max(len(each.about) for each in found)
    for each in found:
        print(f"{each.level.upper():<4} {each.about:<{width}}  {printable(each.message)}")
        if each.mend:
            print(f"{'':<4} {'':<{width}}  -> {printable(each.mend)}")
    counts = {level: sum(each.level is level for each in found) for level in Level}
    if counts[Level.FAIL] or counts[Level.WARN]:
        print(f"\n{counts[Level.FAIL]} FAIL, {counts[Level.WARN]} WARN, {counts[Level.OK]} OK")
    else:
        print("\nall is well")


def _examine(args: argparse.Namespace) -> Iterator[Finding]:
    yield findings.sqlite(sqlite3.sqlite_version_info)
    try:
        found = what_fits(args)
    except ConfigurationError as error:
        for problem in error.problems:
            yield fail("configuration", problem, "mend it, and `jobd check`")
        return
    for problem in found.problems:
        yield fail("configuration", problem, "mend it, and `jobd check`; until then the rest of "
                   "this page goes by what is left of it")
    yield from _configured(found)
    denied = no_access(found.db)
    if denied is not None:
        yield fail("access", str(denied))
    yield from _guarded("files", lambda: _around(found.db))
    yield from _guarded("database", lambda: _database(found, full=args.full))


def _configured(found: Settings) -> Iterator[Finding]:
    none = "no file: defaults, environment and flags alone"
    if not found.problems:
        yield ok("configuration", str(found.config_file or none))
    timers = relations(found.config)
    for problem in timers:
        yield warn("timers", problem, f"edit [timing] in {found.config_file or 'jobd.toml'}")
    if not timers:
        yield ok("timers", "they fit each other")
    for problem in handlers_problems(found.config):
        yield fail("handlers", problem, "jobd check")
    with suppress(JobdError):  # without access nobody knows, and that is said below
        change = edited(found, presence(found.db, clock.now_ms()))
        if change is not None:
            yield warn("settings", change.text, change.mend)


def _around(path: Path) -> Iterator[Finding]:
    """What can be seen without opening the database."""
    place = path.parent
    if not os.path.exists(place):
        return
    yield findings.file_system(*examination.file_system(place))
    yield findings.disk(sizes.disk_free(place), examination.inodes_free(place),
                        sizes.bytes_of(path))
    if not path.exists():
        return
    seen = presence(path, clock.now_ms())
    alive, pid = seen.alive, seen.known_as
    yield from findings.modes(list(examination.files(path)))
    yield findings.log_size(sizes.log_bytes(path), alive=alive, readers=readers(path))
    for waiting in examination.waiting_daemons(path):
        yield warn("daemon", f"pid {waiting} waits to take over from pid {pid}",
                   f"`kill {waiting}`, unless it is meant to")


def _database(found: Settings, *, full: bool) -> Iterator[Finding]:
    try:
        database = open_database(found.db, check="none", now=clock.now_ms())
    except NoDatabase as error:
        yield warn("database", str(error), "jobd run")
    except NoAccess:
        raise
    except DatabaseBusy as error:
        yield fail("database", str(error), "end that process, or its transaction")
    except DatabaseFull as error:
        yield fail("database", str(error), "free some space")
    except DatabaseUnavailable as error:
        yield fail("database", str(error))
    except JobdError as error:
        yield fail("database", str(error), "put a backup in its place, or name another with --db")
    else:
        with closing(database):
            yield ok("database", str(database.path))
            yield from _opened(database, found, full=full)


def _opened(database: Database, found: Settings, *, full: bool) -> Iterator[Finding]:
    db = database.connection
    until = clock.monotonic() + LOOKS_FOR
    problems, finished = examination.integrity(
        db, lambda: clock.monotonic() > until, full=full
    )
    yield findings.integrity(problems, finished=finished, seconds=LOOKS_FOR)
    if problems:
        return
    fits = True
    for each in _guarded("schema", lambda: _schema(db)):
        fits = fits and each.level is Level.OK
        yield each
    if fits:
        yield from _guarded("database", lambda: _rows(database, found))


def _socket(path: Path, pid: int | None) -> Finding:
    if examination.socket_answers(path):
        return ok("socket", "the daemon listens")
    return warn("socket", f"nobody listens at {path}.sock: new jobs are seen up to half a second "
                "late", f"restart the daemon, pid {pid}")


def _guarded(about: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a look finds; a look that fails is a finding."""
    try:
        yield from look()
    except (NoAccess, PermissionError) as error:
        yield fail(about, f"not looked at: {error}")
    except OSError as error:
        yield fail(about, f"it cannot be read: {error}")
    except (JobdError, sqlite3.Error, ValueError) as error:
        yield fail(about, f"it cannot be read: {error}", "jobd migrate verify")


def _schema(db: sqlite3.Connection) -> Iterator[Finding]:
    found = examine(db)
    for each in (*found.faults, *found.notes):
        yield fail("schema", f"{each.object}: {each.problem}", each.mend)
    if not (found.faults or found.notes):
        yield ok("schema", f"version {found.version}, as this jobd needs it")


def _rows(database: Database, found: Settings) -> Iterator[Finding]:
    db, path = database.connection, database.path
    now = clock.now_ms()
    seen = with_writer(presence(path, now), db, path)
    about = sizes.pages(db)
    yield findings.pages(about.size * about.total, about.size * about.free,
                         incremental=about.incremental)
    yield findings.clock(now, examination.newest_time(db))
    max_age = found.config.alerts.max_age
    facts = health_facts(
        db, now, presence=seen,
        max_age_ms=None if max_age is None else round(1000 * max_age),
    )
    yield from findings.live(judge(facts), work_waits=facts.unfinished, died=facts.died)
    if seen.alive and facts.daemon and facts.daemon["version"] != VERSION:
        yield warn("daemon", f"it is jobd {facts.daemon['version']}, and this is {VERSION}",
                   f"restart it, pid {seen.known_as}")
    if seen.is_of(facts.daemon):
        yield _socket(path, seen.known_as)
    started = facts.daemon["started_at"] if facts.daemon and seen.is_of(facts.daemon) else None
    for outlet, problem in outlet_problems(found.config, now, started):
        yield fail(outlet, problem, f"edit [{outlet}] in {found.config_file or 'jobd.toml'}, or "
                   "mend what it names")
    for name, jobs in examination.paused_with_jobs(overview.queues(db)):
        yield warn("queues", f"{name} is paused, and {jobs} ready jobs wait in it",
                   f"jobd queue resume {name}")
    for batch in batches(db, status=BatchStatus.PAUSED):
        left = batch["total_items"] - batch["completed_items"] - batch["cancelled_items"]
        yield warn("batches", f"{batch['name']} is paused, and {left} of its items wait",
                   f"jobd batch resume {batch['name']}")
    yield from findings.dead_letters(grouped(db))

