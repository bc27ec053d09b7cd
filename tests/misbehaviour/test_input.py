"""Random input at every door: a sentence and a documented exit status, and nothing half done."""

import argparse
import json
import math
import random
import sqlite3
import string
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import jobd
from jobd.cli.main import build_parser
from jobd.core.config import SETTINGS
from jobd.errors import JobdError
from tests.daemon.harness import House
from tests.misbehaviour.verbs import FUZZ, STATUSES, complaints, verb

WORDS = [
    "", "-", "--", "---", "-1", "0", "1", "2", "3", "9" * 30, "1e9", "nan", "inf", "0x10", "1_000",
    "5s", "-5s", "10m10", "1e12d", "100000d", "5", "14:30", "2030-01-01", "2026-02-30", "24:00",
    "\u0663\u0664", "\uff11", "\udcff\udc80", "\u202egnp", "\x1b[2J", "a\nb", "ß", "🐍", " ",
    "x" * 5_000, "@nowhere", "@.", "@/dev/null", "@/proc/self/mem", "{}", "[]", '{"a": 1}', "{",
    '{"a": NaN}', '{"a":' + "[" * 3_000, "pending", "dead_letter", "banana", "default", "quick",
    "'; DROP TABLE job_queue; --", "../../etc", ".", "..", "/", "/dev/null", "thread", "a=b", "=",
    "%s%n{0}", "*", "~", "$HOME", "-q", "-f", "-h", "--help", "--version", "--json", "stdout",
    "pause", "resume", "status", "up", "verify", "repair", "mark-applied", "true",
]
"""What may stand at any place of a command line; NUL never reaches a program."""


