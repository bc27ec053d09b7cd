"""`jobd list`: jobs, newest first."""

import argparse
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

from jobd import clock
from jobd.cli.opened import opened
from jobd.cli.options import for_looking
from jobd.cli.streams import complain
from jobd.cli.table import ago, as_json, print_table
from jobd.core.lifecycle import JobStatus
from jobd.core.names import check_name
from jobd.core.shown import shown
from jobd.errors import DONE, BadInput
from jobd.store import reading

COLUMNS = ("id", "job_type", "queue", "status", "priority", "attempt", "created", "what")
PAGE = 200
_MOST = 10_000_000


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "list jobs, newest first"
    parser = verbs.add_parser(
        "list", help=text, description=text,
        epilog="example:  jobd list --status dead_letter --limit 20",
    )
    parser.add_argument("--status", metavar="STATUS",
                        help=f"only jobs in this status: {', '.join(JobStatus)}",
                        choices=[status.value for status in JobStatus])
    parser.add_argument("--queue", metavar="NAME", help="only jobs of this queue")
    parser.add_argument("--type", dest="job_type", metavar="TYPE", help="only jobs of this type")
    parser.add_argument("--batch", metavar="ID", help="only items of this batch")
    parser.add_argument("--limit", metavar="N", default="50", help="at most so many (default 50)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the jobs that fit."""
    limit = number("limit", args.limit)
    fits = {
        "status": args.status and JobStatus(args.status),
        **named(args),
        "batch": None if args.batch is None else number("batch", args.batch),
    }
    with opened(for_looking(args)) as database:
        found = _pages(database.connection, fits, limit)
        if args.json:
            print_array(shown(job) for job in found)
        else:
            _print_rows(found, limit)
    return DONE


def _pages(
    db: sqlite3.Connection, fits: dict[str, Any], limit: int
) -> Iterator[reading.Record]:
    """The jobs, read page by page so that a long listing of large payloads fits into memory."""
    before: int | None = None
    while limit > 0:
        page = reading.jobs(db, **fits, limit=min(limit, PAGE), before_id=before)
        yield from page
        if len(page) < min(limit, PAGE):
            return
        before, limit = page[-1]["id"], limit - len(page)


def print_array(found: Iterator[dict[str, Any]]) -> None:
    """A JSON array, written as its elements come."""
    mark = "["
    for each in found:
        print(f"{mark}\n{as_json(each)}", end="")
        mark = ","
    print("[]" if mark == "[" else "\n]")


def _print_rows(found: Iterator[reading.Record], limit: int) -> None:
    now = clock.now_ms()
    rows = [_row(job, now) for job in found]
    if rows:
        print_table(rows, COLUMNS)
    else:
        print("no jobs")
    if len(rows) == limit:
        complain(f"these are the newest {limit}; --limit N shows more")


def _row(job: reading.Record, now: int) -> dict[str, object]:
    row = {column: job.get(column) for column in COLUMNS}
    return row | {"created": ago(job["created_at"], now), "what": _what(job, now)}


def _what(job: reading.Record, now: int) -> str:
    """The one thing more that a person wants to know of a job in this status."""
    match job["status"]:
        case "pending" if job["due_at"] is not None:
            return f"due {ago(job['due_at'], now)}"
        case "retrying":
            return f"due {ago(job['next_retry_at'], now)}; {job['failure_type']}"
        case "running":
            return f"since {ago(job['started_at'], now)}" if job["started_at"] else "buffered"
        case "dead_letter":
            return str(job["dead_letter_reason"])
        case "failed" | "timeout" | "zombie":
            return str(job["error_message"] or "")
    return ago(job["completed_at"], now) or ""


def named(args: argparse.Namespace) -> dict[str, str | None]:
    """The queue and the job type that a listing is narrowed to; BadInput for what is no name."""
    return {
        "queue": None if args.queue is None else check_name("queue", args.queue),
        "job_type": None if args.job_type is None else check_name("job type", args.job_type),
    }


def number(what: str, text: str) -> int:
    """A positive number that a flag gives; BadInput names the flag."""
    if not re.fullmatch(r"[0-9]{1,18}", text) or not 1 <= int(text) <= _MOST:
        raise BadInput(f"{what} must be an integer from 1 to {_MOST}, not {text!r:.60}")
    return int(text)
