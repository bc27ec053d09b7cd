"""`jobd batch`: its parts and their options; what each does is in the file of its name."""

import argparse
from typing import TYPE_CHECKING

from jobd.cli.batch_options import add_batch_options, add_program_options, add_source_options
from jobd.cli.verbs import later

if TYPE_CHECKING:
    Parts = argparse._SubParsersAction[argparse.ArgumentParser]

EXAMPLES = """\
examples:
  find photos -name '*.jpg' -print0 | jobd batch create thumbs --type thumbnail --find0 - --as path
  find . -name '*.log' -print0 | jobd batch exec squeeze --find0 - --concurrency 4 -- xz -k {}
  jobd batch watch squeeze
  jobd batch retry squeeze
  jobd batch report squeeze"""

CREATE = """\
examples:
  jobd batch create sums --type checksum --lines files.txt --as path
  jobd batch create mails --type mail --csv people.csv --param subject=News --stop-after 5%
  jobd batch create nightly --type import --ndjson - --on-failure tell < rows.ndjson"""

EXEC = """\
placeholders, in arguments and in --stdin:
  {}   the item        {.}  without its extension      {#}  its position, from 1
  {/}  its last part   {/.} that without its extension {//} its directory
  {name} a column of CSV, a key of NDJSON, or a --param; {name.} {name/} … are parts of it
  {{}} the letters {}
Without any of them the item is the last argument. An item is always one argument, whatever it
holds, and never text that a shell reads: sh -c 'zcat "$1" | wc -l' sh {}
An item that begins with - is an option to most programs: write -- before it, or ./{}.

examples:
  find . -name '*.mov' -print0 | jobd batch exec mp4 --find0 - -- ffmpeg -nostdin -i {} {.}.mp4
  jobd batch exec fetch --csv urls.csv --concurrency 8 -- curl -sSfo {name} -- {url}
  ls | jobd batch exec count --lines - --stdin {} -- wc -l"""

ONE = {
    "append": "squeeze --lines more.txt -- xz -k {}", "list": "--all",
    "items": "squeeze --status failed", "watch": "squeeze --every 1m",
    "results": "squeeze --ndjson",
}
"""What the example of a part says behind its name, where that is not a batch alone."""

STATUSES = ("queued", "processing", "completed", "failed", "cancelled")


def add(verbs: "Parts") -> None:
    """Register the verb and its parts."""
    text = "make many jobs under one name, watch them and report on them"
    parser = verbs.add_parser(
        "batch", help=text, description=text, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_filters(parser)
    parts = parser.add_subparsers(title="verbs", metavar="VERB")
    _add_making(parts)
    _add_watching(parts)
    _add_control(parts)
    _add_results(parts)


def _part(
    parts: "Parts", name: str, about: str, *, file: str | None = None, function: str = "run",
    epilog: str = "", more: str = "",
) -> argparse.ArgumentParser:
    parser = parts.add_parser(
        name, help=about, description=f"{about}{more}",
        epilog=epilog or f"example:  jobd batch {name} {ONE.get(name, 'squeeze')}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=later(f"batch_{file or name}", function))
    return parser


def _named(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("name", metavar="NAME", help="a batch's name, or its id")
    return parser


def _add_making(parts: "Parts") -> None:
    about = "make a batch of Python jobs: all of its items, or nothing"
    create = _part(parts, "create", about, epilog=CREATE)
    create.add_argument("name", metavar="NAME", help="what the batch is called")
    create.add_argument("--type", dest="job_type", metavar="TYPE", required=True,
                        help="the job type: which handler runs each item")
    create.add_argument("--isolation", metavar="WHERE",
                        help="run items in a thread or a process (default: the handler's)")
    about = "make a batch that runs a program for each item"
    program = _part(parts, "exec", about, epilog=EXEC)
    program.add_argument("name", metavar="NAME", help="what the batch is called")
    program.add_argument("argv", nargs="+", metavar="ARGV",
                         help="after --: program and arguments, with placeholders")
    for parser in (create, program):
        add_source_options(parser)
        add_batch_options(parser)
    add_program_options(program)
    about = "add items to a batch that has not ended"
    append = _named(_part(
        parts, "append", about, file="create", function="run_append",
        more=". Where it runs programs, say what each new item\nruns: jobd batch append NAME "
             "--lines FILE -- ARGV…",
    ))
    append.set_defaults(argv=[])
    append.add_argument("--stdin", metavar="FILE",
                        help="the program's standard input, as exec's (default: none)")
    add_source_options(append)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="also those that ended a day ago")
    parser.add_argument("--limit", metavar="N", default="50", help="at most so many (default 50)")
    parser.set_defaults(run=later("batch_list"))


def _add_watching(parts: "Parts") -> None:
    _add_filters(_part(parts, "list", "list batches, newest first"))
    about = "show how far a batch is, what runs, and what failed by cause"
    show = _named(_part(parts, "show", about))
    show.add_argument("--color", choices=("auto", "always", "never"), default="auto",
                      help="default auto: on a terminal, unless $NO_COLOR is set")
    items = _named(_part(parts, "items", "list the items of a batch, in the order of the input"))
    items.add_argument("--status", choices=STATUSES, metavar="STATUS",
                       help=f"only items in this status: {', '.join(STATUSES)}")
    items.add_argument("--limit", metavar="N", default="50", help="at most so many (default 50)")
    items.add_argument("--after", metavar="POSITION", default="0",
                       help="only those behind this position (default 0)")
    watch = _named(_part(
        parts, "watch", "follow a batch until it has ended",
        more="; exit 0 when all of its items succeeded, 1 otherwise. On a terminal q quits;\n"
             "without one it prints a line for each change",
    ))
    watch.add_argument("--every", metavar="DURATION", default="30s",
                       help="without a terminal: a line at least so often while it goes on "
                       "(default 30s)")
    watch.add_argument("--color", choices=("auto", "always", "never"), default="auto",
                       help="default auto: on a terminal, unless $NO_COLOR is set")


def _add_control(parts: "Parts") -> None:
    for name, about, now in (
        ("pause", "start no more items; those that run go on", "stop what runs, uncharged"),
        ("resume", "start items again, where it was", None),
        ("cancel", "start no more items, and end as cancelled", "stop what runs"),
        ("retry", "run the failed items again", None),
    ):
        part = _named(_part(parts, name, about, file="control", function=f"run_{name}"))
        if now:
            part.add_argument("--now", action="store_true", help=f"also {now}")
        if name == "retry":
            part.add_argument("--cancelled", action="store_true",
                              help="also those that were cancelled")


def _add_results(parts: "Parts") -> None:
    about = "totals, durations, the slowest items, and failures by cause"
    report = _named(_part(parts, "report", about))
    report.add_argument("--csv", action="store_true", help="a table with a row for each item")
    about = "what the items gave back, in the order of the input"
    results = _named(_part(
        parts, "results", about,
        more=": for programs what they\nwrote to standard output, for handlers the result as JSON",
    ))
    results.add_argument("--ndjson", action="store_true",
                         help="a JSON object for each item, failed ones too")
