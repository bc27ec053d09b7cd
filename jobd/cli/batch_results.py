"""`jobd batch results`: what the items of a batch gave back, in the order of the input."""

import argparse
import json
import sys
from pathlib import Path

from jobd.cli.batch_items import pages
from jobd.cli.opened import opened
from jobd.cli.options import for_looking
from jobd.cli.output import streams
from jobd.cli.streams import complain
from jobd.core.batch_status import ItemStatus
from jobd.core.command import EXEC
from jobd.core.shown import shown
from jobd.errors import DONE, FAILED
from jobd.store.batch_reading import named
from jobd.store.reading import Record

NDJSON_KEYS = ("position", "topic", "job_id", "status", "attempt", "parameters", "result",
               "failure_type", "error_message", "started_at", "ended_at")


def run(args: argparse.Namespace) -> int:
    """Print them; 1 when some items have none, or less than they wrote."""
    missing = shortened = 0
    as_objects = args.ndjson or args.json
    with opened(for_looking(args)) as database:
        batch = named(database.connection, args.name)
        for item in pages(database.connection, batch["id"]):
            missing += item["status"] != ItemStatus.COMPLETED
            if as_objects:
                print(_line(shown({key: item[key] for key in NDJSON_KEYS})))
            elif item["status"] != ItemStatus.COMPLETED:
                continue
            elif batch["job_type"] == EXEC:
                shortened += _copied(database.path, item)
            else:
                print(_line(shown(item)["result"]))
    if missing:
        complain(f"{missing} of {batch['total_items']} items of batch {batch['name']} did not "
                 f"complete; `jobd batch show {batch['name']}` says why")
    return FAILED if missing or shortened else DONE


def _line(value: object) -> str:
    """One line of JSON, with nothing in it that a terminal would obey."""
    return json.dumps(value).replace("\x7f", "\\u007f")


def _copied(database: Path, item: Record) -> bool:
    """Write what its last attempt wrote to standard output, as it is; whether that is not all."""
    sys.stdout.flush()
    [stream] = streams(database, item["job_id"], item["attempt"], ("stdout",))
    stream.show_more()
    if stream.was_cut:
        complain(f"item {item['position']} (job {item['job_id']}) wrote more than is kept: a part "
                 "of it was cut; raise commands.max_output, or let it write to a file")
    return stream.was_cut
