"""`jobd tail`: the log for people, from a file, a pipe or the journal; the database is not read."""

import argparse
import os
import re
import stat
import sys
from pathlib import Path

from jobd.cli.log_file import POLL, FileLines, Lines, StreamLines
from jobd.cli.options import for_looking
from jobd.cli.tail_health import HealthView
from jobd.cli.tail_lines import LineView
from jobd.cli.terminal import look_of
from jobd.core.lifecycle import JobStatus
from jobd.core.log_line import Wanted
from jobd.errors import DONE, BadInput

FIRST_LINES = 10
_MOST = 10_000_000


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "follow the log, readable and filtered; it needs neither daemon nor database"
    parser = verbs.add_parser(
        "tail", help=text, description=text, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:  jobd tail --job 17\n"
               "           jobd tail --health /var/log/jobd.log\n"
               "           journalctl -u jobd -o cat -f | jobd tail -",
    )
    parser.add_argument("file", metavar="FILE", nargs="?",
                        help="the log, or - for standard input (default: the setting log.file)")
    parser.add_argument("-n", "--lines", metavar="N", default=str(FIRST_LINES),
                        help=f"begin with the last N lines that fit (default {FIRST_LINES})")
    parser.add_argument("--no-follow", action="store_true", help="end after those")
    parser.add_argument("--health", action="store_true",
                        help="show one line per worker and keep it current")
    parser.add_argument("-q", "--quiet", action="store_true", help="leave out heartbeats")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto",
                        help="default auto: on a terminal, unless $NO_COLOR is set")
    for option, name, about in (
        ("--job", "ID", "lines about this job"),
        ("--type", "TYPE", "about jobs of this type"),
        ("--queue", "NAME", "about jobs of this queue"),
        ("--worker", "NAME", "of this worker: JobWorker-2, or 2"),
        ("--event", "EVENT", 'of this event, or a pattern such as "job.*"'),
    ):
        parser.add_argument(option, metavar=name, action="append", default=[],
                            help=f"only {about}; may be repeated")
    parser.add_argument("--status", metavar="STATUS", action="append", default=[],
                        choices=[status.value for status in JobStatus],
                        help="only about jobs that came to this status; may be repeated")
    parser.add_argument("--level", choices=("debug", "info", "warning", "error"), default="debug",
                        help="only lines of this level or above (default debug: all)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show lines as they come, until the stream ends or someone ends us."""
    number = _number(args.lines)
    look = look_of(sys.stdout, args.color)
    wanted = _wanted(args)
    if args.health and (not wanted.everything or args.json):
        raise BadInput("--health shows workers and not lines: it takes no filter and no --json")
    source = _source(args)
    if args.health:
        return _watch(HealthView(look), source)
    return _show(LineView(wanted, look, as_json=args.json), source, number)


def log_file(args: argparse.Namespace) -> str:
    """The log that was named, else the one that the configuration names."""
    if args.file:
        return str(args.file)
    configured: str = for_looking(args).config.log.file
    if not configured:
        raise BadInput(
            "log.file is not set, so the log goes to the daemon's standard output: name a file, or "
            "for the service `journalctl -u jobd -o cat -f | jobd tail -`"
        )
    return configured


def _source(args: argparse.Namespace) -> Lines:
    name = log_file(args)
    if name == "-":
        return StreamLines(sys.stdin.fileno())
    path = Path(name).absolute()
    if path.is_dir():
        raise BadInput(f"{path} is a directory; name the log's file")
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        return StreamLines(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    return FileLines(path, follow=not args.no_follow)


def _show(view: LineView, source: Lines, number: int) -> int:
    if isinstance(source, FileLines):
        view.show(source.last(number, view.fits))
    while (lines := source.more(POLL)) is not None:
        view.show(lines)
    return DONE


def _watch(view: HealthView, source: Lines) -> int:
    if isinstance(source, FileLines):
        view.take(source.recent())
    view.show()
    try:
        while (lines := source.more(POLL)) is not None:
            view.take(lines)
            view.show()
    finally:
        view.leave()
    return DONE


def _wanted(args: argparse.Namespace) -> Wanted:
    return Wanted(
        jobs=tuple(_job(text) for text in args.job),
        types=tuple(args.type),
        workers=tuple(f"JobWorker-{each}" if each.isdecimal() else each for each in args.worker),
        statuses=tuple(args.status),
        queues=tuple(args.queue),
        events=tuple(args.event),
        level=args.level,
        beats=not args.quiet,
    )


def _job(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise BadInput(f"{text!r:.60} is no job's id; ids are whole numbers from 1")
    return int(text)


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > _MOST:
        raise BadInput(f"lines must be an integer from 0 to {_MOST}, not {text!r:.60}")
    return int(text)
