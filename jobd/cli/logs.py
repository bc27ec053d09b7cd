"""`jobd logs`: what a command job wrote."""

import argparse

from jobd.cli.ids import job_ids
from jobd.cli.opened import opened
from jobd.cli.options import settings
from jobd.cli.output import follow, streams
from jobd.errors import DONE, BadInput, NotFound
from jobd.store import reading
from jobd.store.attempt_files import STREAMS, attempt_directory


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "show what a command job wrote: its standard output here, its standard error beside it"
    parser = verbs.add_parser("logs", help=text, description=text,
                              epilog="example:  jobd logs -f 17")
    parser.add_argument("id", metavar="ID", help="a job's id")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the job has ended")
    parser.add_argument("--attempt", metavar="N", help="of this attempt (default: the latest)")
    parser.add_argument("--stream", choices=STREAMS, help="only this one")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Copy the captured bytes."""
    (job_id,) = job_ids([args.id])
    names = (args.stream,) if args.stream else STREAMS
    with opened(settings(args)) as database:
        record = reading.job(database.connection, job_id)
        if record is None:
            raise NotFound(f"no job {job_id}")
        asked = None if args.attempt is None else _number(args.attempt)
        if args.follow and (asked is None or asked == record["attempt"]):
            follow(database, job_id, names, asked)
            return DONE
        number = record["attempt"] if asked is None else asked
        if not attempt_directory(database.path, job_id, number).is_dir():
            raise NotFound(f"job {job_id} has no captured output of attempt {number}")
        for stream in streams(database.path, job_id, number, names):
            stream.show_more()
    return DONE


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:12]) < 1 or len(text) > 9:
        raise BadInput(f"{text!r} is no attempt; attempts are counted from 1")
    return int(text)
