"""Moving the write-ahead log into the database file, with nobody able to commit meanwhile.

SQLite 3.7.0 to 3.51.2 can lose data when a commit meets two checkpoints (sqlite.org/wal.html,
"the WAL-reset bug"). So only the daemon checkpoints, PASSIVE only, on a second connection, and
only while the writing connection holds an empty BEGIN IMMEDIATE.
"""

from jobd import errors
from jobd.daemon.report import Report
from jobd.store.connection import Database
from jobd.store.kernel_locks import readers
from jobd.store.sizes import log_bytes

ROWS_BETWEEN = 4_000
QUIET_FOR = 1.0
LONGEST_BETWEEN = 5.0
SHORTEST_BETWEEN = 0.25
LONG_LOG = 16 << 20
HELD_BACK_FOR = 1.5
"""A longer log, moved no further for so many seconds, is held back by a reader."""


class Checkpointer:
    """Counts what was written and checkpoints when it is enough, or when it is quiet."""

    def __init__(self, writer: Database, second: Database, report: Report) -> None:
        self._writer = writer
        self._second = second
        self._report = report
        self._rows = 0
        self._moved = 0
        self._held_since = 0.0
        self._last = 0.0
        self._measured = 0.0
        self._last_write = 0.0

    def after_commit(self, rows: int, now: float) -> None:
        self._rows += max(rows, 1)
        self._last_write = now
        due = self._rows >= ROWS_BETWEEN or now - self._last > LONGEST_BETWEEN
        if due or self._is_long(now):
            self._run(now)

    def _is_long(self, now: float) -> bool:
        """Large payloads, deletions and pages given back fill the log with few rows."""
        if now - self._measured < SHORTEST_BETWEEN:
            return False  # a log whose size was asked for takes longer to sync the next time
        self._measured = now
        return log_bytes(self._writer.path) > LONG_LOG

    def others_wrote(self) -> None:
        self._rows += 1

    def when_quiet(self, now: float) -> None:
        """Called on an idle turn; `now` is monotonic."""
        if self._rows and now - self._last_write > QUIET_FOR:
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
            self._rows = 0
        if length == moved or moved != self._moved:
            self._moved, self._held_since = moved, now
        elif length > LONG_LOG and now - self._held_since >= HELD_BACK_FOR:
            self._report.held_back(length, readers(self._writer.path), now)
