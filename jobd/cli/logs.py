"""`jobd logs`: what a job wrote, a program or a Python handler."""

import argparse
from pathlib import Path

from jobd.cli.ids import job_ids
from jobd.cli.opened import opened
from jobd.cli.options import for_looking
from jobd.cli.output import follow, streams
from jobd.cli.streams import complain
from jobd.core.shown import absent
from jobd.errors import DONE, BadInput, NotFound
from jobd.store import reading
from jobd.store.attempt_files import STREAMS, stream_files


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "show what a job wrote: its standard output here, its standard error beside it"
    parser = verbs.add_parser("logs", help=text, description=f"{text}. Of a Python handler that "
                              "is what it prints; what it logs stands in its standard error.",
                              epilog="example:  jobd logs -f 17")
    parser.add_argument("id", metavar="ID", help="a job's id")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the job has ended")
    parser.add_argument("--attempt", metavar="N", help="of this attempt (default: the latest)")
    parser.add_argument("--stream", choices=STREAMS, help="only this one")
    parser.set_defaults(run=run, no_json="it prints what the job wrote, byte for byte")


def run(args: argparse.Namespace) -> int:
    """Copy the captured bytes."""
    (job_id,) = job_ids([args.id])
    names = (args.stream,) if args.stream else STREAMS
    asked = None if args.attempt is None else _number(args.attempt)
    with opened(for_looking(args)) as database:
        record = reading.job(database.connection, job_id)
        if record is None:
            raise NotFound(absent(job_id, reading.last_id(database.connection)))
        if args.follow and (asked is None or asked == record["attempt"]):
            follow(database, job_id, names, asked)
            return DONE
        number = record["attempt"] if asked is None else asked
        if not 1 <= number <= record["attempt"]:
            raise NotFound(_no_attempt(job_id, number, record["attempt"]))
        shown = [each.show_more() for each in streams(database.path, job_id, number, names)]
        if not any(shown) and not _has_written(database.path, job_id, number):
            complain(f"job {job_id} has written nothing in attempt {number}")
    return DONE


def _has_written(database: Path, job_id: int, attempt: int) -> bool:
    """Into another stream than was asked for."""
    return any(path.exists() for name in STREAMS
               for path in stream_files(database, job_id, attempt, name))


def _no_attempt(job_id: int, number: int, latest: int) -> str:
    if not latest:
        return f"job {job_id} has not run yet"
    return f"job {job_id} has no attempt {number}; its latest is {latest}"


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:12]) < 1 or len(text) > 9:
        raise BadInput(f"{text!r:.60} is no attempt; attempts are counted from 1")
    return int(text)
