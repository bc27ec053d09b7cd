"""Text that drives a terminal, on every face that shows text of a job, a file or an argument."""

import json
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from jobd.cli.main import build_parser
from jobd.store import outcomes
from tests.cli.conftest import Store
from tests.cli.pty_terminal import Terminal, argv
from tests.daemon.harness import House

Verb = Callable[..., tuple[int, str, str]]

EVIL = "a\x1b[31m\x9b2J\x07\r\x08\x7f\u202e\u2066\u2028\u2029\u200f\U000e0041z"
DRIVES = set(EVIL) - set("az[31m2J")
"""C0, C1, DEL, line separators, bidi controls and tags: what a terminal or a reader obeys."""

READS = [
    ("list",), ("show", "1"), ("show", "2"), ("history", "1"), ("history", "2"),
    ("explain", "1"), ("explain", "2"), ("explain", "3"), ("status",), ("workers",),
    ("queue", "list"), ("dead",), ("health",), ("doctor",), ("top", "--once"),
    ("wait", "1"), ("logs", "1"), ("check",), ("migrate", "status"), ("migrate", "verify"),
    ("batch",), ("batch", "show", "1"), ("batch", "items", "1"), ("batch", "report", "1"),
    ("batch", "results", "1"), ("prune", "--dry-run"), ("dead", "retry", "--all", "--dry-run"),
]
ACTS = [("cancel", "2"), ("retry", "1"), ("release", "3"), ("queue", "pause", EVIL),
        ("retry", "--all-dead")]
NO_TEXT_OF_JOBS = {"metrics", "run", "demo", "enqueue", "exec", "tail", "backup", "completion"}
"""Verbs that show no stored text; metrics and tail are tried by themselves, arguments below."""


def obeyed(printed: dict[tuple[str, ...], str]) -> dict[tuple[str, ...], set[str]]:
    """What of each text would drive a terminal; nothing for a text that is harmless."""
    return {words: set(text) & DRIVES for words, text in printed.items() if set(text) & DRIVES}


def fill(database: Path) -> None:
    """Evil in every column that takes text and has no list of what it may be."""
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        tables = [name for (name,) in db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' "
            "AND name <> 'schema_migrations'")]
        for table in tables:
            for _, column, kind, *_ in db.execute(f"PRAGMA table_info({table})").fetchall():
                if kind == "TEXT" and column not in KEPT:
                    said = json.dumps({"k": EVIL}) if column in ("payload", "result") else EVIL
                    unique = " || rowid" if column in ("unique_key", "request_id", "id") else ""
                    db.execute(f"UPDATE {table} SET {column} = ?{unique} "
                               f"WHERE {column} IS NOT NULL", (said,))


KEPT = {"status", "outcome", "failure_type", "daemon_id", "isolation", "old_status", "new_status",
        "health_status"}
"""Words from a closed list, and what rows refer to one another by."""


@pytest.fixture
def evil(jobd: Verb, store: Store, path: Path) -> Path:
    """A dead job, a waiting one and a running one, everything about them evil."""
    store.register("thumb")
    jobd("enqueue", "thumb", "--payload", "{}")
    store.claim(1)
    store.settle(outcomes.park, 1, error_message=EVIL,
                 dead_letter_reason=EVIL, traceback=EVIL, stack=EVIL)
    jobd("enqueue", "thumb", "--unique", "k", "--payload", json.dumps({"x": EVIL}))
    jobd("enqueue", "thumb")
    store.claim(3)
    jobd("queue", "pause", "media")
    jobd("cancel", "3")
    items = path.with_suffix(".txt")
    items.write_text("one\ntwo\n")
    assert jobd("batch", "create", "b", "--type", "thumb", "--lines", str(items))[0] == 0
    fill(path)
    return path


