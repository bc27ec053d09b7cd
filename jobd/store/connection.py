"""Opening the database, and the one door to a write."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from jobd import clock, errors
from jobd.store.access import no_access
from jobd.store.complaints import is_busy, translated
from jobd.store.files import (
    UNSEEN,
    Identities,
    Place,
    create_file,
    directory_state,
    identities,
    lengthen,
    replaced,
    settled_state,
)
from jobd.store.transaction import KeepTrying, Transaction
from jobd.store.turnstile import Turnstile

APPLICATION_ID = 0x6A6F6264  # "jobd"; `file` and other programs read it in the header
BUSY_TRIES_MS = 100
BETWEEN_TRIES = 0.001
WAL_LIMIT = 5 << 20
"""Bytes below which the write-ahead log is never cut."""
WAL_GROWN = 4_800_000
"""Bytes to which a daemon grows it beforehand."""


class Database:
    """One connection to one file, its place in the turnstile, and `transaction()`.

    A connection belongs to one thread at a time. `synchronous` is "full" (each commit is on
    disk when it returns) or "normal".
    """

    def __init__(
        self,
        path: str | Path,
        *,
        create: bool = False,
        synchronous: str = "full",
        shared: bool = False,
    ) -> None:
        self.path = Path(os.path.realpath(path))
        self.synchronous = synchronous
        self._new = _check_path(self.path, create)
        self.connection = _open(self.path, synchronous, shared)
        self._cursor = self.connection.cursor()
        """For what each transaction says: making one takes as long as beginning."""
        self.turnstile = Turnstile(self.path)
        self._files: Identities | None = None
        self._directory = str(self.path.parent)
        self.place: Place | None = None
        """The state of the directory when the files were seen in it; None while it is not known."""
        self.schema_version: int | None = None
        """What `user_version` must be in every write transaction; None while not yet known."""

    def serve_a_daemon(self) -> None:
        """Never line up; and keep in memory what statements set aside, which is little here.

        For each temporary table in a file SQLite takes 80 KB of cache at once. With two of them the
        C library gives the memory back to the kernel after each statement, which costs 0.1 ms.
        """
        self.turnstile.lines_up = False
        self.connection.execute("PRAGMA temp_store = MEMORY")

    def close(self) -> None:
        self.turnstile.close()
        self.connection.close()

    def abandon(self) -> None:
        """After a fork: forget what belongs to the parent without touching its locks."""
        self.turnstile.abandon()

    def let_go(self) -> None:
        """Give back what a transaction holds that was interrupted where it could not itself."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self.turnstile.let_go()

    def user_version(self) -> int:
        version: int = self._cursor.execute("PRAGMA user_version").fetchone()[0]
        return version

    def data_version(self) -> int:
        """A number that differs once another connection has committed."""
        version: int = self.connection.execute("PRAGMA data_version").fetchone()[0]
        return version

    def transaction(
        self,
        keep_trying: KeepTrying | None = None,
        before_commit: Callable[[], None] | None = None,
    ) -> Transaction:
        """BEGIN IMMEDIATE, in turn; COMMIT at the end, ROLLBACK on any error.

        `keep_trying(seconds)` is asked after each try of 100 ms that found the database locked;
        the default gives up after 10 seconds. `before_commit` is called when nothing is left to be
        done but that.

        Raises:
            DatabaseBusy: the lock was held too long.
            DatabaseReplaced: the files that this connection has open stand there no more.
            SchemaChanged: the schema is not the one this connection was opened on.
            DatabaseFull, DatabaseUnavailable, OutcomeUnknown: what the disk said.
        """
        return Transaction(self, keep_trying or _ten_seconds, before_commit)

    def check_files(self) -> None:
        """Refuse to go on when other files stand at the names of those that we have open.

        SQLite would go on writing into the old ones, which nobody else sees and which are lost
        with this process. The first call remembers which they are.

        Raises:
            DatabaseReplaced: they have been removed or replaced.
        """
        if self.place is not None and directory_state(self._directory) == self.place:
            return
        place = settled_state(self._directory, clock.now_ns())
        found = identities(self.path)
        known = self._files or found
        if replaced(known, found):
            raise errors.DatabaseReplaced(
                f"{self.path} was removed or replaced while this process had it open; nothing "
                "was written, and the next try opens what stands there now"
            )
        if UNSEEN not in found:
            self._files, self.place = found, place

    def checkpoint_with(self, second: "Database") -> tuple[int, int]:
        """Move the write-ahead log into the file on `second`, while nobody can commit.

        Returns how many bytes of pages the log holds and how many of them are in the file now; the
        others stay in the log, and nothing is lost.

        Raises:
            DatabaseBusy, DatabaseFull, DatabaseUnavailable: the log is as it was; try again later.
        """
        with translated(self.path), self.turnstile.turn():
            self.begin(_at_once)
            try:
                _, frames, moved = second.connection.execute(
                    "PRAGMA wal_checkpoint(PASSIVE)"
                ).fetchone()
            finally:
                self.connection.execute("ROLLBACK")
        size: int = second.connection.execute("PRAGMA page_size").fetchone()[0]
        return size * frames, size * moved

    def grow_wal(self, size: int) -> None:
        """Make the write-ahead log at least `size` bytes long, so that commits overwrite it.

        Syncing a file that does not grow is about a third cheaper. SQLite reads a log only as far
        as its frames carry the salts of its header (sqlite.org/fileformat2.html, "Reader
        Algorithm"); the zeros behind them are nothing to it.

        Raises:
            DatabaseFull, DatabaseBusy, OSError: it could not be done now; no job has changed.
        """
        with translated(self.path), self.turnstile.turn():
            self.begin(_at_once)
            try:
                lengthen(Path(f"{self.path}-wal"), size)
            finally:
                self.connection.execute("ROLLBACK")

    def begin(self, keep_trying: KeepTrying) -> None:
        """BEGIN IMMEDIATE, tried again while another connection writes."""
        began = None
        while True:
            try:
                self._cursor.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                began = began or clock.monotonic() - BUSY_TRIES_MS / 1000
                if not is_busy(error) or not keep_trying(clock.monotonic() - began):
                    raise
                # Some kinds of busy come back at once, without SQLite's own wait.
                clock.pause(BETWEEN_TRIES)
            else:
                return

    def commit(self) -> None:
        self._cursor.execute("COMMIT")

    def check_schema_version(self) -> None:
        """Inside a transaction: SchemaChanged when somebody has migrated the database."""
        if self.schema_version is None:
            return
        version = self.user_version()
        if version != self.schema_version:
            raise errors.SchemaChanged(
                f"the schema of {self.path} went from version {self.schema_version} to {version} "
                "while this process was connected; restart it with a jobd that fits "
                "(`jobd migrate status` shows both)"
            )


