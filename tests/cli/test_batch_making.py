"""`jobd batch create`, `exec` and `append`: what is stored, what is refused, and when."""

import csv
import io
import json
import os
import random
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Store

Jobd = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """Give the next verb these bytes on a pipe."""
    opened: list[io.TextIOWrapper] = []

    def give(data: bytes) -> None:
        ours, theirs = os.pipe()
        os.write(theirs, data)
        os.close(theirs)
        opened.append(os.fdopen(ours))
        monkeypatch.setattr(sys, "stdin", opened[-1])

    yield give
    for each in opened:
        each.close()


def payloads(path: Path, name: str | None = None) -> list[dict[str, Any]]:
    """The payloads of the items as they stand in the file, in the order of the input."""
    query = """SELECT j.payload FROM batch_items i JOIN job_queue j ON j.id = i.job_id
        JOIN batch_jobs b ON b.id = i.batch_job_id WHERE ? IS NULL OR b.name = ?
        ORDER BY i.position"""
    with closing(sqlite3.connect(path)) as db:
        return [json.loads(each) for (each,) in db.execute(query, (name, name))]


def test_lines_become_parameters_over_those_that_all_share(jobd: Jobd, path: Path,
                                                           here: Path) -> None:
    """--as names the line; a --param is JSON where it reads as JSON, and text otherwise."""
    (here / "list").write_text("a.jpg\n\nb c.jpg\n")
    status, out, err = jobd(
        "batch", "create", "thumbs", "--type", "thumb", "--lines", "list", "--as", "path",
        "--param", "size=256", "--param", "name=Ann", "--param", 'id="7"', "--param", "x=NaN")
    assert (status, err) == (0, "")
    assert "2 items" in out
    shared = {"size": 256, "name": "Ann", "id": "7", "x": "NaN"}
    assert payloads(path) == [{**shared, "path": "a.jpg"}, {**shared, "path": "b c.jpg"}]


def test_an_items_own_value_goes_before_the_shared_one(jobd: Jobd, path: Path,
                                                       here: Path) -> None:
    """A column of the table over a --param of its name."""
    (here / "list.csv").write_text("path,size\na,1\n")
    jobd("batch", "create", "x", "--type", "t", "--csv", "list.csv", "--param", "size=9")
    assert payloads(path) == [{"path": "a", "size": "1"}]


def test_standard_input_is_read_like_a_file(jobd: Jobd, path: Path,
                                            stdin: Callable[[bytes], None]) -> None:
    """What find -print0 writes into the pipe, newlines in names too."""
    stdin(b"a\nb\0-c\0")
    assert jobd("batch", "create", "x", "--type", "t", "--find0", "-", "-q")[1] == "1\n"
    assert payloads(path) == [{"item": "a\nb"}, {"item": "-c"}]


def test_a_program_for_each_item(jobd: Jobd, path: Path, here: Path) -> None:
    """Arguments are filled, its directory is this one, and --stdin may have a place."""
    (here / "list").write_text("d/a b.mov\n")
    jobd("batch", "exec", "x", "--lines", "list", "--env", "A=1", "--ok", "0,3", "--stdin", "{}",
         "--", "./conv", "{}", "{.}.mp4", "{#}")
    assert payloads(path) == [{
        "argv": [f"{here}/conv", "d/a b.mov", "d/a b.mp4", "1"], "cwd": str(here),
        "env": {"A": "1"}, "exit_codes": [0, 3], "stdin": f"{here}/d/a b.mov",
    }]


def test_options_reach_the_batch(jobd: Jobd, here: Path) -> None:
    """Each of them is in its row."""
    (here / "list").write_text("a\n")
    jobd("batch", "create", "x", "--type", "t", "--lines", "list", "--concurrency", "3",
         "--stop-after", "5 %", "--queue", "media", "--priority", "-7", "--timeout", "30s",
         "--max-retries", "1", "--isolation", "process", "--on-failure", 'tell={"to": "ann"}',
         "--on-success", "next")
    found = json.loads(jobd("batch", "show", "x", "--json")[1])
    wanted = {"concurrent_processing": 3, "error_handling": "limit", "stop_after_percent": 5.0,
              "queue": "media", "priority": -7, "timeout_ms": 30_000, "max_retries": 1,
              "isolation": "process", "created_by": "ann", "total_items": 1}
    assert wanted == {key: found[key] for key in wanted}
    assert found["on_failure"]["job_type"] == "tell"
    assert json.loads(found["on_failure"]["payload"]) == {"to": "ann"}
    assert found["on_success"]["job_type"] == "next"


