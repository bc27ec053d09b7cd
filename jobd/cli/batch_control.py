"""`jobd batch pause`, `resume`, `cancel` and `retry`."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jobd.cli.batch_create import batch_of, items
from jobd.cli.batch_show import public
from jobd.cli.options import settings
from jobd.cli.table import print_json
from jobd.errors import DONE, Refused
from jobd.queue import Queue


def run_pause(args: argparse.Namespace) -> int:
    """Start no more items; with --now also give back those that run."""
    with _batch(args) as batch:
        changed = batch.pause(stop=args.now)
        what = "paused" if changed else "paused already"
        told = "told to stop, uncharged" if args.now else "go on to their end"
        return _report(args, batch, f"{what}; items that run {told}")


def run_resume(args: argparse.Namespace) -> int:
    """Start items again."""
    with _batch(args) as batch:
        changed = batch.resume()
        return _report(args, batch, "goes on" if changed else "was not paused")


def run_cancel(args: argparse.Namespace) -> int:
    """Start no more items, and end; with --now also stop those that run."""
    with _batch(args) as batch:
        batch.cancel(stop=args.now)
        told = "are told to stop" if args.now else "go on to their end"
        return _report(args, batch, f"cancelled; items that run {told}")


def run_retry(args: argparse.Namespace) -> int:
    """Run the failed items again."""
    with _batch(args) as batch:
        try:
            number = batch.retry_failed(cancelled=args.cancelled)
        except Refused as error:
            if not args.cancelled and batch.get()["cancelled_items"]:
                raise Refused(f"{error}; --cancelled brings cancelled ones back") from None
            raise
        return _report(args, batch, f"{items(number)} to run again")


@contextmanager
def _batch(args: argparse.Namespace) -> Iterator[Any]:
    found = settings(args)
    with Queue(found.db, synchronous=found.synchronous, create=False) as queue:
        yield batch_of(queue, args.name)


def _report(args: argparse.Namespace, batch: Any, what: str) -> int:
    if args.json:
        print_json(public(batch.get()))
    else:
        print(f"batch {batch.name} (id {batch.id}): {what}")
    return DONE
