"""An error that no verb foresaw: whether the database of its command line explains it."""

import argparse
from contextlib import closing

from jobd import clock
from jobd.cli.options import what_fits
from jobd.errors import JobdError
from jobd.store.misfits import explained
from jobd.store.opening import open_database


def why(args: argparse.Namespace, error: Exception) -> JobdError | None:
    """What is wrong with the database of this command line, if that explains `error`."""
    try:
        path = what_fits(args).db
        with closing(open_database(path, now=clock.now_ms(), check="none")) as database:
            found = explained(database.connection, error)
    except (AttributeError, JobdError):
        return None
    return found if isinstance(found, JobdError) else None
