"""Opening a database that fits this jobd, making it when asked, and refusing anything else."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

from jobd import clock, errors
from jobd.core.version import SCHEMA_VERSION
from jobd.store.access import no_access
from jobd.store.complaints import error_name, translated
from jobd.store.connection import APPLICATION_ID, Database

Check = Literal["none", "version", "drift"]

T = TypeVar("T")

SMALLEST = 512  # bytes: SQLite's smallest page; it takes a shorter file for an empty one
PAGE_SIZE = 2_048
"""Bytes: a commit of one job writes three pages, and half the size makes it a tenth faster."""
PATIENCE = 12.0
BETWEEN_TRIES = 0.02


def open_database(
    path: str | Path,
    *,
    now: int,
    create: bool = False,
    synchronous: str = "full",
    shared: bool = False,
    check: Check = "version",
) -> Database:
    """Open the database at `path`; with `create`, make it first when there is none.

    `check` says how much must fit: "version" compares the schema's version (what every client
    needs), "drift" compares every table, index and trigger (the daemon, at start), "none" leaves
    it, and the making of the tables, to the caller (the migrate verb). `now` is the time that is
    recorded for a new schema.

    Raises:
        NoDatabase: nothing there, or an empty file, and `create` was not given.
        NotADatabase: a directory, a text file, another application's or a damaged database.
        SchemaError: the schema is older, newer or has drifted; the message names the way out.
    """
    with _damage_named(Path(path)):
        database = _patiently(
            lambda: Database(path, create=create, synchronous=synchronous, shared=shared)
        )
        try:
            _patiently(lambda: _fit(database, create, check, now))
            database.check_files()
        except BaseException:
            database.close()
            raise
        return database


def _fit(database: Database, create: bool, check: Check, now: int) -> None:
    """Admit it, fill it when it is empty, and check it; may be repeated when it was locked."""
    with translated(database.path):
        _admit(database, create, check, now)
        _check(database, check)
        if create:
            # A restored backup has lost it.
            _set(database, "journal_mode = WAL")


def _admit(database: Database, create: bool, check: Check, now: int) -> None:
    """Refuse what is not ours; fill what is empty when that is asked for."""
    _refuse_strangers(database)
    # In this order: whoever makes the tables sets the version in the same transaction.
    version = database.user_version()
    empty = not _tables(database.connection)
    if empty and version:
        raise errors.NotADatabase(
            f"{database.path} has no tables but says it is version {version}: "
            "jobd did not make it; remove it, or name another file with --db"
        )
    if empty and not create:
        raise errors.NoDatabase(
            f"{database.path} is empty, not a database yet; `jobd run`, `jobd enqueue` or "
            "`jobd migrate up` makes it one"
        )
    if empty:
        _set(database, f"page_size = {PAGE_SIZE}")
        _set(database, "auto_vacuum = INCREMENTAL")
        _set(database, f"application_id = {APPLICATION_ID}")
        _set(database, "journal_mode = WAL")
    if empty and check != "none":
        # Only the first one ever to come here needs it, and it is much.
        from jobd.store.migrator import MigrationManager

        MigrationManager(database).up(now)


def _refuse_strangers(database: Database) -> None:
    owner = database.connection.execute("PRAGMA application_id").fetchone()[0]
    tables = _tables(database.connection)
    ours = not tables or not tables.isdisjoint(("job_queue", "schema_migrations"))
    if owner not in (0, APPLICATION_ID) or (owner == 0 and not ours):
        raise errors.NotADatabase(
            f"{database.path} is another application's database "
            f"(application_id {owner:#x}); --db names another file"
        )


def _check(database: Database, check: Check) -> None:
    if check == "none":
        return
    version = database.user_version()
    if check == "drift" or version != SCHEMA_VERSION:
        _compare(database, check)
    if version != SCHEMA_VERSION:
        # What was imported just now belongs to another jobd than what runs here.
        raise errors.SchemaError(
            f"{database.path} is schema version {version}, and this process began with a jobd "
            f"that needs {SCHEMA_VERSION}: restart it"
        )
    database.schema_version = version


def _compare(database: Database, check: Check) -> None:
    # It imports every migration, and who finds what he needs has no use for them.
    from jobd.store import schema

    misfit = schema.misfit(database.connection)
    found = [misfit] if misfit else []
    if check == "drift":
        found = schema.drift(database.connection)
    if found:
        raise errors.SchemaError(
            "\n".join(f"{difference} [{database.path}]" for difference in found)
        )


def _tables(db: sqlite3.Connection) -> set[str]:
    rows = db.execute("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%'")
    return {name for (name,) in rows}


def _set(database: Database, pragma: str) -> None:
    database.connection.execute(f"PRAGMA {pragma}").fetchall()


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """A damaged file stays damaged: that is no error after which to try again."""
    try:
        if path.is_file() and 0 < path.stat().st_size < SMALLEST:
            raise errors.NotADatabase(f"{path} is not a SQLite database")
        yield
    except PermissionError as error:
        denied = no_access(Path(path))
        raise denied or errors.NoAccess(f"permission denied: {path}") from error
    except errors.DatabaseUnavailable as error:
        cause = error.__cause__
        if not isinstance(cause, sqlite3.Error) or "CORRUPT" not in error_name(cause):
            raise
        raise errors.NotADatabase(
            f"{path} is damaged or cut short ({cause}); put a backup in its place"
        ) from error


def _patiently(attempt: Callable[[], T]) -> T:
    """Other processes may be making the same file: a lock is waited for, not reported."""
    until = clock.monotonic() + PATIENCE
    while True:
        try:
            return attempt()
        except errors.DatabaseBusy:
            if clock.monotonic() >= until:
                raise
            clock.pause(BETWEEN_TRIES)
