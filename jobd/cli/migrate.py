"""`jobd migrate`: look at the database's schema, move it between versions, mend it."""

import argparse
import os
import pwd
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from jobd import clock
from jobd.cli.options import for_looking, settings, what_fits
from jobd.cli.table import print_json, printable
from jobd.errors import CONFIGURATION, DONE, BadInput, DaemonActive
from jobd.store.complaints import translated
from jobd.store.connection import Database
from jobd.store.daemon_lock import DaemonLock
from jobd.store.migrator import Change, MigrationManager, MigrationStatus
from jobd.store.opening import open_database

Verbs = argparse._SubParsersAction  # the type has no public name

DESCRIPTION = """\
The schema is the layout of jobd's database: its tables, columns, indexes and triggers. It has a
version, and each migration is the step from one version to the next. A new database gets the
latest version by itself; `jobd migrate` is for after an upgrade or a downgrade of jobd, and for
a database that somebody has changed by hand.

Verbs that write need the database alone: stop the daemon first. Each is one transaction, all or
nothing, and copies a database that has rows to DATABASE.backup-v... before it begins."""

_EXAMPLES = {
    "status": "status --json", "up": "up", "down": "down --to 6 --map zombie=failed",
    "mark-applied": "mark-applied 3", "verify": "verify",
    "repair": "repair --discard job_queue.note",
}

VERIFIED = "tables, columns, constraints, indexes, triggers, records and version"


