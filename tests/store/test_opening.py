"""Opening makes what may be made, accepts what fits, and says clearly why not."""

import re
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from jobd import errors
from jobd.core.version import SCHEMA_VERSION
from jobd.store.connection import APPLICATION_ID
from jobd.store.migrations import MIGRATIONS
from jobd.store.migrator import MigrationManager
from jobd.store.opening import open_database

NOW = 1_700_000_000_000
LATEST = len(MIGRATIONS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database at the latest version."""
    made = tmp_path / "jobd.db"
    open_database(made, create=True, now=NOW).close()
    return made


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def test_a_new_database_has_everything(tmp_path: Path) -> None:
    """Directory, mode, owner's mark, WAL, vacuum mode, schema and records, with the given time."""
    with closing(open_database(tmp_path / "a" / "b" / "jobd.db", create=True, now=NOW)) as made:
        pragmas = [
            made.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version", "journal_mode", "auto_vacuum")
        ]
        applied = made.connection.execute("SELECT applied_at FROM schema_migrations").fetchall()
        assert made.schema_version == LATEST
    assert pragmas == [APPLICATION_ID, LATEST, "wal", 2]
    assert applied == [(NOW,)] * LATEST
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    open_database(made.path, now=NOW, check="drift").close()


def test_nothing_is_made_unasked(tmp_path: Path) -> None:
    """A missing file stays missing, an empty one stays empty."""
    with pytest.raises(errors.NoDatabase, match="no database at"):
        open_database(tmp_path / "jobd.db", now=NOW)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty.db").touch()
    with pytest.raises(errors.NoDatabase, match=r"empty\.db is empty"):
        open_database(tmp_path / "empty.db", now=NOW)
    assert (tmp_path / "empty.db").stat().st_size == 0
    open_database(tmp_path / "empty.db", create=True, now=NOW).close()


def test_an_unfinished_creation_is_finished(tmp_path: Path) -> None:
    """A creator that died before its one transaction left a file that the next one fills."""
    execute(tmp_path / "jobd.db", f"PRAGMA application_id = {APPLICATION_ID}",
            "PRAGMA journal_mode = WAL")
    with pytest.raises(errors.NoDatabase, match="is empty"):
        open_database(tmp_path / "jobd.db", now=NOW)
    open_database(tmp_path / "jobd.db", create=True, now=NOW, check="drift").close()


def test_a_restored_copy_gets_its_log_back(path: Path) -> None:
    """Whoever may create a database also puts one that came from elsewhere into WAL mode."""
    execute(path, "PRAGMA journal_mode = DELETE")
    open_database(path, create=True, now=NOW).close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_eight_processes_create_at_once(tmp_path: Path) -> None:
    """All of them succeed, and every migration is recorded once."""
    path = tmp_path / "jobd.db"
    script = (
        "import sys; from jobd.store.opening import open_database; sys.stdin.read(); "
        "open_database(sys.argv[1], create=True, now=1, check='drift').close()"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", script, path], stdin=subprocess.PIPE)
        for _ in range(8)
    ]
    for racer in racers:
        racer.stdin.close()
    assert [racer.wait(30) for racer in racers] == [0] * 8
    with closing(sqlite3.connect(path)) as db:
        versions = db.execute("SELECT version FROM schema_migrations").fetchall()
        assert db.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    assert versions == [(version,) for version in range(1, LATEST + 1)]


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    """The message names the path and what it is."""
    with pytest.raises(errors.NotADatabase, match="is a directory"):
        open_database(tmp_path, create=True, now=NOW)


@pytest.mark.parametrize("content", [b"dear diary\n" * 100, b"x", b"SQLite format 3\0 not quite"])
def test_a_text_file_is_no_database(content: bytes, tmp_path: Path) -> None:
    """It is refused, and left as it was."""
    path = tmp_path / "diary.txt"
    path.write_bytes(content)
    with pytest.raises(errors.NotADatabase, match=r"diary\.txt is not a SQLite database"):
        open_database(path, create=True, now=NOW)
    assert path.read_bytes() == content


@pytest.mark.parametrize("statements", [
    ["CREATE TABLE bookmarks (url TEXT)"],
    ["CREATE TABLE job_queue (id INTEGER)", "PRAGMA application_id = 7"],
    ["PRAGMA application_id = 7"],
])
def test_another_applications_database_is_left_alone(
    statements: list[str], tmp_path: Path
) -> None:
    """Its mark or its tables say so; nothing is added to it."""
    execute(tmp_path / "other.db", *statements)
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(errors.NotADatabase, match="another application's database"):
        open_database(tmp_path / "other.db", create=True, now=NOW, check="none")
    assert (tmp_path / "other.db").read_bytes() == before


@pytest.mark.parametrize("size", [50, 700, 4096, 20_000])
def test_a_truncated_database_is_told(size: int, path: Path) -> None:
    """What is left of a file that was cut short is not opened."""
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(errors.NotADatabase, match=r"damaged or cut short|is not a SQLite"):
        open_database(path, create=True, now=NOW, check="drift")


def test_a_damaged_schema_is_told(path: Path) -> None:
    """A first page full of rubbish behind a good header is damage, not something to retry."""
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\x5a" * 3996
    path.write_bytes(content)
    with pytest.raises(errors.NotADatabase, match="damaged or cut short"):
        open_database(path, now=NOW)


@pytest.mark.parametrize("check", ["version", "drift"])
@pytest.mark.parametrize(("version", "way_out"), [
    (3, f"is version 3, older than {LATEST}, which this jobd needs (`jobd migrate up`)"),
    (99, f"is version 99, newer than {LATEST}, the latest that this jobd knows: upgrade jobd, or "
         f"go back with the newer one (`jobd migrate down --to {LATEST}`)"),
])
def test_another_version_is_refused_with_the_way_out(
    check: str, version: int, way_out: str, path: Path
) -> None:
    """Older and newer schemas are named with both versions and what to type."""
    with closing(open_database(path, now=NOW, check="none")) as opened:
        if version < LATEST:
            MigrationManager(opened).down(NOW, version)
        else:
            opened.connection.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(errors.SchemaError, match=re.escape(way_out)) as refusal:
        open_database(path, create=True, now=NOW, check=check)
    assert refusal.value.exit_status == 78


def test_drift_is_for_those_who_ask(path: Path) -> None:
    """The daemon compares everything and is told all of it; a client looks at the version."""
    execute(path, "DROP INDEX job_queue_ready", "ALTER TABLE queues ADD COLUMN note TEXT")
    open_database(path, now=NOW).close()
    with pytest.raises(errors.SchemaError) as refusal:
        open_database(path, now=NOW, check="drift")
    assert str(refusal.value).count("`jobd migrate repair`") == 2
    assert "job_queue_ready: the index does not exist" in str(refusal.value)
    assert "queues.note: is a column that jobd does not know" in str(refusal.value)


def test_a_client_notices_that_the_schema_moved(path: Path) -> None:
    """A write transaction on a connection of before the migration is rolled back."""
    with closing(open_database(path, now=NOW)) as client:
        with closing(open_database(path, now=NOW, check="none")) as other:
            MigrationManager(other).down(NOW, 5)
        moved = f"from version {LATEST} to 5"
        with pytest.raises(errors.SchemaChanged, match=moved), client.transaction():
            raise AssertionError("no write begins")


def test_the_version_that_is_opened_without_a_look_is_the_last_migration() -> None:
    """Who adds a migration writes its number in core/version.py too."""
    assert SCHEMA_VERSION == LATEST == MIGRATIONS[-1].version


def test_code_of_another_version_is_not_believed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upgrade under a running application the new schema fits the new modules on disk,
    but not what runs: it is refused."""
    monkeypatch.setattr("jobd.store.opening.SCHEMA_VERSION", LATEST - 1)
    with pytest.raises(errors.SchemaError, match="restart it"):
        open_database(path, now=NOW)