def test_every_verb_that_shows_text_is_tried() -> None:
    """A new verb has to be in one of the lists here."""
    verbs = next(each for each in build_parser()._actions if each.dest == "==SUPPRESS==")
    assert {*(words[0] for words in [*READS, *ACTS]), *NO_TEXT_OF_JOBS} == set(verbs.choices or ())


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_nothing_of_a_hostile_database_drives_the_terminal(
    jobd: Verb, evil: Path, form: tuple[str, ...]
) -> None:
    """Whatever a job, a worker, a queue or a daemon is called, it comes as escapes."""
    printed = {words: "".join(map(str, jobd(*words, *form))) for words in [*READS, *ACTS]}
    assert obeyed(printed) == {}


def test_no_name_in_a_hostile_schema_drives_the_terminal(jobd: Verb, evil: Path) -> None:
    """Tables, columns and recorded migrations with such names, and the verbs that name them."""
    with closing(sqlite3.connect(evil)) as db:
        db.execute(f'CREATE TABLE "{EVIL}" ("{EVIL}" TEXT)')
        db.execute(f'ALTER TABLE job_queue ADD COLUMN "{EVIL}" TEXT')
        db.execute(f'CREATE TRIGGER "{EVIL}x" AFTER INSERT ON queues BEGIN SELECT 1; END')
        db.execute("UPDATE schema_migrations SET name = ? WHERE version = 3", (EVIL,))
        db.commit()
    words = [("migrate", "status"), ("migrate", "verify"), ("doctor",), ("check",), ("list",),
             ("health",), ("migrate", "up"), ("migrate", "repair"),
             ("migrate", "repair", "--discard", EVIL)]
    for form in ((), ("--json",)):
        printed = {each: "".join(map(str, jobd(*each, *form))) for each in words}
        assert obeyed(printed) == {}
        assert "1b[31m" in printed["migrate", "verify"]


def test_what_is_hostile_is_shown(jobd: Verb, evil: Path) -> None:
    """The test above would pass on an empty page: here the text is there, escaped."""
    for words in (("show", "1"), ("list",), ("dead",), ("top", "--once"), ("explain", "1")):
        assert "\\x1b[31m" in jobd(*words)[1], words


ARGUMENTS = [
    ("show", EVIL), ("cancel", EVIL), ("enqueue", EVIL), ("enqueue", "x", "--queue", EVIL),
    ("enqueue", "x", "--payload", EVIL), ("enqueue", "x", "--in", EVIL), (EVIL,), (f"--{EVIL}",),
    ("exec", "--cwd", f"/{EVIL}", "--", "true"), ("tail", f"/{EVIL}", "--no-follow"),
    ("backup", f"/no/{EVIL}"), ("run", "--handlers", EVIL), ("check", "--handlers", EVIL),
    ("check", "--path", EVIL), ("completion", EVIL), ("dead", "show", EVIL),
    ("--db", f"/no/{EVIL}/{EVIL}", "status"), ("--config", f"/no/{EVIL}", "status"),
]


def test_no_argument_drives_the_terminal_when_it_is_quoted(jobd: Verb) -> None:
    """An error quotes what was typed, or what a file was called, as escapes."""
    printed = {words: "".join(map(str, jobd(*words))) for words in ARGUMENTS}
    assert obeyed(printed) == {}
    assert sum("\\x1b[31m" in text for text in printed.values()) > len(printed) - 4


CONFIGURATIONS = [
    f'db = {json.dumps("/no/" + EVIL)}\n[pool]\nhandlers = [{json.dumps(EVIL)}]\n',
    f'[pool]\n{json.dumps(EVIL)} = 1\n', f'[{json.dumps(EVIL)}]\n', f'{EVIL} = 1\n',
    f'[pool]\npath = [{json.dumps(EVIL)}]\n',
    f'[log]\nlevel = {json.dumps(EVIL)}\nfile = {json.dumps(EVIL)}\n',
]


@pytest.mark.parametrize("verb", ["check", "status", "doctor"])
def test_no_configuration_drives_the_terminal(jobd: Verb, tmp_path: Path, verb: str) -> None:
    """Names and values of the file are quoted in complaints, as escapes."""
    file = tmp_path / "evil.toml"
    for text in CONFIGURATIONS:
        file.write_text(text)
        _, out, err = jobd("--config", str(file), verb)
        assert not set(out + err) & DRIVES, text


