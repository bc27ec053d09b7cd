"""Every verb of the command line, in the order of `jobd --help`.

A verb is the module of its name. Only the one that was asked for is imported: all of them take
longer to import than most of them take to run.
"""

from importlib import import_module
from types import ModuleType

VERBS = (
    "run", "demo", "enqueue", "exec", "list", "show", "history", "explain", "logs", "wait",
    "cancel", "retry", "dead", "release", "status", "workers", "top", "health", "tail", "queue",
    "check", "doctor", "backup", "prune", "metrics", "migrate", "completion",
)


def module_of(verb: str) -> ModuleType:
    """The module of a verb: `add(verbs)` registers it, and its arguments lead to its `run`."""
    return import_module(f"jobd.cli.{verb}")
