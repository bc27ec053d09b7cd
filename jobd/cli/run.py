"""`jobd run`: the daemon, in the foreground."""

import argparse

from jobd.errors import BadInput


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "run",
        help="run the daemon in the foreground",
        description="Run the daemon: claim jobs and run them until SIGTERM or Ctrl-C. The first "
        "signal lets running jobs finish within timing.shutdown_grace; a second one does not "
        "wait. SIGHUP reloads the configuration.",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="run N jobs at the same time")
    parser.add_argument("--handlers", nargs="+", action="extend", metavar="MODULE",
                        help="import these modules; their @jobd.job functions are the job types")
    parser.add_argument("--path", nargs="+", action="extend", metavar="DIR",
                        help="look for the modules in DIR first")
    parser.add_argument("--no-wait", action="store_true",
                        help="exit with 69 when another daemon is active, instead of waiting")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    for module in args.handlers or ():
        if "," in module:
            apart = " ".join(filter(None, module.split(",")))
            raise BadInput(f"--handlers {module}: put spaces between modules: --handlers {apart}")
    # What the daemon is made of takes longer to import than every other verb takes to run.
    from jobd.cli.serve import serve

    return serve(args)