def test_a_dry_run_shows_the_first_items_and_stores_nothing(jobd: Jobd, path: Path,
                                                            here: Path) -> None:
    """As they would run, and how many there are; not even a database is made."""
    (here / "list").write_text("".join(f"file {n}.txt\n" for n in range(12_345)))
    status, out, _ = jobd("batch", "exec", "x", "--lines", "list", "--dry-run", "--stdin", "{}",
                          "--", "gzip", "-c")
    lines = out.splitlines()
    assert status == 0
    assert lines[0].startswith("12,345 items")
    assert lines[1] == f"1  gzip -c 'file 0.txt' < '{here}/file 0.txt'"
    assert lines[-1] == "nothing was stored"
    assert not path.exists()
    found = json.loads(jobd("batch", "create", "x", "--type", "t", "--lines", "list", "--dry-run",
                            "--json")[1])
    assert found["total_items"] == 12_345
    assert found["first"][1] == {"item": "file 1.txt"}


BAD: dict[str, tuple[bytes, str, list[str]]] = {
    "latin-1": (b"a,b\ncaf\xe9,1\n\xfcber,2\nx,1\n", "csv",
                ["line 2: it is not utf-8 (byte 4 is 0xe9)", "line 3: it is not utf-8",
                 "--encoding latin-1", "has 2 bad lines; nothing was stored"]),
    "short and long rows": (b"a,b\n1\n1,2\n1,2,3\n", "csv",
                            ["line 2: 1 field, and the header has 2", "line 4: 3 fields"]),
    "columns twice": (b"a,a\n1,2\n", "csv", ["has the column 'a' twice"]),
    "keys twice": (b'{"a": 1}\n{"a": 1, "a": 2}\n', "ndjson", ["line 2: it has the key 'a' twice"]),
    "an empty table": (b"", "csv", ["it is empty"]),
    "a header alone": (b"a,b\n", "csv", ["holds no items; nothing was stored"]),
    "an empty file": (b"", "lines", ["holds no items; nothing was stored"]),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "csv", ["UTF-16"]),
    "a file that is no text": (b"a\0caf\xe9\0", "find0", [r"name 2: b'caf\xe9' is not UTF-8"]),
}


@pytest.mark.parametrize(("data", "format_", "said"), BAD.values(), ids=BAD)
def test_bad_input_is_told_by_line_before_anything_is_stored(
    jobd: Jobd, path: Path, here: Path, data: bytes, format_: str, said: list[str]
) -> None:
    """Every line with its number and reason, and the way out; no database is made."""
    (here / "input").write_bytes(data)
    status, out, err = jobd("batch", "create", "x", "--type", "t", f"--{format_}", "input")
    assert (status, out) == (2, "")
    assert [each for each in said if each not in err] == []
    assert all(line.startswith("jobd: ") for line in err.splitlines())
    assert not path.exists()


def test_the_way_out_of_latin_1_works(jobd: Jobd, path: Path, here: Path) -> None:
    """--encoding reads what was refused."""
    (here / "input").write_bytes(b"a;b\ncaf\xe9;1\n")
    jobd("batch", "create", "x", "--type", "t", "--csv", "input", "--encoding", "latin-1",
         "--delimiter", ";")
    assert payloads(path) == [{"a": "café", "b": "1"}]


def test_an_item_that_a_place_cannot_take_is_a_bad_line(jobd: Jobd, path: Path,
                                                        here: Path) -> None:
    """Told with the others, by its line."""
    (here / "input").write_text('{"a": 1}\n{"b": 1}\n{"a": []}\n')
    status, _, err = jobd("batch", "exec", "x", "--ndjson", "input", "--", "echo", "{a}")
    assert status == 2
    assert "line 2: it has no 'a'" in err
    assert "line 3: 'a' is an array" in err
    assert not path.exists()


