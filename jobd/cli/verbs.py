"""Every verb of the command line, in the order of `jobd --help`, with its line there.

A verb is the module of its name. Only the one that was asked for is imported: all of them take
longer to import than most of them take to run. A test holds each line and its module together.
"""

from argparse import Namespace
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

VERBS = {
    "run": "run the daemon in the foreground",
    "demo": "see it work on real input, in about a minute",
    "enqueue": "put a job in; when this returns, the job is on disk",
    "exec": "put in a job that runs a program",
    "batch": "make many jobs under one name, watch them and report on them",
    "list": "list jobs, newest first",
    "show": "show everything about a job: its columns, its failed attempts, its progress",
    "history": "tell what happened to a job: attempts, outcomes, and what people did",
    "explain": "tell in one paragraph why a job is not running, or why it is dead, and what to "
               "type",
    "logs": "show what a job wrote: its standard output here, its standard error beside it",
    "wait": "wait until jobs have ended; exit 0 when all of them completed, 1 otherwise",
    "cancel": "cancel jobs: at once while they wait, else as soon as they have stopped",
    "retry": "put failed, dead or cancelled jobs back in line with fresh counts",
    "dead": "list dead letters by what they have in common, and retry them by group",
    "release": "stop running jobs and put them back in line, with nothing charged",
    "status": "show how many jobs are in each status, the queues, the workers and the daemon",
    "workers": "list the workers of the daemon: their health, and on which job they are",
    "top": "watch queues, running jobs and failures on the whole terminal; q quits",
    "health": "say how well everything is: exit 0 healthy, 1 degraded, 69 down",
    "tail": "follow the log, readable and filtered; it needs neither daemon nor database",
    "queue": "pause and resume queues, and list them",
    "check": "tell whether the configuration, the handlers and the database fit; change nothing",
    "doctor": "look at everything that may be wrong, and say what mends it; change nothing",
    "backup": "write a verified copy of the database to FILE, also while the daemon runs",
    "prune": "delete old ended jobs with their attempts, output and history",
    "metrics": "print measurements in the text format of Prometheus",
    "migrate": "look at the database's schema, move it between versions, mend it",
    "completion": "print a script for bash, zsh or fish that completes verbs and flags",
}


def module_of(verb: str) -> ModuleType:
    """The module of a verb: `add(verbs)` registers it, and its arguments lead to its `run`."""
    return import_module(f"jobd.cli.{verb}")


def later(module: str, function: str = "run") -> Callable[[Namespace], int]:
    """A function of a module of the command line that is imported when it is called.

    For verbs with many parts, whose options alone are needed to read a command line.
    """
    def run(args: Namespace) -> int:
        status: int = getattr(module_of(module), function)(args)
        return status

    return run