def parsers(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[
    tuple[tuple[str, ...], list[str]]
]:
    """Every verb with the options that it knows."""
    options, inner = [], {}
    for action in parser._actions:
        options += action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            inner = action.choices
    yield path, options
    for name, found in inner.items():
        yield from parsers(found, (*path, name))


VERBS = [each for each in parsers(build_parser())
         if each[0][:1] not in (("run",), ("demo",)) and each[0] != ("migrate", "down")]


def a_command_line(chance: random.Random) -> list[str]:
    path, options = chance.choice(VERBS)
    words = list(path)
    for _ in range(chance.randint(0, 6)):
        word = chance.choice(options) if options and chance.random() < 0.5 else chance.choice(WORDS)
        if word.startswith("--") and chance.random() < 0.2:
            word = f"{word}={chance.choice(WORDS)}"
        words.insert(chance.randint(0, len(words)) if chance.random() < 0.1 else len(words), word)
    # A database or a configuration elsewhere is one more door, but stays in this directory.
    return [word for word in words if not word.startswith(("--db", "--config"))]


@pytest.fixture
def filled(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house with a few jobs, in whose directory the command lines are typed."""
    house.queue.cancel(house.enqueue("quick"))
    house.enqueue("quick")
    house.enqueue("nobody_knows", delay="1h")
    (house.root / "here").mkdir()
    monkeypatch.chdir(house.root / "here")
    return house


def test_random_command_lines(filled: House) -> None:
    """Every verb with random words: a documented status, a sentence for each complaint, and no
    file anywhere but the database's own."""
    chance = random.Random(1)
    lines = [a_command_line(chance) for _ in range(150 * FUZZ)]
    assert complaints(filled, lines) == []
    assert list((filled.root / "here").iterdir()) == []
    strangers = [path.name for path in filled.root.iterdir()
                 if not path.name.startswith("jobd.") and path.name not in
                 ("here", "gates", "code", "journal", "jobd.db")]
    assert strangers == []
    with closing(sqlite3.connect(filled.db)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("name", ["--db", "--config"])
def test_random_places_for_the_files(filled: House, name: str) -> None:
    """Any word as the database or the configuration: a sentence, and a file only where it says."""
    elsewhere = ["/dev/null/x", "here.txt", "deep/er/jobd.db", "/proc/self/mem", "/proc/1/mem"]
    said = [verb([name, word, "status"], filled.env) for word in [*WORDS, *elsewhere]]
    assert [each.complaint() for each in said if each.complaint()] == []
    assert list((filled.root / "here").iterdir()) == []


def test_a_few_command_lines_in_real_processes(filled: House) -> None:
    """Bytes that are no text, closed streams, a full output, no home: as told by the process."""
    env = {**filled.env, "PYTHONWARNDEFAULTENCODING": ""}
    lines: list[tuple[list[Any], str]] = [
        ([b"enqueue", b"\xff\xfe"], ""), ([b"--db", b"\xff/\xfe.db", b"status"], ""),
        (["status"], ">/dev/full"), (["status"], ">&- 2>&-"),
        (["enqueue", "quick", "--payload", "-"], "<&- >&- 2>&-"),
        (["run", "--workers", "banana"], ""), (["demo", "--files", "x"], ""),
    ]
    for words, streams in lines:
        argv = [*map(str.encode, filled.argv()), *(w if isinstance(w, bytes) else w.encode()
                                                   for w in words)]
        done = subprocess.run(["sh", "-c", f'exec "$@" {streams}', "sh", *argv], env=env,
                              capture_output=True, check=False, timeout=60,
                              stdin=subprocess.DEVNULL)
        assert done.returncode in STATUSES, (words, done)
        assert b"Traceback" not in done.stderr, (words, done.stderr.decode())


# Configuration.

SCALARS = ["true", "-1", "0", "1", "5", "99999999999999999999", "0.5", "1e400", "nan", "inf", '""',
           '"x"', '"5s"', '"none"', '"\\u0000"', '"1d"', "[]", '["a"]', "[1, []]", "{}", "{a = 1}",
           "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", '"""\n"""', "'''x'''", "0o17", "a",
           "'C:\\x'", '"\\ud800"', "[[]]", '"network"', '"' + "x" * 3_000 + '"']
KEYS = ["pool", "workers", "queues", "media", "retry", "network", "classify", "log", "x", "''",
        '"a b"', '"\\n"', '"🐍"', "a.b", '"."', "1", "-", "__class__"]


def a_configuration(chance: random.Random) -> bytes:
    names = [each.name.replace("*", "media") for each in SETTINGS.values()]
    lines = []
    for _ in range(chance.randint(0, 12)):
        kind = chance.random()
        key = chance.choice(names) if kind < 0.7 else ".".join(
            chance.choice(KEYS) for _ in range(chance.randint(1, 4)))
        if chance.random() < 0.15:
            lines.append(f"[{key}]" if chance.random() < 0.7 else f"[[{key}]]")
        else:
            lines.append(f"{key} = {chance.choice(SCALARS)}")
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    if chance.random() < 0.2:
        at = chance.randint(0, len(content))
        junk = bytes(chance.randrange(256) for _ in range(chance.randint(1, 5)))
        content = content[:at] + junk + content[at:]
    return content


def test_random_configuration_files(filled: House) -> None:
    """Keys, types, values and bytes at random: every problem is one printable line, status 78 or
    a configuration that works; the daemon that is asked to reload it goes on."""
    chance = random.Random(2)
    for _ in range(50 * FUZZ):
        content = a_configuration(chance)
        filled.config_file.write_bytes(content)
        said = verb(["--config", str(filled.config_file), "--db", str(filled.db), "check"],
                    filled.env)
        assert said.complaint() is None, content
        assert said.status in (0, 78), (content, said)
    assert list((filled.root / "here").iterdir()) == []


def test_random_configuration_at_sighup(house: House) -> None:
    """What is wrong is refused, whatever it is, and the jobs go on under the old one."""
    chance = random.Random(3)
    daemon = house.start()
    line = None
    for _ in range(15 * FUZZ):
        house.config_file.write_bytes(a_configuration(chance))
        daemon.signal(1)
        seen = len(daemon.log)
        found = daemon._log.first(  # type: ignore[union-attr]
            lambda each: each.get("event", "").startswith("configuration."), seen, 20)
        assert found is not None, daemon.account()
    line = daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    assert line
    assert "Traceback" not in daemon.stderr


def test_random_variables(filled: House) -> None:
    """JOBD_… variables at random: as the file."""
    chance = random.Random(4)
    names = [each.variable for each in SETTINGS.values()] + ["JOBD_", "JOBD_X", "JOBD_POOL"]
    for _ in range(40 * FUZZ):
        given = {chance.choice(names): chance.choice(WORDS) for _ in range(3)}
        given = {name: value for name, value in given.items() if name != "JOBD_DB"}
        said = verb(["--db", str(filled.db), "check"], {**filled.env, **given})
        assert said.complaint() is None, given
        assert said.status in (0, 78), (given, said)


# Payloads.


def a_value(chance: random.Random, depth: int = 0) -> Any:
    leaves: list[Any] = [None, True, 0, -1, 2**63, 10**400, 1.5, math.nan, math.inf, -0.0, "", "a",
                         "\x00", "\ud800", "\U0001f40d", "\u2028", "'; --", b"bytes", {1, 2},
                         object(), 1j, "x" * 1_000]
    if depth > 3 or chance.random() < 0.5:
        return chance.choice(leaves)
    if chance.random() < 0.5:
        return [a_value(chance, depth + 1) for _ in range(chance.randint(0, 4))]
    return {chance.choice(["a", "", "\x00", "\udfff", "1", "ä" * 50, *string.ascii_letters]):
            a_value(chance, depth + 1) for _ in range(chance.randint(0, 4))}


def test_random_payloads_come_back_as_they_were_or_are_refused(house: House) -> None:
    """From Python: what is stored is what was given; what cannot be is refused with a sentence,
    and a refused one stores nothing, in a batch neither."""
    chance = random.Random(5)
    house.enqueue("quick")
    stored = 0
    for _ in range(300 * FUZZ):
        payload = a_value(chance)
        before = house.rows("SELECT count(*) FROM job_queue")[0][0] if stored % 50 == 0 else None
        job_id, refusal = None, ""
        try:
            job_id = house.queue.enqueue("quick", payload)
        except JobdError as error:
            refusal = str(error)
        if job_id is None:
            assert refusal.isprintable()
            assert before in (None, house.rows("SELECT count(*) FROM job_queue")[0][0])
        else:
            stored += 1
            assert house.queue.get(job_id)["payload"] == (payload or {}), payload
    assert stored > 20
    with pytest.raises(JobdError):
        house.queue.enqueue_many([("quick", {}), ("quick", {"a": math.nan})])


def test_random_options_are_taken_or_refused(house: House) -> None:
    """Every option of `enqueue` with values of any type: a job, or a sentence."""
    chance = random.Random(6)
    names = ["queue", "priority", "delay", "at", "timeout", "max_retries", "unique_key",
             "request_id", "isolation", "banana"]
    values = [*WORDS, None, True, 0, -1, 1.5, math.nan, math.inf, 2**70, b"x", [], object()]
    taken = 0
    for _ in range(500 * FUZZ):
        options = {chance.choice(names): chance.choice(values)
                   for _ in range(chance.randint(1, 2))}
        with suppress(JobdError, TypeError):
            house.queue.enqueue(chance.choice(["quick", "quick", *WORDS]), {}, **options)
            taken += 1
    assert taken > 10
    daemon = house.start()
    for row in house.rows("SELECT id FROM job_queue WHERE job_type = 'quick' AND ready = 1"):
        assert house.queue.wait(row["id"], timeout=30)["status"] in ("completed", "dead_letter")
    assert "Traceback" not in daemon.stderr


def test_random_payloads_of_commands_are_parked_with_a_sentence(house: House) -> None:
    """An exec job of any content is run or parked as validation; the daemon lives."""
    chance = random.Random(7)
    keys = ["argv", "cwd", "env", "stdin", "exit_codes", "leave_children", "banana"]
    values = [[], ["true"], ["true", 3], "true", 5, None, {}, {"a": 1}, {"": ""}, {"a=b": "c"}, "/",
              "/nowhere", [0], [999], ["x"], True, ["\x00"], ["/bin/true", "\x00"], [""], -1]
    ids = []
    for _ in range(50 * FUZZ):
        payload = {key: chance.choice(values) for key in chance.sample(keys, chance.randint(0, 4))}
        if chance.random() < 0.5:
            payload["argv"] = ["true"]
        with suppress(JobdError):
            ids.append(house.enqueue("exec", payload, max_retries=0))
    daemon = house.start()
    for job_id in ids:
        ended = house.queue.wait(job_id, timeout=60)
        assert ended["status"] in ("completed", "dead_letter"), ended
        assert ended["status"] == "completed" or ended["error_message"], ended
    assert daemon.events("sweep.failed") == []
    assert not any("jobd itself failed" in (each["error"] or "")
                   for each in daemon.events("job.dead_lettered"))


def test_a_batch_of_bytes_on_standard_input(filled: House) -> None:
    """`--payload -` with random bytes: stored as it is, or refused with a sentence."""
    chance = random.Random(8)
    whole = json.dumps({"path": "ä", "n": [1, 2, {"x": None}]}).encode()
    for _ in range(50 * FUZZ):
        content = bytearray(whole)
        for _ in range(chance.randint(0, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        said = verb(["--db", str(filled.db), "enqueue", "quick", "--payload", "-", "-q"],
                    filled.env, bytes(content))
        assert said.complaint() is None, content
        assert said.status in (0, 2), (content, said)
        if said.status == 0:
            expected = json.loads(bytes(content).decode("utf-8-sig"))
            with jobd.Queue(filled.db) as queue:
                assert queue.get(int(said.out))["payload"] == expected


def test_the_fuzz_itself_can_fail(filled: House) -> None:
    """A verb that raises, or says nothing, is complained of."""
    with mock.patch("jobd.cli.list.run", side_effect=RuntimeError("planted")):
        said = verb([*filled.argv()[3:], "list"], filled.env)
    assert "planted" in str(said.complaint())
    assert sys.stdout is not None
    with mock.patch("jobd.cli.list.run", return_value=3):
        assert "exit status 3" in str(verb([*filled.argv()[3:], "list"], filled.env).complaint())
    assert not Path(filled.root / "here" / "x").exists()
