"""A backup that a person asks for: made while others write, and verified before it is there."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from jobd.errors import (
    BadInput,
    DatabaseBusy,
    DatabaseFull,
    DatabaseUnavailable,
    NotADatabase,
    Refused,
)
from jobd.store.schema import examine

MODE = 0o600
BESIDE = ("-wal", "-shm", "-journal")
PROBLEMS_TOLD = 5


@dataclass(frozen=True, slots=True)
class Copied:
    """What the copy holds; `differences` are those of its schema from what this jobd needs."""

    file: str
    bytes: int
    jobs: int
    schema_version: int
    differences: list[str]


def write_backup(
    source: sqlite3.Connection, database: Path, target: Path, *, force: bool
) -> Copied:
    """Copy the database to `target`, which appears when the copy is verified and on disk.

    One read transaction is all that others notice of it. The copy is one file without a log.

    Raises:
        BadInput, Refused: there can be, or already is, something else at `target`.
        NotADatabase: the copy is damaged, as the database is.
        DatabaseFull, DatabaseUnavailable: the copy could not be written.
    """
    _refuse(database, target, force)
    with _unfinished(target) as (part, descriptor):
        try:
            copied = _copy(source, database, part, target)
        except sqlite3.Error as error:
            raise _told(error, target) from error
        os.fsync(descriptor)
        _refuse(database, target, force)
        part.rename(target)
        _sync_directory(target.parent)
    return copied


def _refuse(database: Path, target: Path, force: bool) -> None:
    beside = {Path(os.path.realpath(f"{database}{suffix}")) for suffix in
              ("", *BESIDE, ".daemon", ".sock", ".turn", ".line", ".attempts", ".metrics",
               ".pulse", ".settings")}
    if Path(os.path.realpath(target)) in beside:
        raise BadInput(f"{target} belongs to the database itself; name another file")
    if target.is_dir():
        raise BadInput(f"{target} is a directory; name a file in it")
    if target.exists() and not target.is_file():
        raise BadInput(f"{target} is not a regular file; name another one")
    if not target.parent.is_dir():
        raise BadInput(f"there is no directory {target.parent}")
    if os.path.lexists(target) and not force:
        raise Refused(f"{target} exists; --force replaces it")
    for suffix in BESIDE:
        if os.path.lexists(f"{target}{suffix}"):
            raise Refused(f"{target}{suffix} exists, so a database at {target} is in use or was "
                          "not closed; name another file")


@contextmanager
def _unfinished(target: Path) -> Iterator[tuple[Path, int]]:
    """The file that becomes `target`, locked; it is gone afterwards, unless it was renamed."""
    part = target.with_name(f".{target.name}.part")
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(part, flags, MODE)
    except OSError as error:
        raise DatabaseUnavailable(f"cannot write {part}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fchmod(descriptor, MODE)
        os.ftruncate(descriptor, 0)
    except BlockingIOError:
        os.close(descriptor)
        raise DatabaseBusy(f"another backup to {target} is being made") from None
    try:
        yield part, descriptor
    finally:
        for suffix in ("", *BESIDE):
            with suppress(FileNotFoundError):
                os.unlink(f"{part}{suffix}")
        os.close(descriptor)


def _copy(source: sqlite3.Connection, database: Path, part: Path, target: Path) -> Copied:
    with closing(sqlite3.connect(part, isolation_level=None)) as copy:
        copy.execute("PRAGMA synchronous = OFF")  # it is synced as a whole, before it is renamed
        # In one step: in several, each commit of another process would start it anew.
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE").fetchall()
        copy.execute("PRAGMA trusted_schema = OFF")
        _verify(copy, database)
        found = examine(copy)
        jobs = copy.execute("SELECT count(*) FROM job_queue").fetchone()[0]
    differences = [str(each) for each in (*found.faults, *found.notes)]
    return Copied(str(target), part.stat().st_size, jobs, found.version, differences)


def _verify(copy: sqlite3.Connection, database: Path) -> None:
    found = copy.execute(f"PRAGMA integrity_check({PROBLEMS_TOLD})").fetchall()
    problems = [str(text) for (text,) in found if text != "ok"]
    orphans = copy.execute("PRAGMA foreign_key_check").fetchmany(PROBLEMS_TOLD)
    problems += [f"row {row[1]} of {row[0]} refers to nothing" for row in orphans]
    if problems:
        raise NotADatabase(
            f"the copy is damaged and was not kept, and so is {database}: {'; '.join(problems)}; "
            "`jobd doctor` says more"
        )


def _told(error: sqlite3.Error, target: Path) -> Exception:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name == "SQLITE_FULL":
        return DatabaseFull(f"no space left for {target}; nothing was kept of it")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return NotADatabase(f"the database is damaged ({error}); the copy was not kept")
    return DatabaseUnavailable(f"cannot write {target}: {error}")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
