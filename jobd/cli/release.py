"""`jobd release`: stop the attempt of jobs and put them back in line."""

import argparse

from jobd.cli.asking import ask
from jobd.cli.ids import add_ids, job_ids
from jobd.core.lifecycle import Request


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "stop running jobs and put them back in line, with nothing charged"
    parser = verbs.add_parser(
        "release", help=text, description=text, epilog="example:  jobd release 17"
    )
    add_ids(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask it of every job named."""
    return ask(args, Request.RELEASE, job_ids(args.ids))