@pytest.fixture
def terminals() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*words: str, env: Mapping[str, str] = os.environ) -> Terminal:
        opened.append(Terminal(argv(*words), {**env, "TERM": "xterm", "LANG": "C.UTF-8"}))
        return opened[-1]

    yield start
    for each in opened:
        each.put_away()


def test_output_of_a_command_drives_no_terminal_and_is_whole_in_a_pipe(
    house: House, terminals: Callable[..., Terminal]
) -> None:
    """`jobd logs` on a terminal escapes what would drive it; into a file go the bytes."""
    daemon = house.start()
    (house.root / "bytes").write_bytes(EVIL.encode() + b"\xff\xfe\x00\x1b]0;title\x07\nend\n")
    job_id = int(house.cli("exec", "-q", "--", "cat", str(house.root / "bytes")))
    daemon.wait_for("job.completed", job_id=job_id)
    terminal = terminals("--db", str(house.db), "logs", str(job_id))
    assert terminal.ended() == 0
    screen = terminal.screen
    assert "\\x1b[31m" in screen.replace("\n", "")
    assert "\\xff\\xfe\\x00\\x1b]0;title\\x07" in screen.replace("\n", "")
    assert not set(screen) & (DRIVES - {"\r"})
    piped = subprocess.check_output(argv("--db", str(house.db), "logs", str(job_id)))
    assert piped == (house.root / "bytes").read_bytes()


PRINTING = r"""
def say(where):
    sys.stdout.write(f"{where} a\x1b]0;title\x07\x1b[5n\x9b5n\u202ez\ttab\n")
    sys.stderr.buffer.write(f"{where} b\x1b]0;title\x07\xff".encode() + b"\xfe\n")
    last = f"{where} c\x1b]0;title\x07 {sys.stdout.isatty()}\n"  # at once, for the log is there too
    threading.Thread(target=sys.stdout.write, args=(last,)).start()

@job("in_thread")
def in_thread():
    say("thread")

@job("in_process", isolation="process")
def in_process():
    say("process")
"""


def test_what_a_handler_prints_drives_no_terminal_of_its_daemon(
    house: House, terminals: Callable[..., Terminal]
) -> None:
    """`jobd run` in a terminal shows it escaped; `jobd logs` into a file has it as it was."""
    house.handlers(PRINTING)
    house.write_config(pool__path=[str(house.code)], pool__handlers=["handlers"])
    terminal = terminals(*house.argv("run")[3:], env=house.env)
    for number, where in enumerate(("thread", "process"), start=1):
        house.enqueue(f"in_{where}")
        terminal.wait_for(f"{where} c\\x1b]0;title\\x07 False")
        terminal.wait_for(f"{where} b\\x1b]0;title\\x07")
        assert f"{where} a\\x1b]0;title\\x07\\x1b[5n\\x9b5n\\u202ez" in terminal.screen
        house.cli("wait", str(number))
        kept = subprocess.check_output(house.argv("logs", str(number)), env=house.env)
        assert f"{where} a\x1b]0;title".encode() in kept
    assert b"\x1b]0;" not in terminal.raw
    assert b"\x1b[5n" not in terminal.raw
    terminal.type("\x03")
    assert terminal.ended() == 0


def test_names_in_the_metrics_drive_no_terminal_and_are_whole_in_a_pipe(
    evil: Path, terminals: Callable[..., Terminal]
) -> None:
    """The format wants names as they are, and a terminal does not."""
    terminal = terminals("--db", str(evil), "metrics")
    assert terminal.ended() == 0
    assert "\\x1b[31m" in terminal.screen
    assert b"\x1b[31m" not in terminal.raw
    assert b"\x1b[31m" in subprocess.check_output(argv("--db", str(evil), "metrics"))
