"""Keeping the write-ahead log short in a producer, while no daemon does it.

Without this the log of a host whose daemon is stopped would grow by three pages a job, and a
log that grows takes longer to sync than one that is written again from its start. The rule of
the daemon's checkpoints holds here too: on a second connection, while the first holds the write
lock, so that nobody can commit meanwhile.
"""

import os
from collections.abc import Callable
from contextlib import suppress

from jobd import errors
from jobd.store.connection import Database
from jobd.store.daemon_lock import is_held

GROWN_AFTER = 16
"""Commits after which a producer is worth the few milliseconds of growing its log."""
COMMITS_BETWEEN = 300
GROWN = 2_000_000
"""Bytes of log that so many commits of one job fill."""
UNSYNCED_BETWEEN = 750
"""Commits that wait for no sync may grow the log as they go, to just below its limit."""
JOBS_OF_A_COMMIT = 30
"""So many jobs in one transaction fill about as many pages as one commit of a single job..."""
PAYLOAD_OF_A_COMMIT = 6_000
"""...and so do so many bytes of payload."""


class ProducerLog:
    """Counts what `database` commits, and checkpoints when it is enough."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._second: Database | None = None
        self._commits = 0
        unsynced = database.synchronous == "normal"
        self._between = UNSYNCED_BETWEEN if unsynced else COMMITS_BETWEEN

    def wrote(self, jobs: int, payload: int) -> None:
        """One commit of so many jobs with so many bytes of payload."""
        commits = 1 + jobs // JOBS_OF_A_COMMIT + payload // PAYLOAD_OF_A_COMMIT
        before, self._commits = self._commits, self._commits + commits
        if before < GROWN_AFTER <= self._commits:
            self._unless_a_daemon_does(self._grow)
        if self._commits >= self._between or commits >= COMMITS_BETWEEN:
            self._commits = GROWN_AFTER
            self._unless_a_daemon_does(self._checkpoint)

    def _unless_a_daemon_does(self, care: Callable[[], object]) -> None:
        # The jobs are stored: whatever goes wrong now must not look as if they were not.
        with suppress(errors.JobdError, OSError):
            if not is_held(self._database.path)[0]:
                care()

    def _grow(self) -> None:
        there = os.stat(f"{self._database.path}-wal").st_size
        if there < GROWN and self._database.synchronous == "full":
            self._database.grow_wal(GROWN)

    def _checkpoint(self) -> None:
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
