"""`jobd queue`: pause and resume queues, and list them."""

import argparse
from collections.abc import Callable

from jobd import clock
from jobd.actor import actor
from jobd.cli.opened import opened
from jobd.cli.options import for_looking, settings
from jobd.cli.queue_table import print_queues
from jobd.cli.streams import complain
from jobd.cli.table import print_json
from jobd.core.names import check_name, nearest
from jobd.core.shown import shown
from jobd.errors import DONE, FAILED
from jobd.poke import poke
from jobd.store.overview import queues
from jobd.store.requests import pause_queue, resume_queue


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb and its three parts."""
    text = "pause and resume queues, and list them"
    parser = verbs.add_parser(
        "queue", help=text, description=text, epilog="example:  jobd queue pause media"
    )
    parser.set_defaults(run=run_list)
    parts = parser.add_subparsers(title="verbs", metavar="VERB")
    for name, run, about in (
        ("pause", run_pause, "claim no more jobs from it; those that run go on"),
        ("resume", run_resume, "claim jobs from it again"),
    ):
        part = parts.add_parser(name, help=about, description=about,
                                epilog=f"example:  jobd queue {name} media")
        part.add_argument("names", metavar="NAME", nargs="+", help="a queue's name")
        part.set_defaults(run=run)
    listing = parts.add_parser("list", help="list the queues", description="list the queues",
                               epilog="example:  jobd queue list --json")
    listing.set_defaults(run=run_list)


def run_pause(args: argparse.Namespace) -> int:
    """Pause each queue; one that nobody has used yet is paused too, and that is said."""
    return _switch(args, pause_queue, "is paused", "is paused already")


def run_resume(args: argparse.Namespace) -> int:
    """Resume each queue; 1 when nobody knows one, so that another may be meant."""
    return _switch(args, resume_queue, "is open", "is not paused")


def run_list(args: argparse.Namespace) -> int:
    """Print every queue that holds live jobs, is paused or has a limit."""
    with opened(for_looking(args)) as database:
        found = queues(database.connection)
    if args.json:
        print_json([shown(each) for each in found])
    elif found:
        print_queues(found)
    else:
        print("no queues")
    return DONE


def _switch(args: argparse.Namespace, verb: Callable[..., bool], now: str, else_: str) -> int:
    names = list(dict.fromkeys(check_name("queue", name) for name in args.names))
    found = settings(args)
    with opened(found) as database:
        known = [each["name"] for each in queues(database.connection)]
        with database.transaction() as db:
            changed = {name: verb(db, name, clock.now_ms(), actor()) for name in names}
        poke(found.db)
    if args.json:
        print_json([{"name": name, "changed": did} for name, did in changed.items()])
    for name, did in changed.items():
        if not args.json and (did or name in known):
            print(f"queue {name} {now if did else else_}")
        if name not in known:
            said = "" if did else f" {else_}, and"
            complain(f"queue {name}{said} holds no live job{_meant(name, known)}")
    return DONE if all(did or name in known for name, did in changed.items()) else FAILED


def _meant(name: str, known: list[str]) -> str:
    near = nearest(name, known)
    return f"; did you mean {' or '.join(near)}?" if near else ""
