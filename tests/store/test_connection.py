"""The one door to a write: its lock, its rollback, its errors; and the files' modes."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from jobd import clock, errors
from jobd.store.connection import Database
from jobd.store.opening import open_database
from jobd.store.turnstile import PATIENCE

INSERT = "INSERT INTO job_queue (job_type, created_at) VALUES ('t', 1)"


@pytest.fixture
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that knows nothing of turns."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        yield connection


def count(database: Database) -> int:
    found: int = database.connection.execute("SELECT count(*) FROM job_queue").fetchone()[0]
    return found


def write(database: Database, *statements: str, error: type[BaseException] | None = None) -> None:
    """One transaction with these statements, which may end in an error."""
    with database.transaction() as db:
        for statement in statements:
            db.execute(statement)
        if error:
            raise error


def never(_: float) -> bool:
    return False


def test_a_transaction_commits(database: Database, raw: sqlite3.Connection) -> None:
    """What was written in the block is there for everyone afterwards."""
    write(database, INSERT)
    assert raw.execute("SELECT count(*) FROM job_queue").fetchone() == (1,)
    assert not database.connection.in_transaction


def test_a_transaction_takes_the_write_lock_at_once(
    database: Database, raw: sqlite3.Connection
) -> None:
    """Before the first statement nobody else can begin to write, and everyone can read."""
    with database.transaction():
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            raw.execute("BEGIN IMMEDIATE")
        assert raw.execute("SELECT count(*) FROM job_queue").fetchone() == (0,)
    raw.execute("BEGIN IMMEDIATE")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, errors.BadInput, GeneratorExit])
def test_an_error_rolls_back(database: Database, error: type[BaseException]) -> None:
    """Whatever goes wrong in the block, nothing of it is written, and the error goes on."""
    with pytest.raises(error):
        write(database, INSERT, error=error)
    assert count(database) == 0
    write(database, INSERT)
    assert count(database) == 1


def test_a_refused_row_rolls_back_all(database: Database) -> None:
    """A constraint error passes unchanged, for the caller to find the row."""
    refused = "INSERT INTO job_queue (job_type, created_at, priority) VALUES ('t', 1, 9999)"
    with pytest.raises(sqlite3.IntegrityError):
        write(database, INSERT, refused)
    assert count(database) == 0


def test_keep_trying_is_asked_while_the_database_is_locked(
    database: Database, raw: sqlite3.Connection
) -> None:
    """After each try of 100 ms; when it says no, the sentence names the file."""
    raw.execute("BEGIN IMMEDIATE")
    asked: list[float] = []

    def keep_trying(waited: float) -> bool:
        asked.append(waited)
        return len(asked) < 3

    with (
        pytest.raises(errors.DatabaseBusy, match=r"jobd\.db is locked by another process, pid \d+"),
        database.transaction(keep_trying),
    ):
        pytest.fail("there was no lock to get")
    assert len(asked) == 3
    assert asked == sorted(asked)
    assert [round(waited, 1) for waited in asked] == pytest.approx([0.1, 0.2, 0.3], abs=0.15)


def test_a_lock_that_is_freed_is_taken(database: Database, raw: sqlite3.Connection) -> None:
    """The writer that waited goes on as soon as it may."""
    raw.execute("BEGIN IMMEDIATE")

    def free(_: float) -> bool:
        raw.execute("ROLLBACK")
        return True

    with database.transaction(free) as db:
        db.execute(INSERT)
    assert count(database) == 1


def test_a_second_writer_is_busy(database: Database, path: Path) -> None:
    """Of two connections of jobd only one writes at a time."""
    second = open_database(path, now=1)
    with (
        closing(second),
        database.transaction(),
        pytest.raises(errors.DatabaseBusy),
        second.transaction(never),
    ):
        pytest.fail("both had the lock")


def test_a_migration_meanwhile_is_noticed(database: Database, raw: sqlite3.Connection) -> None:
    """A write of a client with the old schema is refused, whatever the write."""
    version = database.schema_version or 0
    raw.execute(f"PRAGMA user_version = {version + 1}")
    with pytest.raises(errors.SchemaChanged, match=f"from version {version} to {version + 1}"):
        write(database, INSERT)
    assert count(database) == 0
    assert not database.connection.in_transaction
    raw.execute(f"PRAGMA user_version = {version}")
    write(database, INSERT)
    assert count(database) == 1


def test_another_one_s_commit_changes_the_data_version(
    database: Database, raw: sqlite3.Connection
) -> None:
    """A poll of one number tells whether to look again."""
    before = database.data_version()
    assert database.data_version() == before
    raw.execute(INSERT)
    assert database.data_version() != before


def test_broken_text_can_be_read(database: Database, raw: sqlite3.Connection) -> None:
    """One row that another hand wrote as no UTF-8 does not spoil the whole query."""
    raw.execute(INSERT)
    raw.execute("UPDATE job_queue SET payload = CAST(x'22FF4122' AS TEXT)")
    found = database.connection.execute("SELECT payload FROM job_queue").fetchall()
    assert found == [('"\N{REPLACEMENT CHARACTER}A"',)]


@pytest.mark.parametrize(
    ("synchronous", "expected"), [("full", 2), ("normal", 1)]
)
def test_how_a_connection_is_set(path: Path, synchronous: str, expected: int) -> None:
    """Every commit is synced unless asked otherwise; nobody but the daemon checkpoints."""
    with closing(open_database(path, now=1, synchronous=synchronous)) as database:
        settings = {
            name: database.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("synchronous", "journal_mode", "wal_autocheckpoint", "foreign_keys",
                         "trusted_schema", "cell_size_check", "application_id")
        }
    assert settings == {
        "synchronous": expected, "journal_mode": "wal", "wal_autocheckpoint": 0,
        "foreign_keys": 1, "trusted_schema": 0, "cell_size_check": 1,
        "application_id": 0x6A6F6264,
    }


def test_only_a_daemon_sorts_in_memory(database: Database) -> None:
    """Its statements are about few jobs; a verb may group a million dead letters."""
    kept_in = database.connection.execute("PRAGMA temp_store").fetchone()
    database.serve_a_daemon()
    assert (kept_in, database.connection.execute("PRAGMA temp_store").fetchone()) == ((0,), (2,))
    assert not database.turnstile.lines_up


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize(("directory", "file"), [(0o700, 0o600), (0o755, 0o600), (0o770, 0o660)])
def test_the_modes_of_the_files(tmp_path: Path, directory: int, file: int, umask: int) -> None:
    """Only for their owner, unless the directory is the group's; the umask does not matter."""
    home = tmp_path / "state"
    home.mkdir()
    home.chmod(directory)
    before = os.umask(umask)
    try:
        with (
            closing(open_database(home / "jobd.db", create=True, now=1)) as database,
            database.transaction() as db,
        ):
            db.execute(INSERT)
            found = {each.name: stat.S_IMODE(each.stat().st_mode) for each in home.iterdir()}
    finally:
        os.umask(before)
    names = {"jobd.db", "jobd.db-wal", "jobd.db-shm", "jobd.db.line", "jobd.db.turn"}
    assert {name: found.get(name) for name in names} == dict.fromkeys(names, file)


