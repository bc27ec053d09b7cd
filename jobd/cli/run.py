"""`jobd run`: the daemon, in the foreground."""

import argparse

from jobd.cli.options import add_handler_options


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "run",
        help="run the daemon in the foreground",
        description="Run the daemon: claim jobs and run them until SIGTERM or Ctrl-C. The first "
        "signal lets running jobs finish within timing.shutdown_grace; a second one does not "
        "wait. SIGHUP reloads the configuration.",
        epilog="example:  jobd run --handlers myjobs --path /srv/myapp --workers 8",
    )
    parser.add_argument("--workers", type=int, metavar="N",
                        help="run N jobs at the same time (default: pool.workers, which is 4)")
    add_handler_options(parser)
    parser.add_argument("--no-wait", action="store_true",
                        help="exit with 69 when another daemon is active, instead of waiting")
    parser.set_defaults(run=run, no_json="the log is JSON lines unless it goes to a terminal; "
                        "log.format decides")


def run(args: argparse.Namespace) -> int:
    # What the daemon is made of takes longer to import than every other verb takes to run.
    from jobd.cli.serve import serve

    return serve(args)
