"""`jobd demo`: the whole thing in one minute on real input that every machine has."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from jobd import clock, errors
from jobd.cli.demo_daemon import DemoDaemon
from jobd.cli.demo_jobs import KILLER, Planned, planned
from jobd.cli.demo_report import judge, print_next, print_report
from jobd.cli.demo_screen import Screen
from jobd.cli.demo_signals import Signals
from jobd.cli.demo_stage import Stage, own_directory
from jobd.core.config import SETTINGS
from jobd.core.lifecycle import LIVE
from jobd.queue import Queue
from jobd.store import overview, reading
from jobd.store.connection import Database
from jobd.store.opening import open_database

LOOK_EVERY = 0.1
STALLED_AFTER = 60.0
FULL_AFTER = 3.0
MOST_DEATHS = 3

Plan = Mapping[int, Planned]


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "demo",
        help="see it work on real input, in about a minute",
        description="Every .py file of Python's standard library becomes a job that parses it, "
        "and a few jobs get into trouble: one overruns its timeout, one fails twice, one kills "
        "the daemon with SIGKILL. A real daemon runs them as a child process. Exits 0 only if "
        "every job ended where it should.",
        epilog="example:  jobd demo --files 100",
    )
    parser.add_argument("--dir", metavar="DIR", help="keep database and log in DIR, new or empty "
                        "or of an earlier demo, whose database and log are erased (default: a "
                        "new directory for temporary files)")
    parser.add_argument("--workers", type=_workers, default=4, metavar="N",
                        help="run N jobs at a time (default 4)")
    parser.add_argument("--files", type=_files, metavar="N",
                        help="only N files, picked evenly (default: all)")
    parser.set_defaults(run=run, no_json="it is to be looked at")


def _files(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:7]) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r:.60} is no number from 1 to 100000")
    return int(text)


def _workers(text: str) -> int:
    try:
        return int(str(SETTINGS["pool", "workers"].kind.parse(text)))
    except errors.BadInput as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def run(args: argparse.Namespace) -> int:
    """Play the whole thing; 0 when every job ended where it should."""
    for name in ("db", "config", "json"):
        if getattr(args, name):
            raise errors.BadInput(f"demo has a database, a configuration and a report of its own: "
                                  f"leave --{name} out; --dir says where it plays")
    with Signals() as signals:
        stage = own_directory(args.dir)
        daemon = DemoDaemon(stage.directory, args.workers, signals)
        try:
            with stage.told_when_full():
                return _played(stage, daemon, signals, args.files)
        except KeyboardInterrupt:
            return _ended(stage, daemon, signals)
        finally:
            daemon.stop()
            stage.leave()


def _played(stage: Stage, daemon: DemoDaemon, signals: Signals, files: int | None) -> int:
    with signals.raised():
        started = clock.monotonic()
        plan = _enqueued(stage, files)
        try:
            _until_done(stage, daemon, plan)
        finally:
            # A signal while it stops is heard by the daemon's keeper, who waits less then.
            with signals.noted():
                daemon.stop()
        seconds = clock.monotonic() - started
        found = judge(stage.db, stage.log, plan, daemon.deaths)
        if not found.good and stage.is_full():
            found.wrong.insert(0, stage.fullness())
        print_report(found, seconds)
        print_next(found, stage)
    return errors.DONE if found.good else errors.FAILED


def _enqueued(stage: Stage, files: int | None) -> Plan:
    plan = planned(stage.directory, files)
    stage.begin(len(plan))
    with Queue(stage.db) as queue:
        ids = queue.enqueue_many((each.job_type, each.payload) for each in plan)
    print(f"{len(ids)} jobs are enqueued in {stage.db}: most parse a source file of Python "
          f"{sys.version.split()[0]}", flush=True)
    return dict(zip(map(int, ids), plan, strict=True))


def _ended(stage: Stage, daemon: DemoDaemon, signals: Signals) -> int:
    """Say what a signal ended, and what becomes of the directory; the exit status."""
    number = signals.arrived[0] if signals.arrived else signal.SIGINT
    name = signal.Signals(number).name
    _say(f"\n{name}: ends the demo")
    daemon.stop()
    if stage.begun:
        _say(f"what is there stays in {stage.directory}")
    else:
        stage.remove()
        _say("nothing had begun, and nothing is left")
    return 128 + number


def _say(sentence: str) -> None:
    """Tell who may have gone: a closed terminal must not keep the demo from tidying up."""
    try:
        print(sentence, flush=True)
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _until_done(stage: Stage, daemon: DemoDaemon, plan: Plan) -> None:
    """Show how it goes, and start the daemon again when it is gone.

    Raises:
        JobdError: the daemon does not live, or nothing moves any more.
    """
    screen = Screen(len(plan))
    daemon.start()
    last, moved_at = None, clock.monotonic()
    with _watching(stage.db) as database:
        while True:
            counts = overview.counts(database.connection)
            buffered = overview.buffered(database.connection)
            live = sum(counts[status] for status in LIVE)
            screen.show(counts, buffered, final=not live)
            if not live:
                return
            if daemon.has_ended():
                _start_again(stage, daemon, screen, _killed_by_job(database, plan, daemon))
            if (counts, buffered) != last:
                last, moved_at = (counts, buffered), clock.monotonic()
            _check_moving(stage, clock.monotonic() - moved_at)
            clock.pause(LOOK_EVERY)


def _check_moving(stage: Stage, still: float) -> None:
    if still > FULL_AFTER and stage.is_full():
        raise errors.JobdError(stage.fullness())
    if still > STALLED_AFTER:
        raise errors.JobdError(f"nothing has moved for {still:.0f} s; the log is {stage.log}")


def _killed_by_job(database: Database, plan: Plan, daemon: DemoDaemon) -> bool:
    """Whether the job that is to kill the daemon had come so far, and had not done it before."""
    killer = next(job_id for job_id, each in plan.items() if each is KILLER)
    armed = reading.checkpoint(database.connection, killer) is not None
    return armed and not daemon.deaths.by_job


def _start_again(stage: Stage, daemon: DemoDaemon, screen: Screen, by_job: bool) -> None:
    if daemon.status != -signal.SIGKILL:
        raise errors.JobdError(stage.fullness() if stage.is_full() else daemon.why_ended())
    daemon.deaths.count(by_job)
    if daemon.deaths.number > MOST_DEATHS:
        raise errors.JobdError(f"somebody kills the demo's daemon again and again: it died "
                               f"{daemon.deaths.number} times; its log is {stage.log}")
    who = "one of its jobs" if by_job else "somebody else"
    screen.say(f"the daemon (pid {daemon.pid}) died by SIGKILL, in mid-work: {who} killed it")
    screen.say(f"started it again (pid {daemon.start()}): what it had begun is rescued")


@contextmanager
def _watching(path: Path) -> Iterator[Database]:
    database = open_database(path, now=clock.now_ms())
    try:
        yield database
    finally:
        database.close()
