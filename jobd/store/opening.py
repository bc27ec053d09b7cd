"""Opening a database that fits this jobd, making it when asked, and refusing anything else."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from jobd import clock, errors
from jobd.store.connection import APPLICATION_ID, Database, translated
from jobd.store.migrations import MIGRATIONS
from jobd.store.migrator import MigrationManager

Check = Literal["none", "version", "drift"]

T = TypeVar("T")

BUSY_TRIES = 100
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
    it to the caller (the migrate verb). `now` is the time recorded for a new schema.

    Raises:
        NoDatabase: nothing there, or an empty file, and `create` was not given.
        NotADatabase: a directory, a text file, another application's or a damaged database.
        SchemaError: the schema is older, newer or has drifted; the message names the way out.
    """
    database = _patiently(
        lambda: Database(path, create=create, synchronous=synchronous, shared=shared)
    )
    try:
        with translated(database.path):
            _admit(database, create, now)
            _check(database, check)
    except BaseException:
        database.close()
        raise
    return database


def _admit(database: Database, create: bool, now: int) -> None:
    """Refuse what is not ours; fill what is empty when that is asked for."""
    _refuse_strangers(database)
    if not _is_empty(database.connection):
        return
    if not create:
        raise errors.NoDatabase(f"{database.path} is empty; `jobd run` or `jobd enqueue` fills it")
    for pragma in (
        "auto_vacuum = INCREMENTAL", f"application_id = {APPLICATION_ID}", "journal_mode = WAL"
    ):
        _patiently(lambda pragma=pragma: _run_pragma(database, pragma))
    MigrationManager(database).up(now)


def _refuse_strangers(database: Database) -> None:
    owner = database.connection.execute("PRAGMA application_id").fetchone()[0]
    tables = _tables(database.connection)
    ours = not tables or not tables.isdisjoint(("job_queue", "schema_migrations"))
    if owner not in (0, APPLICATION_ID) or not (ours or owner == APPLICATION_ID):
        raise errors.NotADatabase(
            f"{database.path} is another application's database "
            f"(application_id {owner:#x}); name another file with --db"
        )


def _check(database: Database, check: Check) -> None:
    if check == "none":
        return
    version, latest = database.user_version(), MIGRATIONS[-1].version
    if version > latest:
        raise errors.SchemaError(
            f"the schema of {database.path} is version {version}, this jobd knows {latest}: "
            f"upgrade jobd, or with the newer one run `jobd migrate down --to {latest}`"
        )
    if version < latest:
        raise errors.SchemaError(
            f"the schema of {database.path} is version {version}, this jobd needs {latest}: "
            "run `jobd migrate up`"
        )
    database.schema_version = version


def _tables(db: sqlite3.Connection) -> set[str]:
    rows = db.execute("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%'")
    return {name for (name,) in rows}


def _is_empty(db: sqlite3.Connection) -> bool:
    return not _tables(db)


def _run_pragma(database: Database, pragma: str) -> None:
    with translated(database.path):
        database.connection.execute(f"PRAGMA {pragma}").fetchall()


def _patiently(attempt: Callable[[], T]) -> T:
    """Other processes may be making the same file: a lock is waited for, not reported."""
    for _ in range(BUSY_TRIES):
        try:
            return attempt()
        except errors.DatabaseBusy:
            clock.pause(BETWEEN_TRIES)
    return attempt()
