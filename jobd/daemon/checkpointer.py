"""Moving the write-ahead log into the database file, with nobody able to commit meanwhile.

SQLite 3.7.0 to 3.51.2 can lose data when a commit meets two checkpoints (sqlite.org/wal.html,
"the WAL-reset bug"). So while a daemon runs nobody else checkpoints, and it does so PASSIVE only,
on a second connection, and only while the writing connection holds an empty BEGIN IMMEDIATE.
"""

from jobd import errors
from jobd.daemon.report import Report
from jobd.store.connection import Database
from jobd.store.kernel_locks import readers
from jobd.store.log_position import is_filled

FULL_LOG = 4_200_000
"""Bytes: what is committed before the next look still fits into the log as it was grown."""
SEVERAL = 30
"""Commits; where fewer have filled it they carry much, and to grow costs them little."""
LOOKS_BETWEEN = 0.02
QUIET_FOR = 1.0
LONGEST_BETWEEN = 5.0
SHORTEST_BETWEEN = 0.1
LONG_LOG = 16 << 20
HELD_BACK_FOR = 1.5
"""A longer log, moved no further for so many seconds, is held back by a reader."""


class Checkpointer:
    """Checkpoints when the log is full, when it is quiet, and now and then."""

    def __init__(self, writer: Database, second: Database, report: Report) -> None:
        self._writer = writer
        self._second = second
        self._report = report
        self._commits = 0
        self._moved = 0
        self._held_since = 0.0
        self._last = 0.0
        self._looked = 0.0
        # Without syncs it may grow.
        self._full = LONG_LOG if writer.synchronous == "normal" else FULL_LOG
        self._last_write = 0.0

    def after_commit(self, now: float) -> None:
        """`now` is monotonic, as everywhere here."""
        self._commits += 1
        self._last_write = now
        if now - self._last > LONGEST_BETWEEN or self._is_full(now):
            self._run(now)

    def _is_full(self, now: float) -> bool:
        """A log that grows takes longer to sync than one that is written again."""
        if now - self._looked < LOOKS_BETWEEN or now - self._last < SHORTEST_BETWEEN:
            return False
        self._looked = now
        full = self._full if self._commits >= SEVERAL else LONG_LOG
        return is_filled(self._writer.path, full)

    def others_wrote(self) -> None:
        self._commits += 1

    def when_quiet(self, now: float) -> None:
        """Called on an idle turn."""
        if self._commits and now - self._last_write > QUIET_FOR:
            self._run(now)

    def _run(self, now: float) -> None:
        self._last = now
        self._last_write = now
        try:
            length, moved = self._writer.checkpoint_with(self._second)
        except errors.DatabaseBusy:
            return  # someone writes; the next quiet moment will do
        except (errors.DatabaseFull, errors.DatabaseUnavailable) as error:
            self._report.checkpoint_failed(str(error), now)
            return
        self._report.checkpointed()
        if length == moved:
            self._commits = 0
        if length == moved or moved != self._moved:
            self._moved, self._held_since = moved, now
        elif length > LONG_LOG and now - self._held_since >= HELD_BACK_FOR:
            self._report.held_back(length, readers(self._writer.path), now)
