"""`jobd workers`: what each worker of the daemon is doing."""

import argparse

from jobd import clock
from jobd.cli.opened import opened
from jobd.cli.options import for_looking
from jobd.cli.streams import complain
from jobd.cli.table import ago, print_json, print_table
from jobd.core.presence import stands_still
from jobd.core.shown import shown
from jobd.errors import DONE
from jobd.store.overview import daemons, workers
from jobd.store.presence import presence
from jobd.store.reading import Record

COLUMNS = ("name", "health_status", "job_id", "attempt", "job_started", "stuck_job_id", "pid")


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "list the workers of the daemon: their health, and on which job they are"
    parser = verbs.add_parser(
        "workers", help=text, description=text, epilog="example:  jobd workers --json"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the workers as the daemon last wrote them, and whether it still lives."""
    found = for_looking(args)
    with opened(found) as database:
        rows = workers(database.connection)
        newest = next(iter(daemons(database.connection)), None)
    seen = presence(found.db, clock.now_ms())
    if args.json:
        print_json([shown(each) for each in rows])
    elif rows:
        print_workers(rows, seen.moves(newest))
    else:
        print("no workers")
    for each in stands_still(seen, newest):
        complain(each.text)
    if not seen.alive:
        left = "; these rows are what the last one left" if rows else ""
        complain(f"no daemon is active{left}")
    return DONE


def print_workers(rows: list[Record], alive: bool) -> None:
    """A table of the workers with ages instead of times.

    When they were last written says something only of a daemon that is not `alive`, or stands
    still: its rows are written once a minute, and its lock proves that it lives.
    """
    now = clock.now_ms()
    columns = COLUMNS if alive else (*COLUMNS, "seen")
    print_table([_row(each, now) for each in rows], columns)


def _row(worker: Record, now: int) -> Record:
    return worker | {
        "job_started": ago(worker["job_started_at"], now),
        "seen": ago(worker["seen_at"], now),
    }
