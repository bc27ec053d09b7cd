"""`jobd backup`: the copy is whole, tight and verified, or it is not there."""

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from jobd.store import online_backup
from jobd.store.opening import PAGE_SIZE, open_database
from tests.cli.conftest import Store

Verb = Callable[..., tuple[int, str, str]]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "copies" / "monday.db"


@pytest.fixture(autouse=True)
def _directory(target: Path) -> None:
    target.parent.mkdir()


def left(target: Path) -> list[str]:
    return sorted(os.listdir(target.parent))


def test_the_copy_holds_everything_and_opens(jobd: Verb, store: Store, target: Path) -> None:
    """One file, no log beside it, that this jobd accepts as it is."""
    store.dead(3)
    status, out, err = jobd("backup", str(target))
    assert (status, err) == (0, "")
    assert out.startswith(f"backed up to {target}: ")
    assert ", 3 jobs, schema version " in out
    assert left(target) == ["monday.db"]
    with closing(open_database(target, now=1, check="drift")) as copy:
        assert copy.connection.execute("SELECT count(*) FROM job_attempts").fetchone() == (3,)


def test_what_lies_in_the_log_only_is_part_of_it(jobd: Verb, store: Store, target: Path) -> None:
    """A commit counts, wherever SQLite keeps it."""
    with store.opened():  # nobody moves the log into the file while it is open
        store.dead(2)
        assert jobd("backup", str(target))[0] == 0
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("SELECT count(*) FROM job_queue").fetchone() == (2,)


def test_only_its_owner_may_read_it(jobd: Verb, store: Store, target: Path) -> None:
    """Payloads are in it, whatever the umask says."""
    store.dead()
    before = os.umask(0)
    try:
        jobd("backup", str(target))
    finally:
        os.umask(before)
    assert target.stat().st_mode & 0o777 == 0o600


def test_it_tells_what_it_did_as_json(jobd: Verb, store: Store, target: Path) -> None:
    """For scripts that look at it."""
    store.dead()
    found = json.loads(jobd("backup", str(target), "--json")[1])
    assert found.pop("schema_version") > 0
    assert found == {"file": str(target), "bytes": target.stat().st_size, "jobs": 1,
                     "differences": []}


def test_a_file_that_exists_is_replaced_only_by_force(
    jobd: Verb, store: Store, target: Path
) -> None:
    """And then as a whole."""
    store.dead()
    target.write_text("precious")
    status, _, err = jobd("backup", str(target))
    assert (status, err) == (1, f"jobd: {target} exists; --force replaces it\n")
    assert target.read_text() == "precious"
    assert jobd("backup", str(target), "--force")[0] == 0
    assert left(target) == ["monday.db"]


def test_a_device_is_never_replaced(jobd: Verb, store: Store, target: Path) -> None:
    """Not even by force: /dev/null stays what it is for everyone else."""
    store.dead(1)
    os.mkfifo(target)
    assert jobd("backup", "--force", str(target)) == (
        2, "", f"jobd: {target} is not a regular file; name another one\n")
    assert target.is_fifo()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", ".daemon", ".sock"])
def test_files_of_the_database_itself_are_refused(
    jobd: Verb, store: Store, path: Path, suffix: str
) -> None:
    """Even by force, and by another name."""
    store.dead()
    other = path.parent / "copies" / f"link{suffix}"
    other.symlink_to(f"{path}{suffix}")
    for name in (f"{path}{suffix}", str(other)):
        status, _, err = jobd("backup", name, "--force")
        assert (status, "belongs to the database itself" in err) == (2, True)
    assert store.count() == 1


def test_a_database_in_use_is_no_place_for_a_copy(jobd: Verb, store: Store, target: Path) -> None:
    """The log of another would be applied to the copy."""
    store.dead()
    Path(f"{target}-wal").write_text("of another")
    status, _, err = jobd("backup", str(target), "--force")
    assert (status, "name another file" in err) == (1, True)
    assert left(target) == ["monday.db-wal"]


@pytest.mark.parametrize("name", ["copies", "nowhere/monday.db"])
def test_a_place_that_cannot_be_is_named(jobd: Verb, store: Store, path: Path, name: str) -> None:
    """A directory, or a directory that does not exist."""
    store.dead()
    status, _, err = jobd("backup", str(path.parent / name))
    assert (status, "directory" in err) == (2, True)


def test_a_damaged_database_gives_no_copy(
    jobd: Verb, store: Store, path: Path, target: Path
) -> None:
    """What cannot be restored does not look like a backup."""
    store.dead()
    with store.opened() as database:
        database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        root = database.connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'job_queue_uncommon'"
        ).fetchone()[0]
    with path.open("r+b") as file:
        file.seek((root - 1) * PAGE_SIZE)
        file.write(b"\xff" * 200)
    status, _, err = jobd("backup", str(target))
    assert (status, "damaged" in err) == (78, True)
    assert left(target) == []


def test_a_drifted_schema_is_kept_and_told(jobd: Verb, store: Store, target: Path) -> None:
    """A backup before the mending is worth having; status and text say that it is true."""
    store.dead()
    with store.opened() as database:
        database.connection.execute("DROP INDEX job_queue_due")
    status, out, err = jobd("backup", str(target))
    assert (status, "integrity verified" in out, "job_queue_due" in err) == (0, True, True)
    assert "the copy is true" in err
    assert left(target) == ["monday.db"]


def test_what_a_killed_backup_left_is_in_nobodys_way(
    jobd: Verb, store: Store, target: Path
) -> None:
    """The next one takes its place."""
    store.dead()
    (target.parent / ".monday.db.part").write_bytes(b"torn" * 5_000)
    (target.parent / ".monday.db.part-journal").write_bytes(b"old")
    assert jobd("backup", str(target))[0] == 0
    assert left(target) == ["monday.db"]


def test_two_backups_to_one_file_do_not_mix(
    jobd: Verb, store: Store, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is told so, and the first goes on."""
    store.dead()
    inner: list[tuple[int, str, str]] = []
    verify = online_backup._verify

    def meanwhile(copy: sqlite3.Connection, database: Path) -> None:
        monkeypatch.setattr(online_backup, "_verify", verify)
        inner.append(jobd("backup", str(target)))
        verify(copy, database)

    monkeypatch.setattr(online_backup, "_verify", meanwhile)
    assert jobd("backup", str(target))[0] == 0
    assert inner == [(75, "", f"jobd: another backup to {target} is being made\n")]
    assert left(target) == ["monday.db"]


def test_without_a_database_it_says_so(jobd: Verb, target: Path) -> None:
    """It makes none."""
    status, _, err = jobd("backup", str(target))
    assert (status, "no database at" in err) == (1, True)
    assert left(target) == []