def test_a_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """The directory of the database is made when there is none."""
    path = tmp_path / "a" / "b" / "jobd.db"
    open_database(path, create=True, now=1).close()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_log_is_moved_while_nobody_can_commit(
    database: Database, path: Path, raw: sqlite3.Connection
) -> None:
    """A checkpoint holds the write lock for its time, and writes nothing itself."""
    write(database, INSERT)
    with closing(open_database(path, now=1)) as second:
        version = second.data_version()
        pages, moved = database.checkpoint_with(second)
        assert pages == moved > 0
        assert second.data_version() == version
        assert not database.connection.in_transaction
        raw.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.DatabaseBusy):
            database.checkpoint_with(second)
        raw.execute("ROLLBACK")
        assert database.checkpoint_with(second)[1] == pages
    assert count(database) == 1


def test_a_reader_does_not_stop_a_checkpoint_for_ever(
    database: Database, path: Path, raw: sqlite3.Connection
) -> None:
    """While an old reader needs the log not all of it is moved; afterwards it is."""
    write(database, INSERT)
    raw.execute("BEGIN")
    raw.execute("SELECT count(*) FROM job_queue").fetchone()
    write(database, INSERT)
    with closing(open_database(path, now=1)) as second:
        pages, moved = database.checkpoint_with(second)
        assert moved < pages
        raw.execute("COMMIT")
        assert database.checkpoint_with(second) == (pages, pages)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        ("nothing", errors.NoDatabase, "no database at"),
        ("directory", errors.NotADatabase, "is a directory, not a database"),
        ("pipe", errors.NotADatabase, "is not a regular file"),
        ("text", errors.NotADatabase, "is not a SQLite database"),
    ],
)
def test_what_is_no_database(
    tmp_path: Path, make: str, error: type[errors.JobdError], says: str
) -> None:
    """One sentence with the path; nothing is made, and no descriptor stays open."""
    path = tmp_path / "jobd.db"
    if make == "directory":
        path.mkdir()
    elif make == "pipe":
        os.mkfifo(path)
    elif make == "text":
        path.write_text("hello " * 1_000)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(error) as refused:
        open_database(path, now=1)
    assert says in str(refused.value)
    assert str(path) in str(refused.value)
    assert set(os.listdir("/proc/self/fd")) == before
    assert {each.name for each in tmp_path.iterdir()} <= {"jobd.db"}


def test_a_full_disk_writes_nothing(database: Database) -> None:
    """The sentence says so, and the connection goes on once there is room."""
    pages = database.connection.execute("PRAGMA page_count").fetchone()[0]
    database.connection.execute(f"PRAGMA max_page_count = {pages}")
    large = INSERT.replace("'t'", f"'{'t' * 4_000}'")
    with pytest.raises(errors.DatabaseFull, match="no space left for"):
        write(database, *[large] * 100)
    assert count(database) == 0
    database.connection.execute("PRAGMA max_page_count = 1000000")
    write(database, INSERT)
    assert count(database) == 1


def test_a_failed_commit_frees_the_turn(database: Database, path: Path) -> None:
    """The next writer gets in at once after one that failed."""
    with suppress(ValueError):
        write(database, error=ValueError)
    with closing(open_database(path, now=1)) as second:
        began = clock.monotonic()
        with second.transaction(never) as db:
            db.execute(INSERT)
    assert clock.monotonic() - began < PATIENCE
