"""What would keep a daemon from starting: nobody is to be told `jobd run` when that refuses."""

import sqlite3

from jobd.cli.check import handlers_problems
from jobd.cli.drift import misfit
from jobd.cli.options import Settings
from jobd.core.problem import Problem, State


def obstacle(found: Settings, db: sqlite3.Connection) -> Problem | None:
    """The first thing in the way of a start, with what mends it."""
    if found.problems:
        return Problem(State.DEGRADED, "configuration",
                       f"The configuration is wrong: {found.problems[0]}.", "jobd check")
    return misfit(db) or _handlers(found)


def _handlers(found: Settings) -> Problem | None:
    problems = handlers_problems(found.config)
    if not problems:
        return None
    return Problem(State.DEGRADED, "handlers", f"A daemon would not start: {problems[0]}.",
                   "jobd check")
