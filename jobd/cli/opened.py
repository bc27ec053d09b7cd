"""The database that a verb works on, open for as long as the verb needs it."""

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager

from jobd import clock
from jobd.cli.options import Settings, what_fits
from jobd.errors import JobdError
from jobd.store.complaints import translated
from jobd.store.connection import Database
from jobd.store.misfits import explained
from jobd.store.opening import open_database


@contextmanager
def opened(found: Settings, *, create: bool = False) -> Iterator[Database]:
    """The open database; everything SQLite says inside the block comes as one sentence.

    Raises:
        NoDatabase: there is none, and `create` was not given.
    """
    database = open_database(
        found.db, create=create, synchronous=found.config.synchronous, now=clock.now_ms()
    )
    try:
        with translated(database.path):
            yield database
    finally:
        database.close()


def why(args: argparse.Namespace, error: Exception) -> JobdError | None:
    """What is wrong with the database of this command line, if that explains `error`."""
    try:
        path = what_fits(args).db
        with closing(open_database(path, now=clock.now_ms(), check="none")) as database:
            found = explained(database.connection, error)
    except (AttributeError, JobdError):
        return None
    return found if isinstance(found, JobdError) else None