def add(verbs: "Verbs[argparse.ArgumentParser]") -> None:
    """Register the verb and its own verbs."""
    text = "look at the database's schema, move it between versions, mend it"
    parser = verbs.add_parser(
        "migrate", help=text, description=DESCRIPTION, epilog="example:  jobd migrate verify",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    steps = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add(steps, _status, "status", "list the migrations: which are applied, which are pending")
    up = _add(steps, _up, "up", "apply what is pending; makes the database when there is none")
    up.add_argument("--to", type=int, metavar="N", help="stop at version N (default: the latest)")
    _add_down(steps)
    mark = _add(
        steps, _mark_applied, "mark-applied",
        "record migration N as applied without running it, when its tables are there already",
    )
    mark.add_argument("version", type=int, metavar="N", help="number of the migration")
    mark.add_argument(
        "--force", action="store_true", help="record it even when its tables are not there"
    )
    _add(
        steps, _verify, "verify",
        "compare the database with what this jobd needs; exit 78 when it differs",
    )
    _add_repair(steps)


def run(args: argparse.Namespace) -> int:
    """Do what was asked; 78 from verify when the schema does not fit."""
    step: Callable[[argparse.Namespace], int] = args.step
    return step(args)


def _add(
    steps: "Verbs[argparse.ArgumentParser]",
    step: Callable[[argparse.Namespace], int],
    name: str,
    text: str,
) -> argparse.ArgumentParser:
    parser = steps.add_parser(
        name, help=text, description=text, epilog=f"example:  jobd migrate {_EXAMPLES[name]}"
    )
    parser.set_defaults(run=run, step=step)
    return parser


def _add_down(steps: "Verbs[argparse.ArgumentParser]") -> None:
    text = "go back to an older version, for an older jobd"
    parser = _add(steps, _down, "down", text)
    parser.description = (
        f"{text}. Rows that the older version cannot hold are named with their number and the "
        "option that decides about them; without that option nothing happens. Columns that it "
        "lacks go with their values; a backup is taken first and keeps them."
    )
    parser.add_argument("--to", type=int, metavar="N", help="the version (default: one less)")
    _add_map(parser, "for jobs in a status that the older version lacks: zombie=failed")
    parser.add_argument(
        "--discard", action="append", default=[], metavar="TABLE",
        help="let the rows of a table go that the older version does not have; may be repeated",
    )


def _add_repair(steps: "Verbs[argparse.ArgumentParser]") -> None:
    text = "make a changed database what it must be again, keeping its rows"
    parser = _add(steps, _repair, "repair", text)
    parser.description = (
        f"{text}: rebuilds tables that differ, makes what is missing, drops what jobd does not "
        "know. Refuses to drop rows or values until you name them."
    )
    _add_map(parser, "for jobs in a status that jobd does not know: paused=pending")
    parser.add_argument(
        "--discard", action="append", default=[], metavar="NAME",
        help="let go the values of a column (job_queue.note), an unknown table, or the rows of a "
        "table that do not fit; may be repeated",
    )


def _add_map(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument(
        "--map", action="append", default=[], metavar="OLD=NEW", dest="mapping",
        help=f"{text}; may be repeated",
    )


def _status(args: argparse.Namespace) -> int:
    with _reading(args) as manager:
        found = manager.status()
    if args.json:
        print_json([_as_json(each) for each in found])
        return DONE
    for each in found:
        line = f"{each.version:03} {each.name:<24} {each.status:<8} {_when(each)}"
        print(printable(line.rstrip()))
    return DONE


def _verify(args: argparse.Namespace) -> int:
    path = what_fits(args).db
    with _reading(args) as manager:
        found = manager.verify()
    if args.json:
        shown = [{"object": d.object, "problem": d.problem, "mend": d.mend} for d in found]
        print_json(shown)
    elif not found:
        print(f"{path} is what this jobd needs: {VERIFIED} compared")
    else:
        for difference in found:
            print(printable(f"{difference.object}: {difference.problem}"))
            print(printable(f"  mend: {difference.mend}"))
    return CONFIGURATION if found else DONE


def _up(args: argparse.Namespace) -> int:
    with _alone(args, create=True) as manager:
        change = manager.up(clock.now_ms(), args.to, actor=_actor())
    return _say(args, change, "applied", "nothing was pending")


def _down(args: argparse.Namespace) -> int:
    mapping = _mapping(args.mapping)
    with _alone(args) as manager:
        to = max(0, manager.database.user_version() - 1) if args.to is None else args.to
        change = manager.down(clock.now_ms(), to, mapping, args.discard, actor=_actor())
    return _say(args, change, "rolled back", "nothing was rolled back")


def _mark_applied(args: argparse.Namespace) -> int:
    with _alone(args) as manager:
        change = manager.mark_migration_as_applied(
            args.version, clock.now_ms(), args.force, actor=_actor()
        )
    return _say(args, change, "recorded as applied:", "nothing was recorded")


def _repair(args: argparse.Namespace) -> int:
    mapping = _mapping(args.mapping)
    with _alone(args) as manager:
        change = manager.repair(clock.now_ms(), args.discard, mapping, actor=_actor())
    return _say(args, change, "", "nothing to repair")


@contextmanager
def _reading(args: argparse.Namespace) -> Iterator[MigrationManager]:
    path = for_looking(args).db
    with closing(_open(path, create=False)) as database, translated(path):
        yield MigrationManager(database)


@contextmanager
def _alone(args: argparse.Namespace, create: bool = False) -> Iterator[MigrationManager]:
    """The database while no daemon runs; DaemonActive names the one that does."""
    path = settings(args).db
    with closing(_open(path, create)) as database:
        lock = DaemonLock(path)
        if not lock.acquire(blocking=False):
            raise DaemonActive(
                f"jobd pid {lock.holder() or 'unknown'} is active on {path}; stop it first"
            )
        try:
            yield MigrationManager(database)
        finally:
            lock.release()


def _open(path: Path, create: bool) -> Database:
    return open_database(path, create=create, check="none", now=clock.now_ms())


def _mapping(pairs: Sequence[str]) -> dict[str, str]:
    """{"zombie": "failed"} for ["zombie=failed"]."""
    found = {}
    for pair in pairs:
        old, sign, new = pair.partition("=")
        if not (old and sign and new):
            raise BadInput(f"--map {pair!r:.60}: write OLD=NEW, for example zombie=failed")
        found[old] = new
    return found


def _say(args: argparse.Namespace, change: Change, done: str, nothing: str) -> int:
    if args.json:
        print_json(_change_as_json(change))
        return DONE
    if change.backup:
        print(f"backup: {change.backup}")
    for migration in change.migrations:
        print(f"{done} {migration.version:03} {migration.name}")
    for deed in change.deeds:
        print(printable(deed))
    if not (change.migrations or change.deeds):
        print(nothing)
    print(f"the schema is version {change.version}")
    return DONE


def _change_as_json(change: Change) -> dict[str, object]:
    return {
        "version": change.version,
        "migrations": [migration.version for migration in change.migrations],
        "deeds": list(change.deeds),
        "backup": str(change.backup) if change.backup else None,
    }


def _as_json(found: MigrationStatus) -> dict[str, object]:
    return {
        "version": found.version,
        "name": found.name,
        "status": found.status,
        "applied_at": _iso(found.applied_at),
        "rollback_at": _iso(found.rollback_at),
    }


def _when(found: MigrationStatus) -> str:
    if found.rollback_at:
        return f"rolled back {_iso(found.rollback_at)}"
    return _iso(found.applied_at) or ""


def _iso(at: int | str | None) -> str | None:
    """Times of a table that other hands made are shown as they are."""
    return clock.iso(at) if isinstance(at, int) or at is None else str(at)


def _actor() -> str:
    """Who types this, as `operator_actions` names them."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
