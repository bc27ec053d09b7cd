"""`jobd batch watch`: follow a batch until it has ended."""

import argparse
import sys
from collections.abc import Iterator
from datetime import datetime

from jobd import clock
from jobd.cli.batch_frame import Moment, counts, frame, state
from jobd.cli.batch_show import as_json, look_at, with_pace
from jobd.cli.full_screen import FullScreen
from jobd.cli.options import Settings, for_looking
from jobd.cli.table import print_json, printable
from jobd.cli.terminal import Look, look_of, size
from jobd.core.batch_progress import Sample
from jobd.core.batch_status import BatchStatus
from jobd.core.durations import parse_duration
from jobd.errors import DONE, FAILED, DatabaseUnavailable
from jobd.store.complaints import translated
from jobd.store.connection import Database
from jobd.store.opening import open_database

POLL, DRAWN = 0.2, 0.5
SAMPLES = 600
"""What is remembered of a watched batch: one for each look at which something had ended."""
SEEN_ENOUGH_MS = 5_000
"""Before that the daemon's own samples say more."""
CAUSES = 20
"""Causes of failure that are told when they first occur."""


def run(args: argparse.Namespace) -> int:
    """0 when every item succeeded, 1 when not, and when someone stopped watching before."""
    every = parse_duration(args.every)
    watched = Watched(for_looking(args), args.name)
    look = look_of(sys.stdout, args.color)
    try:
        if args.json or not sys.stdout.isatty():
            moment = _lines(watched, every, quiet=args.json)
        else:
            moment = _screen(watched, look)
    finally:
        watched.close()
    if args.json:
        print_json(as_json(moment))
    return DONE if succeeded(moment) else FAILED


def succeeded(moment: Moment) -> bool:
    """Whether it has ended with all of its items done."""
    batch = moment.batch
    return bool(batch["status"] == BatchStatus.COMPLETED
                and batch["successful_items"] == batch["total_items"])


class Watched:
    """One batch, by its id once it was found, with the samples of what was seen of it."""

    def __init__(self, found: Settings, name: str) -> None:
        self._path = found.db
        self._name = name
        self._database: Database | None = None
        self._samples: list[Sample] = []

    def now(self) -> Moment:
        """How it is. Raises NotFound, and what the database says."""
        if self._database is None:
            self._database = open_database(self._path, now=clock.now_ms())
        with translated(self._path):
            self._database.check_files()
            moment = look_at(self._database.connection, self._path, self._name)
        # Another batch may get the name meanwhile.
        self._name = str(moment.batch["id"]) if self._is_by_id(moment) else self._name
        self._sample(moment)
        return moment

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _is_by_id(self, moment: Moment) -> bool:
        return not self._samples and str(moment.batch["name"]) == self._name

    def _sample(self, moment: Moment) -> None:
        """Remember how many have ended; what was before a pause says nothing any more."""
        if moment.batch["status"] != BatchStatus.PROCESSING:
            self._samples = []
            return
        at = round(1000 * clock.monotonic())
        if not self._samples or self._samples[-1][1] != moment.ended:
            self._samples = [*self._samples[-SAMPLES:], (at, moment.ended)]
        if at - self._samples[0][0] >= SEEN_ENOUGH_MS:
            with_pace(moment.batch, self._samples, len(moment.running), at)


def _screen(watched: Watched, look: Look) -> Moment:
    """Draw it until it has ended or someone quits; then leave its last state on the page."""
    moment = watched.now()
    with FullScreen(sys.stdout) as screen:
        while moment.is_open:
            columns, lines = size()
            screen.draw(frame(moment, columns, lines, look, foot="q quits; the batch goes on"))
            if "q" in screen.wait(DRAWN).lower():
                break
            moment = _patiently(watched, moment)
    columns, _ = size()
    print("\n".join(frame(moment, columns, None, look)))
    return moment


def _patiently(watched: Watched, moment: Moment) -> Moment:
    """How it is now; while the database cannot be read, how it was."""
    try:
        return watched.now()
    except DatabaseUnavailable:
        watched.close()
        return moment


def _lines(watched: Watched, every: float, *, quiet: bool) -> Moment:
    """Print a line for each change, until it has ended."""
    moment = watched.now()
    said, said_at, causes = "", clock.monotonic(), set[str]()
    while True:
        due = clock.monotonic() - said_at >= every and _key(moment) + str(moment.ended) != said
        if not quiet and (due or not said.startswith(_key(moment))):
            _say(moment, f"{state(moment)}: {', '.join(counts(moment))}")
            said, said_at = _key(moment) + str(moment.ended), clock.monotonic()
        for line in () if quiet else _new_causes(moment, causes):
            _say(moment, line)
        if not moment.is_open:
            return moment
        clock.pause(POLL)
        moment = _patiently(watched, moment)


def _key(moment: Moment) -> str:
    """What makes a line: another status, another tenth, something in the way."""
    batch = moment.batch
    tenth = 10 * moment.ended // max(batch["total_items"], 1)
    parts = (batch["status"], batch["ends_as"], batch["run"], tenth, batch["sealed_at"] is None,
             moment.trouble)
    return f"{parts} "


def _new_causes(moment: Moment, causes: set[str]) -> Iterator[str]:
    for group in moment.failures:
        if group.fingerprint not in causes and len(causes) < CAUSES:
            causes.add(group.fingerprint)
            yield f"failed: {group.failure_type}: {group.error} (as job {group.example_id})"


def _say(moment: Moment, text: str) -> None:
    stamp = datetime.fromtimestamp(moment.now / 1000).astimezone().isoformat(timespec="seconds")
    trouble = f"; {moment.trouble}" if moment.trouble else ""
    print(printable(f"{stamp} {moment.batch['name']} {text}{trouble}"), flush=True)
