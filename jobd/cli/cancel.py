"""`jobd cancel`: end jobs for good, at once or as soon as their execution is over."""

import argparse

from jobd.cli.asking import ask
from jobd.cli.ids import add_ids, job_ids
from jobd.core.lifecycle import Request


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "cancel jobs: at once while they wait, else as soon as they have stopped"
    parser = verbs.add_parser(
        "cancel", help=text, description=text, epilog="example:  jobd cancel 17"
    )
    add_ids(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask it of every job named."""
    return ask(args, Request.CANCEL, job_ids(args.ids))
