"""`jobd status`: what there is, what runs, and which files jobd works on."""

import argparse
from typing import TYPE_CHECKING, Any

from jobd import clock
from jobd.cli.opened import opened
from jobd.cli.options import Settings, for_looking
from jobd.cli.queue_table import print_queues
from jobd.cli.table import ago, print_json, printable
from jobd.cli.workers import print_workers
from jobd.core.presence import Presence, troubles
from jobd.core.shown import shown
from jobd.errors import DONE
from jobd.store import overview
from jobd.store.batch_reading import open_counts
from jobd.store.presence import presence, with_writer
from jobd.store.reading import Record, snapshot

if TYPE_CHECKING:
    from jobd.cli.in_force import Edited

WIDTH = 10


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "show how many jobs are in each status, the queues, the workers and the daemon"
    parser = verbs.add_parser(
        "status", help=text, description=text, epilog="example:  jobd status --json"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the overview; it needs no daemon."""
    found = for_looking(args)
    seen = presence(found.db, clock.now_ms())
    with opened(found) as database:
        seen = with_writer(seen, database.connection, database.path)
        with snapshot(database.connection):
            read = {
                "jobs": overview.counts(database.connection),
                "queues": overview.queues(database.connection),
                "workers": overview.workers(database.connection),
                "daemons": overview.daemons(database.connection),
                "batches": open_counts(database.connection),
            }
    if args.json:
        print_json(_as_json(found, read, seen))
    else:
        _print(found, read, seen)
    return DONE


def _as_json(found: Settings, read: dict[str, Any], seen: Presence) -> dict[str, object]:
    newest = next(iter(read["daemons"]), None)
    listings = {name: [shown(each) for each in read[name]] for name in ("queues", "workers")}
    return {
        "jobs": read["jobs"],
        **listings,
        "batches": {status: {"batches": count, "items_left": left}
                    for status, (count, left) in read["batches"].items()},
        "daemons": [
            {**shown(each), "active": seen.alive and index == 0}
            for index, each in enumerate(read["daemons"])
        ],
        "problems": [each._asdict() for each in troubles(seen, newest)],
        "settings_changed": _changed(_edited(found, seen)),
        "database": str(found.db),
        "config": None if found.config_file is None else str(found.config_file),
    }


def _print(found: Settings, read: dict[str, Any], seen: Presence) -> None:
    newest = next(iter(read["daemons"]), None)
    wrong = troubles(seen, newest)
    _line("daemon", _daemon(newest, seen))
    for each in wrong:
        _line("", each.text)
        _line("", f"    {each.next_command}")
    _line("database", str(found.db))
    _line("config", str(found.config_file or "no file: defaults, environment and flags alone"))
    change = _edited(found, seen)
    if change is not None:
        _line("", change.text)
        _line("", f"    {change.mend}")
    _line("jobs", ", ".join(f"{count} {name}" for name, count in read["jobs"].items()))
    if read["batches"]:
        _line("batches", ", ".join(f"{count} {status} ({left} items left)"
                                   for status, (count, left) in read["batches"].items()))
    if read["queues"]:
        print()
        print_queues(read["queues"])
    if seen.alive and read["workers"]:
        print()
        print_workers(read["workers"], seen.moves(newest))


def _edited(found: Settings, seen: Presence) -> "Edited | None":
    if not seen.alive:
        return None
    # It knows every setting and how to digest it: as much to import as all the rest.
    from jobd.cli.in_force import edited

    return edited(found, seen)


def _changed(change: "Edited | None") -> dict[str, list[str]]:
    by_reload, by_restart = ((), ()) if change is None else \
        (change.changed.by_reload, change.changed.by_restart)
    return {"by_reload": list(by_reload), "by_restart": list(by_restart)}


def _daemon(newest: Record | None, seen: Presence) -> str:
    now = clock.now_ms()
    if seen.alive:
        known = newest is not None and newest["pid"] == seen.pid
        started = f", started {ago(newest['started_at'], now)}" if newest and known else ""
        how = "stands still" if not seen.moves(newest) else "active" if known else "starts"
        return f"{how}, pid {seen.known_as or 'unknown'}{started}"
    if newest is None:
        return seen.last_words or "none has run yet; `jobd run` starts one"
    last = ago(newest["stopped_at"] or newest["seen_at"], now)
    return f"none is active; the last one, pid {newest['pid']}, was last seen {last}" \
        + (f"; {seen.last_words}" if seen.last_words else "")


def _line(name: str, text: str) -> None:
    print(f"{name:<{WIDTH}}{printable(text)}")
