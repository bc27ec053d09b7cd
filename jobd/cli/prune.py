"""`jobd prune`: delete old ended jobs by hand, in slices, also while no daemon runs."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from jobd import clock
from jobd.actor import actor
from jobd.cli.opened import opened
from jobd.cli.options import Settings, settings
from jobd.cli.table import print_json
from jobd.core.durations import format_duration, parse_duration
from jobd.core.lifecycle import COMPLETED, JobStatus
from jobd.core.retention import PRUNABLE, Expiry, expiries, expiry
from jobd.errors import DONE, BadInput, DaemonActive, DatabaseBusy
from jobd.store import batch_retention, output_files, retention, sizes
from jobd.store.actions import record_action
from jobd.store.connection import Database
from jobd.store.daemon_lock import DaemonLock
from jobd.store.opening import open_database

SLICE = 0.02
LONG_LOG = 16 << 20

EXAMPLES = """\
examples:
  jobd prune --dry-run
  jobd prune --older-than 30d
  jobd prune --older-than 1h --status completed"""


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "delete old ended jobs with their attempts, output and history"
    parser = verbs.add_parser(
        "prune", help=text, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f"{text}. The daemon does that by itself, as [retention] says; jobs with a "
        "request id stay for a day at least.",
    )
    parser.add_argument("--older-than", metavar="DURATION",
                        help="what ended longer ago than this, as 30d (default: as [retention] "
                        "says)")
    parser.add_argument("--status", metavar="STATUS", action="append",
                        choices=[status.value for status in PRUNABLE],
                        help=f"only jobs in this status: {', '.join(PRUNABLE)}; may be repeated")
    parser.add_argument("--dry-run", action="store_true", help="only say how many there are")
    parser.add_argument("--rewrite", action="store_true",
                        help="write the whole file anew, as small as it can be; needs the daemon "
                        "to be stopped, and as much free disk space again")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Delete them, and say how many of each status."""
    found = settings(args)
    wanted = _wanted(args, found)
    with opened(found, check="drift") as database:
        if args.dry_run:
            counts = _counted(database, wanted)
            batches = len(_expired_batches(database, wanted))
        else:
            if args.rewrite:
                with _surely_alone(database.path):
                    pass  # better said before anything is deleted
            counts = _pruned(database, wanted)
            batches = _prune_batches(database, wanted)
            _tidy(database, rewriting=args.rewrite)
    if args.json:
        print_json({"dry_run": args.dry_run, "jobs": counts, "total": sum(counts.values()),
                    "batches": batches})
        return DONE
    each = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    verb = "would delete" if args.dry_run else "deleted"
    whole = f" and {batches} batch{'es' if batches > 1 else ''} with all items" if batches else ""
    print(f"{verb} {sum(counts.values())} jobs" + (f" ({each})" if each else "") + whole)
    return DONE


def _wanted(args: argparse.Namespace, found: Settings) -> list[Expiry]:
    """What may go, by flags and configuration.

    Raises:
        BadInput: nothing may.
    """
    now = clock.now_ms()
    statuses = [JobStatus(name) for name in args.status or PRUNABLE]
    if args.older_than is not None:
        age = parse_duration(args.older_than)
        return [expiry(status, age, now) for status in dict.fromkeys(statuses)]
    wanted = expiries(found.config.retention, now, statuses)
    if not wanted:
        raise BadInput("[retention] keeps these jobs for ever; --older-than says what may go")
    return wanted


def _found(database: Database, each: Expiry) -> Iterator[list[int]]:
    """The ids that may go, a few at a time, from the first to the last row."""
    after: int | None = 0
    while after is not None:
        found = retention.look(database.connection, each, after, clock.now_ms())
        after = found.walked_to
        if found.ids:
            yield found.ids


def _counted(database: Database, wanted: Sequence[Expiry]) -> dict[str, int]:
    return {each.status: sum(map(len, _found(database, each))) for each in wanted}


def _pruned(database: Database, wanted: Sequence[Expiry]) -> dict[str, int]:
    counts = {str(each.status): 0 for each in wanted}
    try:
        for each in wanted:
            for ids in _found(database, each):
                counts[each.status] += _delete(database, each, ids)
    finally:
        # Also of what was cut short by Ctrl-C.
        if any(counts.values()):
            _record(database, wanted, counts)
    return counts


def _delete(database: Database, each: Expiry, ids: list[int]) -> int:
    """Slice after slice; between two of them others have their turn."""
    count = 0
    while ids:
        began = clock.monotonic()
        with database.transaction() as db:
            gone, ids = retention.delete(db, each, ids, _past(began + SLICE / 2))
        output_files.remove_outputs(database.path, gone)
        count += len(gone)
        _keep_log_short(database)
        clock.pause(clock.monotonic() - began)
    return count


def _expired_batches(database: Database, wanted: Sequence[Expiry]) -> list[int]:
    """Batches that ended as long ago: completed without a failure, or in another way."""
    before = {each.status: each.before for each in wanted}
    ended = max((before[status] for status in before if status is not COMPLETED), default=None)
    return batch_retention.expired(database.connection, before.get(COMPLETED), ended)


def _prune_batches(database: Database, wanted: Sequence[Expiry]) -> int:
    """Delete them whole, slice after slice; returns how many."""
    count = 0
    for batch_id in iter(lambda: next(iter(_expired_batches(database, wanted)), None), None):
        over = False
        while not over:
            began = clock.monotonic()
            with database.transaction() as db:
                gone, over = batch_retention.delete_slice(db, batch_id, _past(began + SLICE / 2))
            output_files.remove_outputs(database.path, gone)
            _keep_log_short(database)
            clock.pause(clock.monotonic() - began)
        count += 1
    return count


def _past(moment: float) -> Callable[[], bool]:
    return lambda: clock.monotonic() >= moment


def _record(database: Database, wanted: Sequence[Expiry], counts: dict[str, int]) -> None:
    now = clock.now_ms()
    detail = "; ".join(
        f"{counts[each.status]} {each.status} older than "
        f"{format_duration((now - each.before) // 1000)}" for each in wanted
    )
    with database.transaction() as db:
        record_action(db, now, actor(), "prune", detail=detail)


def _keep_log_short(database: Database, longest: int = LONG_LOG) -> None:
    """While no daemon runs nobody else moves the write-ahead log into the file."""
    if sizes.log_bytes(database.path) <= longest:
        return
    with _alone(database.path) as alone, suppress(DatabaseBusy):
        if alone is None:
            with closing(open_database(database.path, now=clock.now_ms())) as second:
                database.checkpoint_with(second)


@contextmanager
def _alone(path: Path) -> Iterator[int | None]:
    """Hold the daemon's lock; the pid of who has it when that cannot be."""
    lock = DaemonLock(path)
    try:
        yield None if lock.acquire(blocking=False) else lock.holder() or 0
    finally:
        lock.release()


@contextmanager
def _surely_alone(path: Path) -> Iterator[None]:
    with _alone(path) as holder:
        if holder is not None:
            raise DaemonActive(f"the daemon, pid {holder}, is active; stop it first")
        yield


def _tidy(database: Database, *, rewriting: bool) -> None:
    """Give free pages back to the file system."""
    if rewriting:
        with _surely_alone(database.path):
            sizes.rewrite(database.connection)
    while most := sizes.pages(database.connection).to_give_back():
        began = clock.monotonic()
        with database.transaction() as db:
            sizes.give_back(db, most, _past(began + SLICE / 2))
        _keep_log_short(database)
        clock.pause(clock.monotonic() - began)
    _keep_log_short(database, 0)
