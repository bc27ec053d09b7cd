"""`jobd batch create` and `jobd batch append`: put many items in, all of them or none."""

import argparse
import os
import sys
from collections.abc import Mapping
from typing import Any

from jobd.cli.batch_making import Making, described, parameters
from jobd.cli.batch_show import public
from jobd.cli.batch_source import source_of
from jobd.cli.enqueue import unknown_type
from jobd.cli.opened import opened
from jobd.cli.options import Settings, settings
from jobd.cli.streams import complain, telling
from jobd.cli.table import print_json
from jobd.core.batch_command import CommandTemplate
from jobd.core.batch_input import Format
from jobd.core.command import EXEC
from jobd.errors import DONE, BadInput, NotFound
from jobd.queue import Queue

TOLD_EACH = 100_000
"""Items after which a long creation says on the terminal how far it is."""


def run(args: argparse.Namespace) -> int:
    """Check every item, then store them, and print the batch."""
    found = settings(args)
    if args.job_type == EXEC:
        raise BadInput("programs are run by `jobd batch exec NAME … -- ARGV`")
    shared = parameters(args.param)
    options = described(args, args.job_type, shared)
    with source_of(args, found.max_payload) as source:
        making = Making(source, args.job_type, shared, found.max_payload)
        return make(args, found, options, making)


def make(
    args: argparse.Namespace, found: Settings, options: Mapping[str, Any], making: Making
) -> int:
    """Store a new batch as it was described, or show what it would be."""
    number = making.check()
    if args.dry_run:
        return making.show(number, as_json=args.json)
    with Queue(found.db, synchronous=found.synchronous, max_payload=making.max_payload) as q:
        batch = q.batch(args.name, making.job_type, making.items(), told=_teller(number),
                        **options)
        record = batch.get()
    report(args, record, items(number))
    _warn_of_type(found, making.job_type)
    return DONE


def _warn_of_type(found: Settings, job_type: str) -> None:
    with opened(found) as database:
        warning = unknown_type(database.connection, job_type, strict=False)
    if warning and job_type != EXEC:
        complain(f"{warning}; the items wait until one has")


def run_append(args: argparse.Namespace) -> int:
    """Check every new item, then store them behind those that are there."""
    found = settings(args)
    max_payload = found.max_payload
    with Queue(found.db, synchronous=found.synchronous, max_payload=max_payload,
               create=False) as q, source_of(args, max_payload) as source:
        batch = batch_of(q, args.name)
        record = batch.get()
        shared = record["shared_parameters"]
        making = Making(source, record["job_type"], shared, max_payload)
        if record["job_type"] == EXEC:
            _programs(args, making, shared, record["total_items"])
        elif args.argv:
            raise BadInput(f"batch {record['name']} runs the handler {record['job_type']}, and no "
                           "program: leave out what stands after --")
        number = making.check()
        if args.dry_run:
            return making.show(number, as_json=args.json)
        batch.append(making.items(), told=_teller(number))
        record = batch.get()
    report(args, record, f"{items(number)} added, {record['total_items']:,} in all")
    return DONE


def _programs(
    args: argparse.Namespace, making: Making, shared: Mapping[str, Any], before: int
) -> None:
    """Let each new item run what stands after --, in this directory."""
    if not args.argv:
        raise BadInput("say after -- what each new item runs, as `jobd batch exec` has it")
    here = os.getcwd()
    template = CommandTemplate(args.argv, here, args.stdin, {}, Format(making.source.how.format))
    elsewhere = {"cwd": here} if shared.get("cwd") != here else {}
    making.fit = template.fit
    making.own = lambda entry, position: template.own(entry, before + position) | elsewhere


def batch_of(queue: Queue, word: str) -> Any:
    """The batch of this name, else of this id. Raises NotFound."""
    try:
        return queue.find_batch(word)
    except NotFound:
        if not word.isdecimal() or len(word) > 18:
            raise
        return queue.find_batch(int(word))


def report(args: argparse.Namespace, record: dict[str, Any], what: str) -> None:
    """Print the batch as the options ask."""
    name = f"batch {record['name']} (id {record['id']})"
    with telling(f"{name} was stored"):
        if args.json:
            print_json(public(record))
        elif args.print_id:
            print(record["id"])
        else:
            print(f"{name}: {what}; `jobd batch watch {record['name']}` follows it")


def items(number: int) -> str:
    """ "1 item", "1,500 items"."""
    return f"{number:,} item{'' if number == 1 else 's'}"


def _teller(number: int) -> Any:
    """Says on a terminal how far a long creation is."""
    if number < TOLD_EACH or not sys.stderr.isatty():
        return None

    def tell(stored: int) -> None:
        end = "\n" if stored >= number else ""
        print(f"\rjobd: {stored:,} of {number:,} items", end=end, file=sys.stderr, flush=True)

    return tell
