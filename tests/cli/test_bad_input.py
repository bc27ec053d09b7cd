"""Bad input: one sentence on standard error, the right exit status, nothing stored."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jobd.errors import CONFIGURATION, FAILED, USAGE
from jobd.store.migrations import MIGRATIONS

Jobd = Callable[..., tuple[int, str, str]]

DEEP = '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"
LONG = '{"a":"' + "x" * 2_000_000 + '"}'

BAD_PAYLOADS = {
    "an array": ("[1]", "payload must be a JSON object, not an array"),
    "a string": ('"a"', "not a string"),
    "null": ("null", "not null"),
    "empty": ("", "payload is not JSON"),
    "no JSON": ("{path: 1}", "payload is not JSON"),
    "cut short": ('{"a": 1', "payload is not JSON"),
    "trailing text": ('{"a": 1} x', "payload is not JSON"),
    "NaN": ('{"a": NaN}', "NaN"),
    "infinity": ('{"a": -Infinity}', "Infinity"),
    "a number beyond all": ('{"a": 1e999}', "payload is not JSON"),
    "a number of 5,000 digits": ('{"a": ' + "9" * 5_000 + "}", "an integer of too many digits"),
    "lone surrogate": ('{"a": "\\ud800"}', "lone surrogate"),
    "lone surrogate in a key": ('{"\\udfff": 1}', "lone surrogate"),
    "nested 100,000 deep": (DEEP, "nested deeper than 64"),
    "too large": (LONG, "limit"),
    "duplicate keys": ('{"a": 1, "a": 2}', "the key 'a' twice"),
}


def check_refused(
    answer: tuple[int, str, str], status: int, part: str, path: Path | None = None
) -> None:
    """Exactly one sentence, nothing on standard output, and no database made."""
    assert answer[:2] == (status, "")
    assert answer[2].startswith("jobd: ")
    assert answer[2].count("\n") == 1
    assert len(answer[2]) < 400
    assert part in answer[2]
    assert path is None or not path.exists()


@pytest.mark.parametrize(("payload", "part"), BAD_PAYLOADS.values(), ids=BAD_PAYLOADS)
def test_payload_is_refused(
    jobd: Jobd, path: Path, tmp_path: Path, payload: str, part: str
) -> None:
    """From a file, so that its size has no limit but our own."""
    file = tmp_path / "payload.json"
    file.write_text(payload)
    check_refused(jobd("enqueue", "thumb", "--payload", f"@{file}"), USAGE, part, path)


def test_payload_that_is_not_utf8_is_refused(jobd: Jobd, path: Path, tmp_path: Path) -> None:
    """The byte is named."""
    file = tmp_path / "payload.json"
    file.write_bytes(b'{"a": "\xff"}')
    check_refused(
        jobd("enqueue", "thumb", "--payload", f"@{file}"), USAGE, "not UTF-8 at byte 7", path
    )


def test_payload_file_that_is_not_there(jobd: Jobd, path: Path) -> None:
    """Its name and the reason."""
    check_refused(jobd("enqueue", "thumb", "--payload", "@nowhere.json"), USAGE,
                  "nowhere.json cannot be read: No such file", path)


def test_payload_with_bytes_that_are_no_text(path: Path) -> None:
    """An argument that is no UTF-8 arrives as lone surrogates, in a real process."""
    command = [sys.executable, "-m", "jobd", "--db", str(path), "enqueue", "thumb", "--payload"]
    done = subprocess.run([*map(str.encode, command), b'{"a": "\xff"}'], capture_output=True,
                          check=False)
    check_refused((done.returncode, done.stdout.decode(), done.stderr.decode()), USAGE,
                  "lone surrogate", path)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["thumb nail"], "job type 'thumb nail' is no name"),
        ([""], "job type '' is no name"),
        (["t" * 129], "is no name"),
        (["thumb\x1b[2J"], "is no name"),
        (["thumb", "--queue", "a/b"], "queue 'a/b' is no name"),
        (["thumb", "--priority", "1001"], "priority must be an integer from -1000 to 1000"),
        (["thumb", "--priority", "-1001"], "priority must be an integer from -1000 to 1000"),
        (["thumb", "--priority", "high"], "priority must be an integer, not 'high'"),
        (["thumb", "--priority", "1.5"], "priority must be an integer"),
        (["thumb", "--timeout", "-5s"], "'-5s' is no duration"),
        (["thumb", "--timeout=-5s"], "'-5s' is no duration"),
        (["thumb", "--timeout", "0"], "a timeout must be longer than 0"),
        (["thumb", "--timeout", "5"], "has no unit"),
        (["thumb", "--in", "soon"], "'soon' is no duration"),
        (["thumb", "--in", "500000d"], "longer than 100 years"),
        (["thumb", "--at", "tomorrow"], "'tomorrow' is no time"),
        (["thumb", "--at", "2020-01-01T00:00:00Z"], "more than 24 hours in the past"),
        (["thumb", "--at", "2026-13-01"], "is no time"),
        (["thumb", "--in", "1m", "--at", "2030-01-01"], "either a delay or a time"),
        (["thumb", "--max-retries", "-1"], "max_retries must be an integer from 0"),
        (["thumb", "--max-retries", "many"], "max-retries must be an integer"),
        (["thumb", "--unique", ""], "unique_key must be 1 to 512"),
        (["thumb", "--unique", "a\x00b"], "unique_key must be 1 to 512"),
        (["thumb", "--unique", "k" * 513], "unique_key must be 1 to 512"),
        (["thumb", "--request-id", "a\nb"], "request_id must be 1 to 512"),
        (["thumb", "--nonsense"], "--nonsense"),
        ([], "TYPE"),
    ],
)
def test_enqueue_option_is_refused(
    jobd: Jobd, path: Path, words: list[str], part: str
) -> None:
    """The sentence names the option and its value."""
    check_refused(jobd("enqueue", *words), USAGE, part, path)


@pytest.mark.parametrize("word", ["x", "0", "-1", "1.5", "1e3", "", "9223372036854775808",
                                  "1" * 5_000, "\uff11\uff17", "1_000"])
@pytest.mark.parametrize("verb", ["show", "history", "explain", "cancel", "retry", "release",
                                  "wait"])
def test_an_id_that_is_no_id(jobd: Jobd, path: Path, verb: str, word: str) -> None:
    """Exit 2 before anything is opened, also when the other ids are fine."""
    status, out, err = jobd(verb, "1", word)
    assert (status, out, err.count("\n")) == (USAGE, "", 1)
    assert len(err) < 200
    assert not path.exists()


@pytest.mark.parametrize("verb", ["show", "history", "explain", "cancel", "retry", "release",
                                  "wait"])
def test_an_unknown_id_is_named(jobd: Jobd, store: Any, verb: str) -> None:
    """Exit 1, also for the largest id there can be."""
    with store.opened():
        pass
    answer = jobd(verb, "9223372036854775807")
    check_refused(answer, FAILED, "no job 9223372036854775807")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["list", "--status", "done"], "'done' is none of pending, running"),
        (["list", "--limit", "0"], "limit must be an integer from 1"),
        (["list", "--limit", "all"], "limit must be an integer from 1"),
        (["list", "--batch", "x"], "batch must be an integer"),
        (["wait", "1", "--timeout", "long"], "'long' is no duration"),
        (["list", "--queue", ""], "queue '' is no name"),
        (["list", "--type", "a\udcffb"], "job type 'a\\udcffb' is no name"),
        (["dead", "--queue", "a\nb"], "queue 'a\\nb' is no name"),
        (["run", "--workers", "9" * 5_000], "invalid int value: '999"),
        (["demo", "--files", "9" * 5_000], "is no number from 1 to 100000"),
        (["logs", "1", "--attempt", "9" * 5_000], "is no attempt"),
        (["enqueue", "t", "--payload", "@a\nb"], "payload file a\\nb cannot be read"),
        (["enqueue", "t", "--payload", "@" + "9" * 5_000], "cannot be read: File name too long"),
        (["enqueue", "t", "--isolation", "9" * 5_000], "isolation must be"),
        (["exec", "--env", "9" * 5_000, "--", "true"], "is not NAME=VALUE"),
        (["exec", "--cwd", "", "--", "true"], "--cwd is empty"),
        (["exec", "--stdin=", "--", "true"], "--stdin is empty"),
        (["migrate", "down", "--map", "a\nb"], "--map 'a\\nb': write OLD=NEW"),
        (["batch", "create", "b", "--type", "t", "--lines", "a\nb"], "a\\nb cannot be read"),
        (["batch", "create", "b", "--type", "t", "--lines", "l", "--stop-after", "9" * 5_000],
         "stop_after must be a whole number from 1 on"),
        (["--config", "", "list"], "--config is empty"),
        (["queue", "pause", "a b"], "queue 'a b' is no name"),
        (["queue", "pause"], "NAME"),
        (["queue", "stop", "media"], "`jobd queue` has no verb 'stop'"),
        (["nonsense"], "`jobd` has no verb 'nonsense'"),
    ],
)
def test_usage_of_other_verbs(jobd: Jobd, path: Path, words: list[str], part: str) -> None:
    """One sentence of bearable length, not a page of usage."""
    check_refused(jobd(*words), USAGE, part, path)


@pytest.mark.parametrize("name", ["a\udcffb", "9" * 5_000, ""], ids=["bytes", "digits", "empty"])
@pytest.mark.parametrize("part", ["show", "items", "pause", "retry", "report", "results"])
def test_a_batch_of_a_name_that_cannot_be(jobd: Jobd, store: Any, part: str, name: str) -> None:
    """It is not found, as any other that is not there."""
    with store.opened():
        pass
    check_refused(jobd("batch", part, name), FAILED, "no batch ")


def test_an_empty_path_is_no_path(jobd: Jobd) -> None:
    """As of a variable that is not set: another database must not be taken for the one meant."""
    assert jobd("list", "--db=") == (
        USAGE, "", "jobd: --db is empty: name a file, or leave it out\n"
    )


READERS = [["list"], ["show", "1"], ["history", "1"], ["status"], ["cancel", "1"], ["retry", "1"],
           ["retry", "--all-dead"], ["release", "1"], ["queue", "pause", "a"], ["queue"],
           ["workers"], ["explain", "1"], ["wait", "1"]]


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_no_database_is_made_by_asking(jobd: Jobd, path: Path, words: list[str]) -> None:
    """Exit 1 with the path; only enqueue makes one."""
    check_refused(jobd(*words), FAILED, f"no database at {path}", path)


def a_directory(path: Path) -> None:
    path.mkdir()


def a_text_file(path: Path) -> None:
    path.write_text("this is no database, however long it is\n" * 100)


def another_application(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE recipes (id INTEGER PRIMARY KEY, name TEXT)")


def of_version(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        for migration in MIGRATIONS[:version]:
            migration.up(db)
        db.execute(f"PRAGMA user_version = {version}")


def a_newer_schema(path: Path) -> None:
    of_version(path, len(MIGRATIONS) + 1)


def an_older_schema(path: Path) -> None:
    of_version(path, 3)


@pytest.mark.parametrize("words", [["enqueue", "thumb"], *READERS], ids=" ".join)
@pytest.mark.parametrize(
    ("make", "part"),
    [
        (a_directory, "is a directory"),
        (a_text_file, "is not a SQLite database"),
        (another_application, "another application"),
        (a_newer_schema, "upgrade jobd"),
        (an_older_schema, "jobd migrate up"),
    ],
)
def test_what_is_no_database_of_ours_is_left_alone(
    jobd: Jobd, path: Path, make: Callable[[Path], None], part: str, words: list[str]
) -> None:
    """Exit 78 with the path, and not one byte of it changed."""
    make(path)
    before = None if path.is_dir() else path.read_bytes()
    check_refused(jobd(*words), CONFIGURATION, part)
    assert before is None or path.read_bytes() == before


def test_a_damaged_database_is_one_sentence(jobd: Jobd, store: Any, path: Path) -> None:
    """What SQLite says of a page that is garbage does not come as a traceback."""
    store.dead(30)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = db.execute("PRAGMA page_size").fetchone()[0]
        root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name='job_queue'").fetchone()[0]
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xa5" * size)
    status, _, err = jobd("list")
    assert (status, err.count("\n")) == (CONFIGURATION, 1)
    assert str(path) in err
