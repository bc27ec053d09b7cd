"""`jobd batch exec`: a program for each item."""

import argparse
import os

from jobd.cli.batch_create import make
from jobd.cli.batch_making import Making, described, parameters
from jobd.cli.batch_source import source_of
from jobd.cli.exec import codes, variables
from jobd.cli.options import settings
from jobd.core.batch_command import CommandTemplate
from jobd.core.command import EXEC, Command, check_command


def run(args: argparse.Namespace) -> int:
    """Check the command of every item, then store them all."""
    found = settings(args)
    max_payload = found.max_payload
    cwd = os.path.abspath(args.cwd or ".")
    shared = check_command(Command(
        argv=tuple(args.argv), cwd=cwd, env=variables(args.env),
        exit_codes=tuple(codes(args.ok)), leave_children=args.leave_children,
    )).payload()
    del shared["argv"]
    options = described(args, EXEC, shared)
    with source_of(args, max_payload) as source:
        template = CommandTemplate(args.argv, cwd, args.stdin, parameters(args.param),
                                   source.how.format)
        making = Making(source, EXEC, shared, max_payload, template.own, template.fit)
        return make(args, found, options, making)
