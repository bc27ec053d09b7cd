"""A database that somebody else has made, given to --db."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from jobd import clock, errors
from jobd.store.connection import APPLICATION_ID
from jobd.store.opening import open_database
from tests.cli.conftest import Store

Verb = Callable[..., tuple[int, str, str]]


def planted(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def test_no_code_comes_out_of_a_database(path: Path) -> None:
    """No extension can be loaded, and the schema may call no function that has effects."""
    with closing(open_database(path, create=True, now=clock.now_ms())) as database:
        with pytest.raises(sqlite3.OperationalError, match="not authorized"):
            database.connection.execute("SELECT load_extension('/tmp/evil.so')")
        assert database.connection.execute("PRAGMA trusted_schema").fetchone()[0] == 0
        assert database.connection.execute("PRAGMA cell_size_check").fetchone()[0] == 1


def schema(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        marks = [db.execute(f"PRAGMA {name}").fetchone() for name in (
            "application_id", "user_version")]
        return marks + db.execute("SELECT * FROM sqlite_schema").fetchall()


@pytest.mark.parametrize("statements", [
    ("CREATE VIEW job_queue AS SELECT 1 AS id",),
    ("CREATE VIRTUAL TABLE job_queue USING fts5(id)",),
    ("CREATE TABLE job_queue (id INTEGER PRIMARY KEY)", "PRAGMA user_version = 7"),
    (f"PRAGMA application_id = {APPLICATION_ID}", "CREATE TABLE other (x)"),
    ("CREATE TABLE other (x)",),
    ("PRAGMA user_version = 2147483647", "CREATE TABLE job_queue (x)"),
    ("PRAGMA user_version = -1", "CREATE TABLE job_queue (x)"),
], ids=["a view", "a virtual table", "one column", "our mark", "a stranger", "the future", "minus"])
def test_what_only_looks_like_ours_is_refused_by_a_sentence(
    jobd: Verb, path: Path, statements: tuple[str, ...]
) -> None:
    """No verb changes it or shows a traceback, and `check`, which compares all, refuses it."""
    planted(path, *statements)
    before = schema(path)
    for words in (("list",), ("show", "1"), ("enqueue", "x"), ("migrate", "verify"), ("check",),
                  ("doctor",), ("health",), ("dead",), ("metrics",)):
        status, out, err = jobd(*words)
        assert status in (0, 1, 2, 69, 78), (words, out, err)
        assert status == 78 or words[0] not in ("check", "migrate"), out
        assert "Traceback" not in out + err
    assert schema(path) == before


@pytest.mark.parametrize("planting", [
    "CREATE TRIGGER evil AFTER INSERT ON job_queue BEGIN DELETE FROM job_queue; END",
    "CREATE TRIGGER evil AFTER UPDATE ON job_queue BEGIN UPDATE job_queue SET payload = '{}'; END",
    "CREATE VIEW evil AS SELECT * FROM job_queue",
    "CREATE UNIQUE INDEX evil ON job_queue (job_type)",
])
def test_what_was_planted_in_ours_is_named_before_a_daemon_uses_it(
    jobd: Verb, store: Store, path: Path, planting: str
) -> None:
    """A foreign trigger, view or index is drift: run and check refuse, and say what mends it."""
    jobd("enqueue", "thumb")
    planted(path, planting)
    with pytest.raises(errors.SchemaError, match="evil"):
        open_database(path, check="drift", now=clock.now_ms())
    status, out, _ = jobd("check")
    assert (status, "evil" in out) == (78, True)
    assert "migrate repair" in out


def test_a_payload_is_json_and_never_an_object_of_python(jobd: Verb, path: Path) -> None:
    """A pickle in its place is text that is no JSON: shown, and never loaded."""
    jobd("enqueue", "thumb")
    pickle = "cposix\nsystem\n(S'touch pwned'\ntR."
    planted(path, f"UPDATE job_queue SET payload = '{pickle.replace(chr(39), chr(39) * 2)}'")
    status, out, err = jobd("show", "1")
    assert "Traceback" not in out + err
    assert not Path("pwned").exists()
    assert status in (0, 78)
