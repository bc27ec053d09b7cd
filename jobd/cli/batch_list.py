"""`jobd batch list`: the batches, newest first."""

import argparse
from typing import Any

from jobd import clock
from jobd.cli.list import number
from jobd.cli.opened import opened
from jobd.cli.options import for_looking
from jobd.cli.table import ago, print_json, print_table
from jobd.core.shown import shown
from jobd.errors import DONE
from jobd.store.batch_reading import batches, still_there
from jobd.store.reading import Record

COLUMNS = ("id", "name", "job_type", "status", "total", "succeeded", "failed", "cancelled",
           "created", "ended")
A_DAY = 86_400_000


def run(args: argparse.Namespace) -> int:
    """Print those that have not ended, or ended within a day; with --all every one."""
    limit = number("limit", args.limit)
    now = clock.now_ms()
    with opened(for_looking(args)) as database:
        db = database.connection
        found = batches(db, limit=limit) if args.all else still_there(db, now - A_DAY, limit)
    if args.json:
        print_json([shown(each) for each in found])
    elif found:
        print_table([_row(each, now) for each in found], COLUMNS)
    else:
        print("no batches" if args.all else "no batches; --all shows those that ended a day ago")
    return DONE


def _row(batch: Record, now: int) -> dict[str, Any]:
    status = batch["status"]
    if batch["ends_as"] and batch["completed_at"] is None:
        status += " (ending)"
    return batch | {
        "status": status,
        "total": batch["total_items"],
        "succeeded": batch["successful_items"],
        "failed": batch["failed_items"],
        "cancelled": batch["cancelled_items"],
        "created": ago(batch["created_at"], now),
        "ended": ago(batch["completed_at"], now),
    }
