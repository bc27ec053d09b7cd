"""`jobd status`: what there is, what runs, and which files jobd works on."""

import argparse
from typing import Any

from jobd import clock
from jobd.cli.opened import opened
from jobd.cli.options import Settings, settings
from jobd.cli.queue import print_queues
from jobd.cli.table import ago, print_json, printable
from jobd.cli.workers import print_workers
from jobd.core.shown import shown
from jobd.errors import DONE
from jobd.store import overview
from jobd.store.daemon_lock import is_held
from jobd.store.reading import Record, snapshot

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
    found = settings(args)
    with opened(found) as database, snapshot(database.connection):
        read = {
            "jobs": overview.counts(database.connection),
            "queues": overview.queues(database.connection),
            "workers": overview.workers(database.connection),
            "daemons": overview.daemons(database.connection),
        }
    alive, pid = is_held(found.db)
    if args.json:
        print_json(_as_json(found, read, alive))
    else:
        _print(found, read, alive, pid)
    return DONE


def _as_json(found: Settings, read: dict[str, Any], alive: bool) -> dict[str, object]:
    listings = {name: [shown(each) for each in read[name]] for name in ("queues", "workers")}
    return {
        "jobs": read["jobs"],
        **listings,
        "daemons": [
            {**shown(each), "active": alive and index == 0}
            for index, each in enumerate(read["daemons"])
        ],
        "database": str(found.db),
        "config": None if found.config_file is None else str(found.config_file),
    }


def _print(found: Settings, read: dict[str, Any], alive: bool, pid: int | None) -> None:
    _line("daemon", _daemon(read["daemons"], alive, pid))
    _line("database", str(found.db))
    _line("config", str(found.config_file or "no file: defaults, environment and flags alone"))
    _line("jobs", ", ".join(f"{count} {name}" for name, count in read["jobs"].items()))
    if read["queues"]:
        print()
        print_queues(read["queues"])
    if alive and read["workers"]:
        print()
        print_workers(read["workers"], alive)


def _daemon(daemons: list[Record], alive: bool, pid: int | None) -> str:
    newest = daemons[0] if daemons else None
    now = clock.now_ms()
    if alive:
        known = newest is not None and newest["pid"] == pid
        started = f", started {ago(newest['started_at'], now)}" if newest and known else ""
        return f"active, pid {pid or 'unknown'}{started}"
    if newest is None:
        return "none has run yet; `jobd run` starts one"
    seen = ago(newest["stopped_at"] or newest["seen_at"], now)
    return f"none is active; the last one, pid {newest['pid']}, was last seen {seen}"


def _line(name: str, text: str) -> None:
    print(f"{name:<{WIDTH}}{printable(text)}")
