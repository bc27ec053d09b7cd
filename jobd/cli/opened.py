"""The database that a verb works on, open for as long as the verb needs it."""

from collections.abc import Iterator
from contextlib import contextmanager

from jobd import clock
from jobd.cli.options import Settings
from jobd.store.complaints import translated
from jobd.store.connection import Database
from jobd.store.opening import Check, open_database


@contextmanager
def opened(
    found: Settings, *, create: bool = False, check: Check = "version"
) -> Iterator[Database]:
    """The open database; everything SQLite says inside the block comes as one sentence.

    Raises:
        NoDatabase: there is none, and `create` was not given.
    """
    database = open_database(
        found.db, create=create, synchronous=found.synchronous, now=clock.now_ms(),
        check=check,
    )
    try:
        with translated(database.path):
            yield database
    finally:
        database.close()
