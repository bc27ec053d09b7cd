"""A schema that is not what this jobd needs, as those say it whose own statements still work."""

import sqlite3
from pathlib import Path

from jobd.cli.streams import complain
from jobd.cli.table import printable
from jobd.core.problem import Problem, State
from jobd.store.as_made import is_as_made
from jobd.store.daemon_lock import is_held


def misfit(db: sqlite3.Connection) -> Problem | None:
    """How the schema differs from what this jobd needs."""
    if is_as_made(db):
        return None
    # What else would do takes long to import, and is hardly ever asked.
    from jobd.store.schema import examine

    looked = examine(db)
    differences = [*looked.faults, *looked.notes]
    if not differences:
        return None
    first = differences[0]
    more = f" There are {len(differences) - 1} more differences, which `jobd migrate verify` " \
           "names." if len(differences) > 1 else ""
    return Problem(
        State.DEGRADED, "schema",
        f"The schema is not what this jobd needs: {first.object}: {first.problem}.{more} No "
        "daemon starts before that is mended.", first.mend,
    )


def warn_of_drift(database: Path, db: sqlite3.Connection) -> None:
    """On standard error, beside a job that has been stored all the same.

    A daemon that is active has looked at its start: then the look is spared.
    """
    found = None if is_held(database)[0] else misfit(db)
    if found is not None:
        complain(f"{printable(found.text)} (`{found.next_command}`)")
