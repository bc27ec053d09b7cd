"""`jobd batch show`: how far a batch is, what runs, and what failed by cause."""

import argparse
import json
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobd import clock
from jobd.cli.batch_frame import Moment, frame
from jobd.cli.opened import opened
from jobd.cli.options import for_looking
from jobd.cli.table import print_json
from jobd.cli.terminal import look_of, size
from jobd.core.batch_progress import Sample, pace
from jobd.core.batch_status import OPEN, BatchStatus
from jobd.core.presence import Presence, stands_still
from jobd.core.shown import shown
from jobd.errors import DONE
from jobd.store.batch_reading import failed, hindrance, named, running
from jobd.store.overview import daemons
from jobd.store.presence import presence
from jobd.store.reading import Record, snapshot

if TYPE_CHECKING:
    from jobd.core.fingerprint import Group

RUNNING = 20
FAILURES = 500
"""Failed items that are looked at to group them: the latest."""
GROUPS = 10
_HIDDEN = ("pace", "active_ms", "sealed_up_to")


def run(args: argparse.Namespace) -> int:
    """Print one batch."""
    found = for_looking(args)
    with opened(found) as database:
        moment = look_at(database.connection, found.db, args.name)
    if args.json:
        print_json(as_json(moment))
        return DONE
    columns, _ = size()
    for line in frame(moment, columns, None, look_of(sys.stdout, args.color)):
        print(line)
    return DONE


def look_at(db: sqlite3.Connection, path: Path, name: str) -> Moment:
    """Everything that is shown of a batch, in a bounded number of reads.

    Raises:
        NotFound: there is no such batch.
    """
    with snapshot(db):
        batch = named(db, name)
        is_open = batch["status"] in OPEN
        executing = running(db, batch["id"], RUNNING) if is_open else []
        items = failed(db, batch["id"], FAILURES) if batch["failed_items"] else []
        trouble = hindrance(db, batch) if is_open else None
        newest = next(iter(daemons(db)), None)
    if is_open:
        trouble = _of_daemon(presence(path, clock.now_ms()), newest) or trouble
    some = len(items) if len(items) < batch["failed_items"] else None
    groups = _by_cause(items, batch["job_type"])
    with_pace(batch, kept_pace(batch), len(executing), batch["active_ms"])
    examples = {group.example_id for group in groups}
    topics = {each["job_id"]: each["topic"] for each in items if each["job_id"] in examples}
    return Moment(clock.now_ms(), batch, executing, groups, some, topics, trouble)


def _by_cause(items: Sequence[Record], job_type: str) -> list["Group"]:
    if not items:
        return []
    # Much to import for a batch in which nothing has failed.
    from jobd.core.batch_report import failure_of
    from jobd.core.fingerprint import Groups

    groups = Groups()
    for item in items:
        groups.add(failure_of(item, job_type))
    return groups.largest_first()[:GROUPS]


def _of_daemon(seen: Presence, newest: Record | None) -> str | None:
    """That nobody works on it, or somebody who stands still."""
    if not seen.alive:
        return f"no daemon is active: `{seen.start}`"
    return next((f"{each.text} `{each.next_command}`" for each in stands_still(seen, newest)), None)


def with_pace(batch: Record, samples: list[Sample], executing: int, now: int) -> None:
    """Put into the row how fast it goes and how long it still takes; None is unknown."""
    going = batch["status"] == BatchStatus.PROCESSING and not batch["ends_as"]
    found = pace(samples, max(executing, 1), now) if going else None
    left = batch["total_items"] - batch["completed_items"] - batch["cancelled_items"]
    seconds = found.left(left) if found else None
    batch["per_second"] = found and found.per_second
    batch["estimated_time_remaining"] = None if seconds is None else round(1000 * seconds)


def kept_pace(batch: Record) -> list[Sample]:
    """The samples that the daemon has kept: ms in which the batch went on, and items ended."""
    return [(at, ended) for at, ended in json.loads(batch["pace"])]


def as_json(moment: Moment) -> dict[str, Any]:
    """The batch with what runs and what failed, as JSON shows it."""
    return shown(public(moment.batch)) | {
        "trouble": moment.trouble,
        "running": [shown(each) for each in moment.running],
        "failures": [_group(each) for each in moment.failures],
    }


def public(batch: Record) -> Record:
    """A row without what only the daemon reads."""
    return {name: value for name, value in batch.items() if name not in _HIDDEN}


def _group(group: "Group") -> dict[str, Any]:
    from dataclasses import fields  # in memory with the group itself, and else not needed

    public = (each.name for each in fields(group) if not each.name.startswith("_"))
    return shown({name: getattr(group, name) for name in public})
