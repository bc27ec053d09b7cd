"""`jobd top`: a frame that fits any terminal, and a terminal that is given back as it was."""

import json
import os
import shlex
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jobd import clock
from jobd.cli.terminal import Look, cut, speaks_utf8, width_of
from jobd.cli.top_frame import Moment, frame
from jobd.core.presence import Presence
from jobd.core.pulse import ASCII_BARS, BARS
from jobd.store.live import Live
from jobd.store.pulse import PulseWriter
from tests.cli.conftest import Store
from tests.cli.pty_terminal import Terminal, argv

Jobd = Callable[..., tuple[int, str, str]]
NOW = 1_800_000_000_000
EVIL = "a\x1b[31m\x9b\u202e\u2028\x07z"


def test_once_prints_a_frame_without_a_terminal(jobd: Jobd, store: Store, path: Path) -> None:
    """Queues, running jobs, what is due, what failed, and how fast it goes."""
    jobd("enqueue", "thumb", "--queue", "media")
    jobd("enqueue", "mail", "--in", "1h")
    store.dead()
    jobd("enqueue", "movie")
    store.claim(4)
    PulseWriter(path).write([(clock.now_ms() // 1000 - 2, 300, 0)])
    status, out, err = jobd("top", "--once")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("jobd  ")
    assert "no daemon is active" in lines[0]
    assert "1 ready   1 wait for a time   1 dead letters" in lines[1]
    assert "60/s now  5/s 1 min  0.33/s 15 min" in lines[2]
    assert "█" in lines[2]
    text = "\n".join(lines[3:])
    for part in ("movie", "media", "mail", "in 59 min", "network: refused", "dead_letter"):
        assert part in text
    assert "\x1b" not in out


def test_json_holds_what_a_frame_shows(jobd: Jobd, store: Store) -> None:
    """For programs; times in ISO 8601."""
    jobd("enqueue", "thumb")
    store.claim()
    found = json.loads(jobd("top", "--json")[1])
    assert [each["id"] for each in found["running"]] == [1]
    assert found["running"][0]["started_at"].endswith("Z")
    assert set(found["throughput"]) == {"now", "minute", "quarter"}
    assert found["active"] is False


def test_without_a_database_there_is_nothing_to_watch(jobd: Jobd, path: Path) -> None:
    """It says so, and makes none."""
    status, out, err = jobd("top", "--once")
    assert (status, out) == (1, "")
    assert f"no database at {path}" in err
    assert not path.exists()


def test_without_a_terminal_it_wants_once(jobd: Jobd, store: Store) -> None:
    """A pipe cannot be drawn on."""
    store.dead()
    status, out, err = jobd("top")
    assert (status, out) == (2, "")
    assert "--once prints one frame" in err


HERE = Presence(alive=True, pid=77, pid_here=77)


def moment(**given: Any) -> Moment:
    job = {"id": 17, "job_type": EVIL, "queue": EVIL, "status": "running", "attempt": 1,
           "claimed_at": NOW, "started_at": NOW - 61_000, "done": 3.0, "total": 4.0,
           "message": EVIL, "worker": "JobWorker-1", "worker_id": "d1", "health_status": "normal"}
    queue = {"name": EVIL, "ready": 50_000, "running": 1, "oldest_ready_at": NOW - 60_000,
             "concurrency": 2, "paused_at": NOW - 5_000, "paused_by": EVIL}
    due = {"id": 18, "job_type": EVIL, "queue": EVIL, "status": "retrying", "due_at": NOW + 5_000,
           "retry_count": 2, "failure_type": "network"}
    failure = {"id": 19, "job_type": EVIL, "queue": EVIL, "attempt": 1, "outcome": "dead_letter",
               "failure_type": "network", "error_message": EVIL, "ended_at": NOW - 3_000}
    worker = {"name": "JobWorker-1", "job_id": 17, "health_status": "unhealthy",
              "job_status": "running"}
    daemon = {"id": "d1", "started_at": NOW - 5_000, "pid": 77, "stopped_at": None}
    read = Live(daemon, [worker] * 3, [queue] * 9, {"zombie": 50_000}, [job] * 40, [due] * 9,
                [failure] * 9, 50_000, batch_items=777)
    usual = {"now": NOW, "database": f"/{EVIL}", "seen": HERE, "live": read,
             "beats": [(NOW // 1000 - 1, 9, 1)], "trouble": EVIL}
    return Moment(**{**usual, **given})


@pytest.mark.parametrize("letters", [True, False])
@pytest.mark.parametrize("columns", [1, 2, 7, 20, 79, 80, 200])
@pytest.mark.parametrize("lines", [1, 2, 3, 5, 8, 13, 24, 100])
def test_a_frame_fits(columns: int, lines: int, letters: bool) -> None:
    """Whatever the size: no more lines, none too wide, nothing that drives the terminal."""
    drawn = frame(moment(), columns, lines, Look(colours=False, letters=letters), foot="q quits")
    assert len(drawn) <= lines
    assert max(map(width_of, drawn)) <= columns
    text = "".join(drawn)
    assert text.isprintable()
    assert letters or text.isascii()


@pytest.mark.parametrize("letters", [True, False])
@pytest.mark.parametrize("columns", [40, 60, 80, 132, 200])
@pytest.mark.parametrize("lines", [10, 24, 60])
def test_no_word_and_no_number_is_cut_without_a_mark(
    columns: int, lines: int, letters: bool
) -> None:
    """On a narrow terminal a row goes on in the next one, a column goes, or an ellipsis says so."""
    look = Look(colours=False, letters=letters)
    shown = moment(trouble="no database at the place where it was", database="/var/lib/jobd.db")
    whole = {word for line in frame(shown, 2_000, 200, look) for word in line.split()}
    drawn = frame(shown, columns, lines, look, foot="q quits")
    bars = set(BARS + ASCII_BARS)
    cut = [word for line in drawn for word in line.split()
           if word not in whole | {"q", "quits"} and not set(word) <= bars]
    assert [word for word in cut if "\u2026" not in word and "~" not in word] == []
    assert drawn[0].split()[0] == "jobd"
    assert drawn[-1] == "q quits"


def test_a_narrow_head_goes_on_in_the_next_line() -> None:
    """Nothing of the counts and the rates is lost, down to forty columns."""
    text = " ".join(frame(moment(trouble=None), 40, 30, Look(colours=False, letters=True)))
    for part in ("pid 77, up 5 s", "of 3 workers busy", "777 left in batches", "3 not well",
                 "50000+ zombies", "1 min", "15 min", "fail"):
        assert part in text


def test_each_part_gets_its_lines() -> None:
    """On a usual terminal all four tables are seen, and the numbers that were not counted out."""
    text = "\n".join(frame(moment(), 120, 30, Look(colours=False, letters=True), foot="q quits"))
    for part in ("RUNNING", "QUEUE", "NEXT DUE", "FAILED", "q quits", "50000+", "75 %",
                 "retry 2 after network", "in 5 s", "1 min 1 s"):
        assert part in text
    assert "█████████░░░" in text


def test_wide_letters_take_their_columns() -> None:
    """A text is cut by what it takes on the screen, not by how many letters it has."""
    assert (width_of("日本"), width_of("a\u0301b"), width_of("abc")) == (4, 2, 3)
    assert [cut("日本語", columns) for columns in (0, 3, 4, 7)] == ["", "日 ", "日本", "日本語 "]


@pytest.mark.parametrize(("environment", "encoding", "utf8"), [
    ({"LANG": "de_DE.UTF-8"}, "utf-8", True), ({"LANG": "C.utf8"}, "utf-8", True),
    ({"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, "utf-8", False), ({}, "utf-8", False),
    ({"LC_CTYPE": "en_US.ISO-8859-1", "LANG": "de_DE.UTF-8"}, "utf-8", False),
    ({"LANG": "de_DE.UTF-8"}, "iso8859-1", False), ({"LANG": "de_DE.UTF-8"}, None, False),
])
def test_the_locale_says_what_the_terminal_speaks(
    environment: dict[str, str], encoding: str | None, utf8: bool
) -> None:
    """Python takes UTF-8 for itself where the locale is C; the terminal may not."""
    assert speaks_utf8(encoding, environment) is utf8


@pytest.fixture
def top(path: Path, store: Store) -> Iterator[Callable[..., Terminal]]:
    """Starts `jobd top` on a terminal of its own, with a job to be seen."""
    store.dead()
    opened: list[Terminal] = []

    def start(
        words: list[str] | None = None, env: dict[str, str] | None = None, **how: Any
    ) -> Terminal:
        environment = {**os.environ, "TERM": "xterm", "LANG": "C.UTF-8", "LC_ALL": "",
                       "HOME": str(path.parent), **(env or {})}
        opened.append(Terminal(words or argv("--db", str(path), "top"), environment, **how))
        return opened[-1]

    yield start
    for each in opened:
        each.put_away()


def drawn(top: Callable[..., Terminal], **how: Any) -> Terminal:
    terminal = top(**how)
    terminal.wait_for("q quits")
    assert terminal.pages[-1] == "other"
    assert terminal.cursor_hidden
    assert not terminal.is_as_before()
    return terminal


def test_q_quits_and_gives_the_terminal_back(top: Callable[..., Terminal]) -> None:
    """Exit 0; page, cursor, wrapping and modes as before."""
    terminal = drawn(top)
    terminal.type("q")
    assert terminal.ended() == 0
    assert terminal.is_as_before()
    assert terminal.odd == []


@pytest.mark.parametrize(("how", "status"), [
    (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131), (signal.SIGINT, 130),
])
def test_a_signal_gives_the_terminal_back(
    top: Callable[..., Terminal], how: signal.Signals, status: int
) -> None:
    """Whoever ends it, and with the status that says so."""
    terminal = drawn(top)
    os.kill(terminal.pid, how)
    assert terminal.ended() == status
    assert terminal.is_as_before()
    assert "Traceback" not in terminal.screen


def test_ctrl_c_gives_the_terminal_back(top: Callable[..., Terminal]) -> None:
    """As a person types it."""
    terminal = drawn(top)
    terminal.type("\x03")
    assert terminal.ended() == 130
    assert terminal.is_as_before()


def test_a_crash_gives_the_terminal_back_and_is_told(
    top: Callable[..., Terminal], path: Path
) -> None:
    """The view itself fails: what happened stands on the main page."""
    (path.parent / "sitecustomize.py").write_text(
        "import jobd.cli.top as top\n"
        "first = top.frame\n"
        "calls = []\n"
        "def fail(*args, **options):\n"
        "    calls.append(1)\n"
        "    if len(calls) > 1:\n"
        "        raise RuntimeError('the view broke')\n"
        "    return first(*args, **options)\n"
        "top.frame = fail\n"
    )
    places = [str(path.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    terminal = top(env={"PYTHONPATH": os.pathsep.join(places)})
    assert terminal.ended() == 1
    assert terminal.is_as_before()
    assert terminal.pages == ["main", "other", "main"]
    assert "the view broke" in terminal.screen


def test_ctrl_z_gives_the_terminal_back_until_it_goes_on(
    top: Callable[..., Terminal], path: Path
) -> None:
    """From a shell with job control: while it sleeps the terminal is the shell's."""
    bash = shutil.which("bash")
    assert bash is not None
    line = shlex.join(argv("--db", str(path), "top"))
    terminal = top([bash, "--norc", "--noprofile", "-i"], env={"PS1": "shell> "})
    terminal.wait_for("shell>")
    terminal.type(f"{line}\n")
    terminal.wait_for("q quits")
    terminal.type("\x1a")
    terminal.wait_for("Stopped")
    assert (terminal.pages[-1], terminal.cursor_hidden, terminal.wraps) == ("main", False, True)
    terminal.type("echo it is $((40 + 2))\n")
    terminal.wait_for("it is 42")
    terminal.type("fg\n")
    terminal.wait_for(lambda it: it.pages[-1] == "other" and "q quits" in it.screen)
    terminal.type("q")
    terminal.wait_for(lambda it: it.pages[-1] == "main")
    terminal.type("exit 5\n")
    assert terminal.ended() == 5


def test_it_follows_the_size_of_the_window(top: Callable[..., Terminal]) -> None:
    """Drawn anew at once, smaller or larger, and never wider than it is."""
    terminal = drawn(top, columns=100, lines=30)
    for columns, lines in ((40, 8), (20, 6), (150, 50)):
        terminal.resize(columns, lines)
        screen = terminal.wait_for(
            lambda it: it.screen.splitlines()[-1] == "q quits"
            and len(it.screen.splitlines()) == it.lines
        )
        assert max(map(len, screen.splitlines())) <= columns
    terminal.type("q")
    assert terminal.ended() == 0


def test_what_changes_is_seen(top: Callable[..., Terminal], jobd: Jobd, store: Store) -> None:
    """A job that another process enqueues comes onto the screen."""
    terminal = drawn(top)
    jobd("enqueue", "holiday-movie")
    store.claim(2)
    terminal.wait_for("holiday-movie")


def test_a_terminal_that_is_not_utf8_gets_ascii_alone(
    top: Callable[..., Terminal], jobd: Jobd, path: Path
) -> None:
    """Bars and letters alike."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("INSERT INTO job_queue (job_type, queue, ready, created_at) "
                   "VALUES ('t', 'Größe\u4e16', 1, 0)")
        db.commit()
    PulseWriter(path).write([(clock.now_ms() // 1000 - 2, 300, 0)])
    terminal = drawn(top, env={"LC_ALL": "C"}, encoding="latin-1")
    terminal.wait_for("Gr\\xf6\\xdfe\\u4e16")
    terminal.type("q")
    assert terminal.ended() == 0
    assert terminal.raw.isascii()
    assert terminal.odd == []


def test_a_database_that_goes_away_is_told_and_the_view_goes_on(
    top: Callable[..., Terminal], path: Path
) -> None:
    """The last state stays on the screen, and it is well again when the file is back."""
    terminal = drawn(top)
    aside = path.with_name("aside.db")
    path.rename(aside)
    terminal.wait_for("no database at")
    assert "network: refused" in terminal.screen
    aside.rename(path)
    terminal.wait_for(lambda it: "no database at" not in it.screen)
    terminal.type("q")
    assert terminal.ended() == 0


@pytest.mark.parametrize("ends", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_two_signals_at_once_give_the_terminal_back(
    top: Callable[..., Terminal], ends: signal.Signals
) -> None:
    """The second finds it being given back already, and must not come between."""
    terminal = drawn(top)
    for number in (signal.SIGINT, ends):
        os.kill(terminal.pid, number)
    assert terminal.ended() != 0
    assert terminal.is_as_before()
    assert "Traceback" not in terminal.screen


def test_a_signal_while_the_terminal_is_taken_gives_it_back(
    top: Callable[..., Terminal], path: Path
) -> None:
    """Before the first frame there is something to give back already."""
    (path.parent / "sitecustomize.py").write_text(
        "import signal, jobd.cli.full_screen as screen\n"
        "write = screen.FullScreen._write\n"
        "def interrupted(self, text):\n"
        "    write(self, text)\n"
        "    if text == screen.ENTER:\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "screen.FullScreen._write = interrupted\n"
    )
    places = [str(path.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    terminal = top(env={"PYTHONPATH": os.pathsep.join(places)})
    assert terminal.ended() == 143
    assert terminal.pages == ["main", "other", "main"]
    assert terminal.is_as_before()


@pytest.mark.parametrize("name", ["dumb", ""])
def test_a_dumb_terminal_is_not_drawn_on(top: Callable[..., Terminal], name: str) -> None:
    """It would only see escapes."""
    terminal = top(env={"TERM": name})
    assert terminal.ended() == 2
    assert "--once prints one" in terminal.screen
    assert terminal.pages == ["main"]