def _check_path(path: Path, create: bool) -> bool:
    """Whether the file is new; the directory and file are made here, never by SQLite."""
    if path.is_dir():
        raise errors.NotADatabase(f"{path} is a directory, not a database; name a file in it")
    if path.exists():
        if not path.is_file():
            raise errors.NotADatabase(f"{path} is not a regular file")
        found = path.stat()
        if found.st_nlink > 1:
            raise errors.NotADatabase(
                f"{path} has {found.st_nlink} hard links: SQLite's log and locks go by name, so "
                "two names corrupt it; remove all but one"
            )
        return found.st_size == 0
    if not create:
        raise errors.NoDatabase(
            f"no database at {path}; `jobd run` or `jobd enqueue` makes one, --db names another"
        )
    prepare_directory(path)
    try:
        os.close(create_file(path))
    except PermissionError as error:
        raise no_access(path) or errors.NoAccess(f"permission denied: {path}") from error
    except OSError as error:
        raise errors.DatabaseUnavailable(
            f"cannot create {path}: {error.strerror}"
        ) from error
    return True


def prepare_directory(path: Path) -> None:
    """Make the directory of the database at `path`, for its owner alone, when there is none."""
    try:
        is_directory = path.is_dir()
    except PermissionError as error:
        raise no_access(path) or errors.NoAccess(f"permission denied: {path}") from error
    except OSError as error:
        raise errors.DatabaseUnavailable(f"cannot open {path}: {error.strerror}") from error
    if is_directory:
        raise errors.NotADatabase(f"{path} is a directory, not a database; name a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except PermissionError as error:
        raise no_access(path) or errors.NoAccess(f"permission denied: {path}") from error
    except OSError as error:
        raise errors.DatabaseUnavailable(
            f"cannot create the directory {path.parent}: {error.strerror}"
        ) from error


def _open(path: Path, synchronous: str, shared: bool) -> sqlite3.Connection:
    with translated(path):
        db = sqlite3.connect(
            path,
            timeout=BUSY_TRIES_MS / 1000,
            isolation_level=None,
            check_same_thread=not shared,
            cached_statements=256,
        )
        try:
            _prepare(db, synchronous)
        except BaseException:
            db.close()
            raise
    return db


def _prepare(db: sqlite3.Connection, synchronous: str) -> None:
    db.text_factory = _tolerant_text
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
    db.execute(f"PRAGMA synchronous = {'NORMAL' if synchronous == 'normal' else 'FULL'}")


def _tolerant_text(raw: bytes) -> str:
    """One row with broken UTF-8 must not make its whole query fail."""
    return raw.decode("utf-8", "replace")


def _at_once(_waited: float) -> bool:
    return False


def _ten_seconds(waited: float) -> bool:
    return waited < 10.0
