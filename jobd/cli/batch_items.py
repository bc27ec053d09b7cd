"""`jobd batch items`: the items of a batch in the order of the input."""

import argparse
import sqlite3
from collections.abc import Iterator

from jobd import clock
from jobd.cli.enqueue import whole
from jobd.cli.list import number, print_array
from jobd.cli.opened import opened
from jobd.cli.options import for_looking
from jobd.cli.streams import complain
from jobd.cli.table import ago, print_table
from jobd.core.batch_report import duration_of
from jobd.core.batch_status import ItemStatus
from jobd.core.durations import format_duration
from jobd.core.shown import shown
from jobd.errors import DONE
from jobd.store.batch_reading import items, named
from jobd.store.reading import Record

COLUMNS = ("position", "topic", "job_id", "status", "attempt", "took", "what")
PAGE, BRIEF_PAGE = 50, 1_000


def run(args: argparse.Namespace) -> int:
    """Print the items that fit."""
    limit, after = number("limit", args.limit), whole("after", args.after) or 0
    status = args.status and ItemStatus(args.status)
    with opened(for_looking(args)) as database:
        batch = named(database.connection, args.name)
        found = pages(database.connection, batch["id"], status=status, after=after, limit=limit,
                      brief=not args.json)
        if args.json:
            print_array(shown(_public(each)) for each in found)
        else:
            _print_rows(found, limit)
    return DONE


def pages(
    db: sqlite3.Connection, batch_id: int, *, status: ItemStatus | None = None, after: int = 0,
    limit: int | None = None, brief: bool = False,
) -> Iterator[Record]:
    """The items, a page at a time, so that a million of them fit into memory.

    With `brief` they come without their parameters and results, and more of them at once.
    """
    left, most = limit, BRIEF_PAGE if brief else PAGE
    while left is None or left > 0:
        size = most if left is None else min(left, most)
        page = items(db, batch_id, status=status, after=after, limit=size, brief=brief)
        yield from page
        if len(page) < size:
            return
        after = page[-1]["position"]
        left = None if left is None else left - len(page)


def _public(item: Record) -> Record:
    return {name: value for name, value in item.items() if name != "batch_job_id"}


def _print_rows(found: Iterator[Record], limit: int) -> None:
    now = clock.now_ms()
    rows = [_row(item, now) for item in found]
    if rows:
        print_table(rows, COLUMNS)
    else:
        print("no items")
    if len(rows) == limit:
        last = rows[-1]["position"]
        complain(f"there may be more; --limit N shows more, --after {last} the next")


def _row(item: Record, now: int) -> dict[str, object]:
    took = duration_of(item)
    row = {column: item.get(column) for column in COLUMNS}
    return row | {
        "took": None if took is None else format_duration(took / 1000) if took else "0 ms",
        "what": _what(item, now),
    }


def _what(item: Record, now: int) -> str:
    """The one thing more that a person wants to know of it."""
    if item["status"] == ItemStatus.FAILED:
        why = item["error_message"] or item["dead_letter_reason"] or ""
        return f"{item['failure_type']}: {why}"
    if item["status"] == ItemStatus.PROCESSING:
        done = "" if item["progress"] is None else f", {100 * item['progress']:.0f} %"
        since = ago(item["started_at"], now)
        return f"since {since}{done}" if since else "buffered"
    if item["job_status"] == "retrying":
        return f"waits to be retried; {item['failure_type']}"
    return ""
