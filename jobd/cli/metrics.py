"""`jobd metrics`: measurements in the text format of Prometheus."""

import argparse
import sys

from jobd import clock
from jobd.cli.opened import opened
from jobd.cli.options import for_looking
from jobd.cli.table import printable
from jobd.core import gauges
from jobd.core.prometheus import render
from jobd.errors import DONE
from jobd.store import measuring, overview
from jobd.store.presence import presence

DESCRIPTION = """\
print measurements in the text format of Prometheus

Jobs, queues, workers and sizes are read from the database now. Counters and histograms
are those of the active daemon, as it told them last (every metrics.interval)."""


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = DESCRIPTION.partition("\n")[0]
    parser = verbs.add_parser(
        "metrics", help=text, description=DESCRIPTION, epilog="example:  jobd metrics",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, no_json="this is text for Prometheus; `jobd status --json` "
                        "has the counts as JSON")


def run(args: argparse.Namespace) -> int:
    """Print them; they need no daemon."""
    found = for_looking(args)
    seen = presence(found.db, clock.now_ms())
    with opened(found) as database:
        db = database.connection
        newest = next(iter(overview.daemons(db)), None)
        jobs = measuring.count_jobs(db)
        now = clock.now_ms()
        text = render(gauges.families(measuring.measure(
            db, database.path, alive=seen.alive, moves=seen.moves(newest), silent_ms=seen.silent_ms,
             jobs=jobs, counted_at=now, now=now
        )))
    if seen.alive and newest is not None:
        text += measuring.told(found.db, newest["id"])
    if sys.stdout.isatty():
        text = "\n".join(map(printable, text.split("\n")))
    print(text, end="")
    return DONE
