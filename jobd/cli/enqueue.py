"""`jobd enqueue`: put one job in."""

import argparse
import json
import re
import sqlite3
import sys
from pathlib import Path

from jobd import clock
from jobd.cli.drift import warn_of_drift
from jobd.cli.opened import opened
from jobd.cli.options import settings
from jobd.cli.streams import complain, telling
from jobd.cli.table import print_json, printable
from jobd.core.names import nearest
from jobd.core.new_job import JobId, NewJob, new_job
from jobd.core.payload import parse_payload
from jobd.errors import DONE, BadInput
from jobd.poke import poke
from jobd.store.enqueue import enqueue
from jobd.store.overview import job_types

EXAMPLES = """\
examples:
  jobd enqueue thumbnail --payload '{"path": "a.jpg"}'
  jobd enqueue report --payload @report.json --queue slow --in 10m
  date-to-json | jobd enqueue import --payload - --unique nightly -q"""


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "put a job in; when this returns, the job is on disk"
    parser = verbs.add_parser(
        "enqueue", help=text, description=text, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("job_type", metavar="TYPE", help="the job type: which handler runs it")
    parser.add_argument("--payload", metavar="JSON|@FILE|-", default="{}",
                        help="a JSON object, a file of it, or - for standard input (default {})")
    parser.add_argument("--isolation", metavar="WHERE",
                        help="run it in a thread or a process (default: the handler's)")
    parser.add_argument("--strict", action="store_true", help="refuse an unknown job type")
    add_job_options(parser)
    parser.set_defaults(run=run)


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """What may be said of any new job, a command too."""
    parser.add_argument("--queue", metavar="NAME", help="the queue (default: the handler's)")
    parser.add_argument("--priority", metavar="N", default="0",
                        help="-1000 to 1000, larger first (default 0)")
    parser.add_argument("--in", dest="delay", metavar="DURATION",
                        help="not before so long from now, as 10m (default: at once)")
    parser.add_argument("--at", metavar="TIME", help="not before, as 2026-11-22T14:30 or 14:30 "
                        "(default: at once)")
    parser.add_argument("--timeout", metavar="DURATION", help="how long an attempt may run, as 30s "
                        "(default: the handler's, else timing.timeout)")
    parser.add_argument("--max-retries", metavar="N", help="how many retries failures may use "
                        "(default: the handler's, else the failure type's)")
    parser.add_argument("--unique", metavar="KEY",
                        help="at most one live job has this key (default: none)")
    parser.add_argument("--request-id", metavar="ID",
                        help="repeating the call is safe with it (default: none)")
    parser.add_argument("-q", "--print-id", action="store_true", help="print the id alone")


def run(args: argparse.Namespace) -> int:
    """Store the job, wake the daemon, print the id."""
    found = settings(args)
    new = checked(args, found.max_payload)
    with opened(found, create=True) as database:
        with database.transaction() as db:
            warning = unknown_type(db, new.job_type, strict=args.strict)
            if warning and args.strict:
                raise BadInput(f"{warning}; nothing was stored")
            job_id = enqueue(db, new, clock.now_ms())
        poke(found.db)
        warn_of_drift(found.db, database.connection)
    report(args, job_id)
    if warning:
        complain(f"{printable(warning)}; the job waits until one has")
    return DONE


def checked(args: argparse.Namespace, max_payload: int) -> NewJob:
    """The job that the command line describes; nothing has been opened yet.

    Raises:
        BadInput: names what is wrong with it.
    """
    payload = json.loads(parse_payload(_payload_text(args.payload, max_payload), max_payload))
    options = {**job_options(args), "isolation": args.isolation}
    return new_job(args.job_type, payload, options, clock.now_ms(), max_payload)


def job_options(args: argparse.Namespace) -> dict[str, object]:
    """The options of `add_job_options` by the names that Queue.enqueue knows."""
    return {
        "queue": args.queue,
        "priority": whole("priority", args.priority),
        "delay": args.delay,
        "at": args.at,
        "timeout": args.timeout,
        "max_retries": whole("max-retries", args.max_retries),
        "unique_key": args.unique,
        "request_id": args.request_id,
    }


def unknown_type(db: sqlite3.Connection, job_type: str, *, strict: bool) -> str | None:
    """What to say of a type that the last daemon had no handler for, naming the nearest.

    While no daemon has registered any nobody can tell: then only `strict` minds.
    """
    known = [each["name"] for each in job_types(db)]
    if job_type in known or (not known and not strict):
        return None
    if not known:
        return "no daemon has said yet which job types it can run"
    near = nearest(job_type, known)
    guess = f" (did you mean {' or '.join(near)}?)" if near else ""
    return f"the last daemon had no handler for job type {job_type}{guess}"


def whole(what: str, text: str | None) -> int | None:
    """The number that a flag gives, if it was given; BadInput names the flag."""
    if text is None:
        return None
    if not re.fullmatch(r"[-+]?[0-9]{1,60}", text):
        raise BadInput(f"{what} must be an integer, not {text!r:.60}")
    return int(text)


def _payload_text(argument: str, limit: int) -> str:
    """The payload's JSON text, from the argument, the file or standard input."""
    if argument == "-":
        return _decoded(sys.stdin.buffer.read(6 * limit + 1), "standard input")
    if argument.startswith("@"):
        return _decoded(_file_bytes(Path(argument[1:]), 6 * limit + 1), argument[1:])
    return argument


def _file_bytes(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadInput(f"payload file {printable(str(path)):.200} cannot be read: {why}") from None


def _decoded(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"the payload in {where} is not UTF-8 at byte {error.start}") from None


def report(args: argparse.Namespace, job_id: JobId) -> None:
    """Print the id as the options ask; where it cannot be printed, standard error has it."""
    with telling(f"job {job_id} is {'stored' if job_id.created else 'there already'}"):
        if args.json:
            print_json({"id": job_id, "created": job_id.created})
        elif args.print_id:
            print(job_id)
        elif job_id.created:
            print(f"enqueued job {job_id}")
        else:
            keys = {"unique key": args.unique, "request id": args.request_id}
            given = " or ".join(f"{what} {printable(key)}" for what, key in keys.items() if key)
            print(f"job {job_id} exists already ({given})")
