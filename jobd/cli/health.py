"""`jobd health`: one word for a monitor, and for a person what is wrong and what to do."""

import argparse
import sqlite3
from collections.abc import Iterator

from jobd import clock
from jobd.cli.drift import misfit
from jobd.cli.obstacle import obstacle
from jobd.cli.opened import opened
from jobd.cli.options import Settings, for_looking
from jobd.cli.outlets import outlet_problems
from jobd.cli.table import print_json, printable
from jobd.core.findings import Level, disk
from jobd.core.health import Health, HealthFacts, judge
from jobd.core.presence import Presence, Said
from jobd.core.problem import Problem, State, worst
from jobd.errors import (
    DONE,
    FAILED,
    NO_DAEMON,
    DatabaseBusy,
    DatabaseFull,
    DatabaseUnavailable,
    NoAccess,
    NoDatabase,
)
from jobd.store import examination, sizes
from jobd.store.health_facts import health_facts
from jobd.store.presence import presence, with_writer

EXIT_STATUS = {State.HEALTHY: DONE, State.DEGRADED: FAILED, State.DOWN: NO_DAEMON}


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "say how well everything is: exit 0 healthy, 1 degraded, 69 down"
    parser = verbs.add_parser(
        "health", help=text, description=text + "; and what is wrong, and what to type",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:  jobd health --json\n"
               "           jobd health --from-log /var/log/jobd.log",
    )
    parser.add_argument(
        "--from-log", dest="file", metavar="FILE", nargs="?", const="",
        help="by the log alone (default FILE: the setting log.file; - is standard input): needs no "
        "database, and is down when three heartbeats are missing",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the verdict and all that led to it."""
    if args.file is None:
        found = for_looking(args)
        health, source = _by_database(found), {"database": str(found.db)}
    else:
        # Reading a log is much to import, and monitors that do so are few.
        from jobd.cli.health_log import by_log

        health, source = by_log(args)
    if args.json:
        problems = [each._asdict() for each in worst(health.problems)]
        print_json({"status": health.state, "about": health.about, "problems": problems, **source})
    else:
        _print(health)
    return EXIT_STATUS[health.state]


def _by_database(found: Settings) -> Health:
    try:
        seen = presence(found.db, clock.now_ms())
        with opened(found, check="none") as database:
            seen = with_writer(seen, database.connection, database.path)
            return _judged(found, database.connection, seen)
    except NoDatabase as error:
        text = f"{str(error).partition(';')[0]}, so no daemon works on it."
        text = text[0].upper() + text[1:]
        return Health([Problem(State.DOWN, "no_database", text, "jobd run")], "no database")
    except NoAccess:
        raise
    except (DatabaseBusy, DatabaseFull, DatabaseUnavailable) as error:
        cause = "database_locked" if isinstance(error, DatabaseBusy) else "database"
        return Health([Problem(State.DOWN, cause, f"{error}.", "jobd doctor")],
                      "the database cannot be read")


def _judged(found: Settings, db: sqlite3.Connection, seen: Presence) -> Health:
    """The verdict; and what would keep a daemon from starting, where that counts."""
    max_age = found.config.alerts.max_age
    wrong = misfit(db) if seen.alive else obstacle(found, db)
    try:
        facts = health_facts(
            db, clock.now_ms(), presence=seen,
            max_age_ms=None if max_age is None else round(1000 * max_age),
        )
        health, outlets = judge(facts), list(_of_outlets(found, facts))
    except sqlite3.Error:
        if wrong is None:
            raise
        # Another version's tables may lack what is asked for.
        nobody = Problem(State.DOWN, "no_daemon", "No daemon is active.", seen.start)
        health, outlets = Health([] if seen.alive else [nobody], "another schema"), []
    problems = [*([] if wrong is None else [wrong]), *health.problems, *outlets]
    return Health([_startable(each, wrong) for each in problems], health.about)


def _startable(problem: Problem, wrong: Problem | None) -> Problem:
    """`jobd run` is no advice while it would refuse."""
    if wrong is None or problem.cause != "no_daemon":
        return problem
    return problem._replace(next_command=wrong.next_command)


def _of_outlets(found: Settings, facts: HealthFacts) -> Iterator[Problem]:
    """Alerts and measurements that reach nobody, and no room to write."""
    place = found.db.parent
    space = disk(sizes.disk_free(place), examination.inodes_free(place), 0)
    if space.level is Level.FAIL and facts.presence.said != Said.NO_SPACE:
        yield Problem(State.DEGRADED, "disk_space",
                      f"The disk is full: {space.message} in {place}.", "jobd doctor")
    daemon = facts.daemon
    started = daemon["started_at"] if daemon and facts.presence.is_of(daemon) else None
    for outlet, text in outlet_problems(found.config, facts.now, started):
        yield Problem(State.DEGRADED, outlet, f"{text}.", "jobd doctor")


def _print(health: Health) -> None:
    print(f"{health.state}: {printable(health.about)}")
    for each in worst(health.problems):
        print(f"\n{printable(each.text)}")
        if each.next_command:
            print(f"\n    {printable(each.next_command)}")
