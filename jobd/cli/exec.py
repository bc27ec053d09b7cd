"""`jobd exec`: put in a job that runs a program."""

import argparse
import os
import sys
from collections.abc import Iterable

from jobd import clock
from jobd.cli.drift import warn_of_drift
from jobd.cli.enqueue import add_job_options, job_options, report
from jobd.cli.opened import opened
from jobd.cli.options import settings
from jobd.cli.output import FAILED_ITSELF, exit_status_of, follow, how_it_ended
from jobd.cli.streams import complain, drop, why
from jobd.core.command import EXEC, Command, check_command
from jobd.core.new_job import new_job
from jobd.errors import DONE, BadInput
from jobd.poke import poke
from jobd.store.enqueue import enqueue

EXAMPLES = """\
examples:
  jobd exec -- gzip -k /srv/data/big.csv
  jobd exec --wait --timeout 1h -- ./convert.sh in.mov out.mp4
  jobd exec --env LEVEL=9 --stdin list.txt --ok 0,1 -- xargs -n1 echo

The program is started without a shell; write `sh -c '...'` for one. With --wait the exit status
is the program's own, 128 + n when signal n killed it, and 125 when jobd itself failed."""


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "put in a job that runs a program"
    parser = verbs.add_parser("exec", help=text, description=text, epilog=EXAMPLES,
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("argv", nargs="+", metavar="ARGV", help="after --: program and arguments")
    parser.add_argument("--cwd", metavar="DIR", help="its working directory (default: this one)")
    parser.add_argument("--env", metavar="NAME=VALUE", action="append", default=[],
                        help="add a variable to its environment; may be given again")
    parser.add_argument("--stdin", metavar="FILE", help="its standard input (default: none)")
    parser.add_argument("--ok", metavar="CODES", default="0",
                        help="exit codes that count as success, as 0,1 (default 0)")
    parser.add_argument("--leave-children", action="store_true",
                        help="let what it started live on; its attempts may then overlap")
    parser.add_argument("--wait", action="store_true",
                        help="follow its output, and exit as it does")
    add_job_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Store the job, wake the daemon; with --wait follow it to its end."""
    found = settings(args)
    if args.wait and (args.json or args.print_id):
        raise BadInput("--wait shows the program's own output: leave out --json and -q")
    payload = command_of(args).payload()
    limit = found.max_payload
    new = new_job(EXEC, payload, job_options(args), clock.now_ms(), limit)
    with opened(found, create=True) as database:
        with database.transaction() as db:
            job_id = enqueue(db, new, clock.now_ms())
        poke(found.db)
        warn_of_drift(found.db, database.connection)
        if not args.wait:
            report(args, job_id)
            return DONE
        try:
            follow(database, job_id)
        except OSError as error:
            drop(sys.stdout)
            complain(f"job {job_id} goes on, but its output cannot be written: {why(error)}")
            return FAILED_ITSELF
        status = exit_status_of(database.connection, job_id)
        if status == FAILED_ITSELF:
            complain(how_it_ended(database.connection, job_id))
        return status


def command_of(args: argparse.Namespace) -> Command:
    """The command that the words mean here and now: relative paths become absolute.

    Raises:
        BadInput: names what is wrong with it.
    """
    for name in ("cwd", "stdin"):
        if getattr(args, name) == "":
            raise BadInput(f"--{name} is empty: name one, or leave it out")
    program, *rest = args.argv
    if "/" in program:
        program = os.path.abspath(program)
    return check_command(
        Command(
            argv=(program, *rest),
            cwd=os.path.abspath(args.cwd or "."),
            env=variables(args.env),
            stdin=None if args.stdin is None else os.path.abspath(args.stdin),
            exit_codes=tuple(codes(args.ok)),
            leave_children=args.leave_children,
        )
    )


def variables(words: Iterable[str]) -> dict[str, str]:
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise BadInput(f"--env {word!r:.60} is not NAME=VALUE")
        found[name] = value
    return found


def codes(text: str) -> list[int]:
    try:
        return [int(each) for each in text.split(",")]
    except ValueError:
        raise BadInput(f"--ok {text!r:.60} is no list of exit codes such as 0,1") from None
