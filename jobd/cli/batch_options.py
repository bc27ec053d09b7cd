"""What may be said of a batch on the command line: where its items come from, how they run."""

import argparse

CALLBACKS = {
    "success": "when all of its items have succeeded",
    "failure": "when it ends otherwise, unless it was cancelled",
    "end": "when it ends",
}
_FORMATS = {
    "lines": "each line is an item",
    "ndjson": "each line is a JSON object: the parameters of an item",
    "csv": "each row is an item; the header names its columns",
    "find0": "names ended by NUL, as `find -print0` writes them",
}


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """What items are read from, and how."""
    group = parser.add_argument_group("items, from one FILE (no default; - is standard input)")
    for format_, about in _FORMATS.items():
        group.add_argument(f"--{format_}", metavar="FILE", help=about)
    group.add_argument("--as", dest="item_name", metavar="NAME", default="item",
                       help="the parameter that a line, or a name of find, becomes (default: item)")
    group.add_argument("--encoding", metavar="NAME", default="utf-8",
                       help="what the file is written in, as latin-1 (default: utf-8)")
    group.add_argument("--delimiter", metavar="CHAR", default=",",
                       help="what parts the columns of CSV, as ';' or tab (default: a comma)")
    parser.add_argument("--dry-run", action="store_true",
                        help="show the first items as they would run, and store nothing")
    parser.add_argument("-q", "--print-id", action="store_true", help="print the id alone")


def add_batch_options(parser: argparse.ArgumentParser) -> None:
    """How the items of a new batch run."""
    parser.add_argument("--param", metavar="K=V", action="append", default=[],
                        help="a parameter of every item; V is JSON where it reads as JSON; may be "
                        "given again")
    parser.add_argument("--concurrency", metavar="N",
                        help="how many may run at once (default: no bound but the workers)")
    parser.add_argument("--error-handling", metavar="HOW", choices=("continue", "stop"),
                        help="after a failed item: continue (the default) or stop")
    parser.add_argument("--stop-after", metavar="N|P%",
                        help="stop after so many failed items, as 10 or 5%% (default: none)")
    parser.add_argument("--queue", metavar="NAME", help="the queue (default: the handler's)")
    parser.add_argument("--priority", metavar="N", default="0",
                        help="-1000 to 1000, larger first (default 0)")
    parser.add_argument("--timeout", metavar="DURATION", help="how long an attempt may run, as 30s "
                        "(default: the handler's, else timing.timeout)")
    parser.add_argument("--max-retries", metavar="N", help="how many retries failures may use "
                        "(default: the handler's, else the failure type's)")
    for when, about in CALLBACKS.items():
        parser.add_argument(f"--on-{when}", metavar="TYPE[=JSON]",
                            help=f"a job to enqueue {about}, with its payload (default: none)")


def add_program_options(parser: argparse.ArgumentParser) -> None:
    """What a program finds around it; as `jobd exec` has them."""
    parser.add_argument("--cwd", metavar="DIR", help="its working directory (default: this one)")
    parser.add_argument("--env", metavar="NAME=VALUE", action="append", default=[],
                        help="add a variable to its environment; may be given again")
    parser.add_argument("--stdin", metavar="FILE",
                        help="its standard input (default: none); may hold placeholders")
    parser.add_argument("--ok", metavar="CODES", default="0",
                        help="exit codes that count as success, as 0,1 (default 0)")
    parser.add_argument("--leave-children", action="store_true",
                        help="let what it started live on; its attempts may then overlap")
