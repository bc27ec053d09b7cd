"""`jobd wait`: until jobs have ended."""

import argparse
import sys
from collections.abc import Sequence

from jobd import clock
from jobd.cli.ids import add_ids, job_ids
from jobd.cli.opened import opened
from jobd.cli.options import for_looking
from jobd.cli.streams import complain, drop
from jobd.cli.table import print_json
from jobd.core.durations import parse_duration
from jobd.core.lifecycle import COMPLETED, ENDED, JobStatus
from jobd.core.shown import absent, shown
from jobd.errors import DONE, FAILED
from jobd.store import reading
from jobd.store.connection import Database

LONGEST_WAIT = 0.05

Statuses = dict[int, JobStatus]


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "wait until jobs have ended; exit 0 when all of them completed, 1 otherwise"
    parser = verbs.add_parser(
        "wait", help=text, description=text, epilog="example:  jobd wait 17 18 --timeout 10m"
    )
    add_ids(parser)
    parser.add_argument("--timeout", metavar="DURATION",
                        help="give up after so long, as 10m (default: never)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print each job as it ends."""
    ids = job_ids(args.ids)
    patience = None if args.timeout is None else parse_duration(args.timeout)
    with opened(for_looking(args)) as database:
        found = _wait(database, ids, patience, quiet=args.json)
        if args.json:
            _print_jobs(database, ids)
        last = reading.last_id(database.connection)
    for job_id in ids:
        if job_id not in found:
            complain(absent(job_id, last))
        elif found[job_id] not in ENDED:
            complain(f"job {job_id} has not ended after {args.timeout}; it is {found[job_id]}")
    return DONE if all(found.get(job_id) is COMPLETED for job_id in ids) else FAILED


def _wait(
    database: Database, ids: Sequence[int], patience: float | None, *, quiet: bool
) -> Statuses:
    """The statuses once every job that exists has ended, or patience has; each end is told."""
    deadline = None if patience is None else clock.monotonic() + patience
    found: Statuses = {}
    seen: int | None = None
    waits = clock.growing_waits(LONGEST_WAIT)
    while True:
        version = database.data_version()
        if version != seen:
            before, found = found, reading.statuses(database.connection, ids)
            if not quiet:
                _tell(before, found)
            seen = version
        if all(status in ENDED for status in found.values()):
            return found
        if deadline is not None and clock.monotonic() >= deadline:
            return found
        clock.pause(next(waits))


def _tell(before: Statuses, found: Statuses) -> None:
    for job_id, status in found.items():
        if status in ENDED and before.get(job_id) not in ENDED:
            try:
                print(f"job {job_id} {status}", flush=True)
            except BrokenPipeError:
                drop(sys.stdout)  # nobody reads; the exit status is still to come


def _print_jobs(database: Database, ids: Sequence[int]) -> None:
    known = [reading.job(database.connection, job_id) for job_id in ids]
    print_json([shown(each) for each in known if each is not None])
