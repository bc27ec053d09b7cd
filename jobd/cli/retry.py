"""`jobd retry`: put ended jobs back in line, by id or all in one status."""

import argparse

from jobd import clock
from jobd.actor import actor
from jobd.cli.asking import AT_ONCE, ask
from jobd.cli.ids import add_ids, job_ids
from jobd.cli.opened import opened
from jobd.cli.options import settings
from jobd.cli.table import print_json
from jobd.core.lifecycle import CANCELLED, DEAD_LETTER, FAILED, RETRYING, JobStatus, Request
from jobd.errors import DONE, BadInput
from jobd.poke import poke
from jobd.store.connection import Database
from jobd.store.requests import ids_to_retry, request

IN_BULK = (DEAD_LETTER, FAILED, CANCELLED, RETRYING)

EXAMPLES = """\
examples:
  jobd retry 17
  jobd retry --all-dead
  jobd retry --status cancelled"""


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "put failed, dead or cancelled jobs back in line with fresh counts"
    parser = verbs.add_parser(
        "retry", help=text, epilog=EXAMPLES,
        description=f"{text}. They run at once: a time for which they were scheduled is forgotten.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_ids(parser, optional=True)
    parser.add_argument("--all-dead", action="store_true", help="every job in dead_letter")
    parser.add_argument("--status", choices=[status.value for status in IN_BULK], metavar="STATUS",
                        help=f"every job in this status: {', '.join(IN_BULK)}")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Retry the jobs named, or all in the status named."""
    ways = [bool(args.ids), args.all_dead, args.status is not None]
    if sum(ways) != 1:
        raise BadInput("name the jobs to retry: either ids, or --all-dead, or --status STATUS")
    if args.ids:
        return ask(args, Request.RETRY, job_ids(args.ids))
    return _bulk(args, DEAD_LETTER if args.all_dead else JobStatus(args.status))


def _bulk(args: argparse.Namespace, status: JobStatus) -> int:
    """Retry every job that is in `status` now, and say how many were touched."""
    found = settings(args)
    touched = skipped = 0
    with opened(found) as database:
        after: int | None = 0
        while after is not None:
            after, changed, passed = _slice(database, status, after)
            touched, skipped = touched + changed, skipped + passed
            poke(found.db)
    if args.json:
        print_json({"status": status, "touched": touched, "skipped": skipped})
    else:
        why = " (their unique key is taken, or they may still be executing)" if skipped else ""
        print(f"retried {touched}, skipped {skipped}{why}")
    return DONE


def _slice(
    database: Database, status: JobStatus, after: int
) -> tuple[int | None, int, int]:
    """One transaction of a bulk retry: where the next begins, how many changed, how many not."""
    with database.transaction() as db:
        ids = ids_to_retry(db, [status], after, AT_ONCE)
        now = clock.now_ms()
        replies = [request(db, Request.RETRY, job_id, now, actor()) for job_id in ids]
    changed = sum(each.changed for each in replies)
    return (ids[-1] if ids else None), changed, len(ids) - changed
