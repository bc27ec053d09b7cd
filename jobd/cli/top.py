"""`jobd top`: what goes on now, on the whole terminal, drawn anew each second."""

import argparse
import sys
from dataclasses import asdict
from typing import Any

from jobd import clock
from jobd.cli.full_screen import FullScreen
from jobd.cli.options import Settings, for_looking
from jobd.cli.table import print_json
from jobd.cli.terminal import look_of, size
from jobd.cli.top_frame import Moment, frame
from jobd.core.presence import stands_still
from jobd.core.pulse import rates
from jobd.core.shown import shown
from jobd.errors import DONE, JobdError
from jobd.store.complaints import translated
from jobd.store.connection import Database
from jobd.store.live import Live, live
from jobd.store.opening import open_database
from jobd.store.presence import presence
from jobd.store.pulse import read_pulse

EVERY = 1.0
SHARE_OF_READING = 20
"""What is read so seldom that it takes no more than a twentieth of the time."""
READ_AGAIN_AFTER = 5.0


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "watch queues, running jobs and failures on the whole terminal; q quits"
    parser = verbs.add_parser(
        "top", help=text, description=text, epilog="example:  jobd top --once"
    )
    parser.add_argument("--once", action="store_true",
                        help="print one frame and end (--json prints what is in it)")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto",
                        help="default auto: on a terminal, unless $NO_COLOR is set")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw until someone quits."""
    watched = Watched(for_looking(args))
    look = look_of(sys.stdout, args.color)
    try:
        moment = watched.now()
        if args.json:
            print_json(_as_json(moment))
            return DONE
        if args.once:
            columns, lines = size()
            print("\n".join(line.rstrip() for line in frame(moment, columns, lines - 1, look)))
            return DONE
        with FullScreen(sys.stdout) as screen:
            while True:
                screen.draw(frame(moment, *size(), look, foot="q quits"))
                if "q" in screen.wait(EVERY).lower():
                    return DONE
                moment = watched.now()
    finally:
        watched.close()


class Watched:
    """The database, read again when it has changed; when it cannot be, the last state stays."""

    def __init__(self, found: Settings) -> None:
        self._path = found.db
        self._database: Database | None = None
        self._live: Live | None = None
        self._version = -1
        self._read_at = 0.0
        self._read_next = 0.0

    def now(self) -> Moment:
        """What goes on.

        Raises:
            JobdError: it could not be read the first time.
        """
        trouble = None
        try:
            read = self._look(clock.monotonic())
        except JobdError as error:
            if self._live is None:
                raise
            read, trouble = self._live, str(error)
            self.close()
        now = clock.now_ms()
        return Moment(now, str(self._path), presence(self._path, now), read,
                      read_pulse(self._path), trouble)

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _look(self, now: float) -> Live:
        if self._database is None:
            self._database = open_database(self._path, now=clock.now_ms())
            self._version = -1
        with translated(self._path):
            self._database.check_files()
            version = self._database.data_version()
            stale = version != self._version or now - self._read_at >= READ_AGAIN_AFTER
            if self._live is None or (stale and now >= self._read_next):
                self._live = live(self._database.connection)
                took = clock.monotonic() - now
                self._version, self._read_at = version, now
                self._read_next = now + SHARE_OF_READING * took
        return self._live


def _as_json(moment: Moment) -> dict[str, Any]:
    read, second = moment.live, moment.now // 1000
    listings = {name: [shown(each) for each in getattr(read, name)]
                for name in ("queues", "running", "due", "failures", "workers")}
    return {
        "database": moment.database,
        "active": moment.seen.alive,
        "problems": [each._asdict() for each in stands_still(moment.seen, read.daemon)],
        "daemon": read.daemon and shown(read.daemon),
        "throughput": asdict(rates(moment.beats, second)),
        "failing": asdict(rates(moment.beats, second, failed=True)),
        "counts": read.counts,
        **listings,
    }
