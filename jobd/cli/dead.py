"""`jobd dead`: dead letters by what they have in common, and retrying them by group."""

import argparse
from dataclasses import fields
from itertools import islice
from typing import Any

from jobd import clock
from jobd.cli import dead_retry
from jobd.cli.list import named, number
from jobd.cli.opened import opened
from jobd.cli.options import for_looking
from jobd.cli.table import ago, print_json, print_table, printable
from jobd.core.fingerprint import Group, Groups
from jobd.core.problem import counted
from jobd.core.shown import shown
from jobd.errors import DONE, NotFound
from jobd.store import reading
from jobd.store.dead_letters import dead_letters, grouped

COLUMNS = ("fingerprint", "count", "newest", "oldest", "job_type", "failure_type", "example",
           "error")
IDS_SHOWN = 20
IDS_IN_JSON = 10_000

EXAMPLES = """\
examples:
  jobd dead
  jobd dead show 3fa1c09b72
  jobd dead retry 3fa1c09b72 --dry-run
  jobd dead retry --all"""


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb and its parts."""
    text = "list dead letters by what they have in common, and retry them by group"
    parser = verbs.add_parser(
        "dead", help=text, description=text, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_filters(parser)
    parser.set_defaults(run=run_list)
    parts = parser.add_subparsers(title="verbs", metavar="VERB")
    listing = parts.add_parser("list", help="list the groups", description="list the groups",
                               epilog="example:  jobd dead list --queue media")
    _add_filters(listing)
    listing.set_defaults(run=run_list)
    about = "the jobs of one group, and the whole error of one of them"
    showing = parts.add_parser("show", help=about, description=about,
                               epilog="example:  jobd dead show 3fa1c09b72")
    showing.add_argument("fingerprint", metavar="FINGERPRINT", help="as `jobd dead` lists it")
    showing.set_defaults(run=run_show)
    dead_retry.add(parts)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queue", metavar="NAME", help="only jobs of this queue")
    parser.add_argument("--type", dest="job_type", metavar="TYPE", help="only jobs of this type")
    parser.add_argument("--limit", metavar="N", default="50", help="at most so many (default 50)")


def run_list(args: argparse.Namespace) -> int:
    """Print the groups, the largest first."""
    limit, filters = number("limit", args.limit), named(args)
    with opened(for_looking(args)) as database:
        groups = grouped(database.connection, **filters)
    found = groups.largest_first()
    if args.json:
        print_json([as_shown(group) for group in found[:limit]])
    elif found:
        now = clock.now_ms()
        print_table([_row(group, now) for group in found[:limit]], COLUMNS)
        _print_rest(groups, limit)
    else:
        print("no dead letters")
    return DONE


def as_shown(group: Group) -> dict[str, Any]:
    """A group as JSON shows it."""
    public = (each.name for each in fields(group) if not each.name.startswith("_"))
    return shown({name: getattr(group, name) for name in public})


def _row(group: Group, now: int) -> dict[str, object]:
    return as_shown(group) | {
        "newest": ago(group.newest_at, now),
        "oldest": ago(group.oldest_at, now),
        "example": group.example_id,
    }


def _print_rest(groups: Groups, limit: int) -> None:
    beyond = len(groups.found) - limit
    if beyond > 0:
        print(f"and {counted(beyond, 'more group')}; --limit N shows more")
    if groups.others:
        print(f"and {counted(groups.others, 'more job')}, in groups that were not counted")


def run_show(args: argparse.Namespace) -> int:
    """Print one group with the ids of its jobs, and the traceback of its example."""
    with opened(for_looking(args)) as database:
        db = database.connection
        group = grouped(db).found.get(args.fingerprint)
        if group is None:
            raise NotFound(f"no dead letters have the fingerprint {args.fingerprint!r:.60}; "
                           "`jobd dead` lists them")
        letters = (each for each in dead_letters(db) if each.fingerprint == group.fingerprint)
        ids = [each.id for each in islice(letters, IDS_IN_JSON)]
        example = reading.job(db, group.example_id) or {}
    if args.json:
        print_json({**as_shown(group), "ids": ids, "example": shown(example)})
    else:
        _print(group, ids, example)
    return DONE


def _print(group: Group, ids: list[int], example: reading.Record) -> None:
    now = clock.now_ms()
    oldest, newest = ago(group.oldest_at, now), ago(group.newest_at, now)
    when = f"from {oldest} to {newest}" if oldest != newest else oldest
    print(f"{counted(group.count, 'job')} of type {printable(group.job_type)}, parked {when}")
    print(f"failure: {group.failure_type}: {printable(group.error)}")
    more = f" and {group.count - IDS_SHOWN} more" if group.count > IDS_SHOWN else ""
    print(f"ids: {' '.join(map(str, ids[:IDS_SHOWN]))}{more}")
    if group.still_executing:
        few = "it" if group.count == 1 else f"{group.still_executing} of them"
        print(f"{few} may still be executing; `jobd explain ID`")
    print(f"\njob {group.example_id}: {printable(str(example.get('dead_letter_reason')))}")
    error = example.get("last_error_traceback") or example.get("error_message") or ""
    for line in str(error).splitlines():
        print(printable(line))
    print(f"\nto retry {'it' if group.count == 1 else 'them'}: jobd dead retry {group.fingerprint}")
