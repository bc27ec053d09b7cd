"""Keeping the write-ahead log short in a producer, while no daemon does it.

Without this the log of a host whose daemon is stopped would grow by three pages a job, and a
log that grows takes longer to sync than one that is written again from its start. The rule of
the daemon's checkpoints holds here too: on a second connection, while the first holds the write
lock, so that nobody can commit meanwhile.
"""

from contextlib import suppress

from jobd import errors
from jobd.store.connection import Database
from jobd.store.daemon_lock import is_held

COMMITS_BETWEEN = 300
JOBS_OF_A_COMMIT = 30
"""So many jobs in one transaction fill about as many pages as one commit of a single job."""


class ProducerLog:
    """Counts what `database` commits, and checkpoints when it is enough."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._second: Database | None = None
        self._commits = 0

    def wrote(self, jobs: int) -> None:
        """One commit of so many jobs."""
        self._commits += 1 + jobs // JOBS_OF_A_COMMIT
        if self._commits >= COMMITS_BETWEEN:
            self._commits = 0
            if not is_held(self._database.path)[0]:
                self._checkpoint()

    def _checkpoint(self) -> None:
        with suppress(errors.DatabaseBusy, errors.DatabaseFull, errors.DatabaseUnavailable):
            if self._second is None:
                self._second = Database(self._database.path, shared=True)
            self._database.checkpoint_with(self._second)

    def close(self) -> None:
        if self._second is not None:
            self._second.close()
            self._second = None

    def abandon(self) -> None:
        """After a fork: the parent's connection is neither used nor closed."""
        if self._second is not None:
            self._second.abandon()