@pytest.mark.parametrize(("words", "part"), [
    (["create", "x", "--type", "t"], "with one of --lines, --ndjson, --csv, --find0"),
    (["create", "x", "--type", "t", "--lines", "list", "--csv", "list"], "with one of"),
    (["create", "x", "--type", "t", "--lines", "nowhere"], "nowhere cannot be read: No such file"),
    (["create", "x", "--type", "t", "--lines", "."], ". is a directory"),
    (["create", "x y", "--type", "t", "--lines", "list"], "batch 'x y' is no name"),
    (["create", "x", "--type", "t y", "--lines", "list"], "job type 't y' is no name"),
    (["create", "x", "--type", "exec", "--lines", "list"], "jobd batch exec"),
    (["create", "x", "--lines", "list"], "--type"),
    (["create", "x", "--type", "t", "--lines", "list", "--param", "x"], "'x' is not K=V"),
    (["create", "x", "--type", "t", "--lines", "list", "--param", "x=1", "--param", "x=2"],
     "given twice"),
    (["create", "x", "--type", "t", "--lines", "list", "--concurrency", "0"], "concurrency"),
    (["create", "x", "--type", "t", "--lines", "list", "--stop-after", "0"], "stop_after"),
    (["create", "x", "--type", "t", "--lines", "list", "--stop-after", "200%"], "stop_after"),
    (["create", "x", "--type", "t", "--lines", "list", "--on-end", "t={"], "is not JSON"),
    (["create", "x", "--type", "t", "--lines", "list", "--encoding", "klingon"], "no encoding"),
    (["create", "x", "--type", "t", "--lines", "list", "--delimiter", "||"], "one character"),
    (["exec", "x", "--lines", "list"], "ARGV"),
    (["exec", "x", "--lines", "list", "--", "echo", "{wrong}"], "there is no {wrong} here"),
    (["exec", "x", "--lines", "list", "--", "sh", "-c", "echo {}"], "an item cannot be part of a"),
    (["exec", "x", "--lines", "list", "--ok", "x", "--", "true"], "exit codes"),
])
def test_a_wrong_command_line_is_one_sentence(
    jobd: Jobd, path: Path, here: Path, words: list[str], part: str
) -> None:
    """It names what is wrong; nothing is stored."""
    (here / "list").write_text("a\n")
    status, out, err = jobd("batch", *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert part in err
    assert not path.exists()


def test_a_name_is_free_once_its_batch_has_ended(jobd: Jobd, here: Path) -> None:
    """Until then it is refused; afterwards the name means the newest."""
    (here / "list").write_text("a\n")
    words = ("batch", "create", "nightly", "--type", "t", "--lines", "list")
    assert jobd(*words)[0] == 0
    status, _, err = jobd(*words)
    assert (status, "has not ended" in err) == (1, True)
    jobd("batch", "cancel", "nightly")
    assert jobd(*words)[0] == 0
    assert json.loads(jobd("batch", "show", "nightly", "--json")[1])["id"] == 2
    assert json.loads(jobd("batch", "show", "1", "--json")[1])["status"] == "cancelled"


def test_append_goes_on_where_the_items_end(jobd: Jobd, path: Path, here: Path) -> None:
    """{#} counts on, what is shared stays, and who is elsewhere keeps his own directory."""
    (here / "list").write_text("a\nb\n")
    jobd("batch", "exec", "x", "--lines", "list", "--env", "A=1", "--", "echo", "{}", "{#}")
    (here / "sub").mkdir()
    os.chdir(here / "sub")
    (here / "sub" / "more").write_text("c\n")
    status, out, err = jobd("batch", "append", "x", "--lines", "more", "--", "cat", "{}", "{#}")
    assert (status, err) == (0, "")
    assert "1 item added, 3 in all" in out
    assert payloads(path)[1:] == [
        {"cwd": str(here), "env": {"A": "1"}, "argv": ["echo", "b", "2"]},
        {"cwd": str(here / "sub"), "env": {"A": "1"}, "argv": ["cat", "c", "3"]},
    ]


@pytest.mark.parametrize(("words", "part", "status"), [
    (["append", "x", "--lines", "list"], "say after -- what each new item runs", 2),
    (["append", "y", "--lines", "list", "--", "echo"], "and no program", 2),
    (["append", "z", "--lines", "list"], "no batch 'z'", 1),
    (["append", "x", "--lines", "empty", "--", "echo"], "holds no items", 2),
])
def test_append_refuses_what_does_not_fit(
    jobd: Jobd, path: Path, here: Path, words: list[str], part: str, status: int
) -> None:
    """And changes nothing."""
    (here / "list").write_text("a\n")
    (here / "empty").touch()
    jobd("batch", "exec", "x", "--lines", "list", "--", "echo")
    jobd("batch", "create", "y", "--type", "t", "--lines", "list")
    got, out, err = jobd("batch", *words)
    assert (got, out, err.count("\n")) == (status, "", 1)
    assert part in err
    assert len(payloads(path)) == 2


def test_an_unknown_type_is_a_warning(jobd: Jobd, here: Path, store: Store) -> None:
    """The batch is stored, and waits for a daemon that has a handler."""
    store.register("thumbnail")
    (here / "list").write_text("a\n")
    status, out, err = jobd("batch", "create", "x", "--type", "thumbnial", "--lines", "list")
    assert (status, "1 item;" in out) == (0, True)
    assert "did you mean thumbnail?" in err


def test_a_table_of_thousands_of_rows_arrives_as_it_was(jobd: Jobd, path: Path,
                                                        here: Path) -> None:
    """A mark at its beginning, quotes, commas, newlines and every kind of letter in its fields,
    and rows that are twice there: each row is an item, in its order."""
    chance = random.Random(7)
    letters = 'abc ,;"\'\n\r\t|\\żółć𝄞{}$`%'
    rows = [{"id": str(number), "text": "".join(chance.choices(letters, k=chance.randrange(12))),
             "third": chance.choice(["", '"', "\r\n", " x "])} for number in range(5_000)]
    rows += rows[:100]
    with (here / "table.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, ["id", "text", "third"])
        writer.writeheader()
        writer.writerows(rows)
    status, out, err = jobd("batch", "create", "x", "--type", "t", "--csv", "table.csv")
    assert (status, err) == (0, "")
    assert "5,100 items" in out
    assert payloads(path) == rows


def test_names_that_fill_many_pieces_arrive_whole(jobd: Jobd, path: Path, here: Path) -> None:
    """Read in pieces, of which most end within a name."""
    names = [f"dir {number}/{'x' * (number % 97)}\n{number}.txt" for number in range(5_000)]
    (here / "list0").write_bytes("\0".join(names).encode())
    jobd("batch", "create", "x", "--type", "t", "--find0", "list0", "--as", "path")
    assert [each["path"] for each in payloads(path)] == names


@pytest.mark.parametrize(("format_", "end"), [("lines", "\n"), ("find0", "\0")])
def test_what_is_too_long_is_told_and_skipped(
    jobd: Jobd, path: Path, here: Path, monkeypatch: pytest.MonkeyPatch, format_: str, end: str
) -> None:
    """One line of many megabytes is one bad line, and those behind it keep their numbers."""
    monkeypatch.setenv("JOBD_LIMITS_MAX_PAYLOAD", "1024")
    (here / "list").write_text(end.join(["a", "x" * 200_000, "c", "y" * 200_000, "e"]))
    status, _, err = jobd("batch", "create", "x", "--type", "t", f"--{format_}", "list")
    assert status == 2
    word = "line" if format_ == "lines" else "name"
    told = [line for line in err.splitlines() if "it is longer than 6144 bytes" in line]
    assert [line.split(":")[1].strip() for line in told] == [f"list, {word} 2", f"list, {word} 4"]
    assert not path.exists()
