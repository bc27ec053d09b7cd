"""`jobd tail`: the log followed, made readable and filtered; nothing in it drives the terminal."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobd.cli.log_file import LONGEST_LINE
from tests.cli.pty_terminal import Terminal, argv
from tests.daemon.harness import Lines

Jobd = Callable[..., tuple[int, str, str]]
EVIL = "a\x1b[31m\x9b\u202e\u2028\x07z\u00db"


def line(event: str, *, level: str = "info", second: int = 0, **keys: Any) -> str:
    stamp = f"2026-01-02T03:04:{second:02}.000Z"
    return json.dumps({"timestamp": stamp, "level": level, "event": event, "v": 1, **keys}) + "\n"


def completed(job_id: int, **keys: Any) -> str:
    told = {"job_type": "thumb", "queue": "media", "worker": "JobWorker-2", "attempt": 1,
            "status": "completed", "duration_ms": 1500, **keys}
    return line("job.completed", job_id=job_id, **told)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "jobd.log"


class Tail:
    """A running `jobd tail` whose output is read line by line."""

    def __init__(self, *words: str, **options: Any) -> None:
        environment = {**os.environ, "TZ": "UTC", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            argv("tail", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment, **options,
        )
        self._out = Lines(self.process.stdout, lambda raw: raw.decode().rstrip("\n"))
        self.complaints = Lines(self.process.stderr, lambda raw: raw.decode().rstrip("\n"))

    def wait_for(self, text: str) -> str:
        found = self._out.first(lambda each: text in each, 0, 30)
        assert found is not None, (text, self._out.seen, self.complaints.seen)
        return str(self._out.seen[found])

    @property
    def seen(self) -> list[str]:
        return list(self._out.seen)

    def wait_complaint(self, text: str) -> None:
        assert self.complaints.first(lambda each: text in each, 0, 30) is not None

    def put_away(self) -> None:
        self.process.kill()
        self.process.wait(30)
        self._out.join()
        self.complaints.join()


@pytest.fixture
def tail() -> Iterator[Callable[..., Tail]]:
    started: list[Tail] = []

    def start(*words: str, **options: Any) -> Tail:
        started.append(Tail(*words, **options))
        return started[-1]

    yield start
    for each in started:
        each.put_away()


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_an_event_is_one_readable_line(jobd: Jobd, log: Path, monkeypatch: Any) -> None:
    """Time, level and a sentence; what the sentence does not know follows as key=value."""
    log.write_text(completed(17, later="new") + line("strange.event", a=1, b="two words"))
    _, out, _ = jobd("tail", str(log), "--no-follow")
    first, second = out.splitlines()
    assert first.endswith(
        "info    job 17 (thumb) completed in 1.5 s by JobWorker-2, attempt 1 later=new"
    )
    assert second.endswith('info    strange.event a=1 b="two words"')


def test_it_begins_with_the_last_lines(jobd: Jobd, log: Path) -> None:
    """Ten without being asked, N with -n, and of those that fit the filter."""
    log.write_text("".join(completed(n, status="completed") for n in range(1, 31)))
    assert len(jobd("tail", str(log), "--no-follow")[1].splitlines()) == 10
    assert "job 28 " in jobd("tail", str(log), "--no-follow", "-n", "3")[1].splitlines()[0]
    assert "job 4 " in jobd("tail", str(log), "--no-follow", "-n", "1", "--job", "4")[1]
    assert jobd("tail", str(log), "--no-follow", "-n", "0")[1] == ""


def test_the_last_lines_are_found_in_a_file_larger_than_a_block(jobd: Jobd, log: Path) -> None:
    """Lines that lie across the borders of what is read at once come whole."""
    log.write_text("".join(completed(n, error="x" * 900) for n in range(2_000)))
    out = jobd("tail", str(log), "--no-follow", "-n", "1500", "--json")[1]
    assert [json.loads(each)["job_id"] for each in out.splitlines()] == list(range(500, 2_000))


@pytest.mark.parametrize("long", [0, 4_096], ids=["in a file", "in a file that begins with it"])
def test_a_line_that_is_too_long_is_cut_and_said_to_be(jobd: Jobd, log: Path, long: int) -> None:
    """However long it is: its beginning, and then the lines around it."""
    before = "" if long else completed(1)
    log.write_text(before + "y" * (3 * LONGEST_LINE + long) + "\n" + completed(2))
    *first, cut, last = jobd("tail", str(log), "--no-follow")[1].splitlines()
    assert ["job 1 " in each for each in first] == [True] * bool(before)
    assert cut == "y" * 4_096 + " [jobd: cut, for the line is longer than 1 MiB]"
    assert "job 2 " in last


def test_a_line_without_an_end_is_cut_in_a_pipe(tail: Callable[..., Tail]) -> None:
    """As soon as it is too long, whether it ever ends or not; the next line comes whole."""
    stream = tail("-", stdin=subprocess.PIPE)
    typed = stream.process.stdin
    assert typed is not None
    typed.write(b"y" * (2 * LONGEST_LINE))
    typed.flush()
    stream.wait_for("[jobd: cut, for the line is longer than 1 MiB]")
    typed.write(b"y" * LONGEST_LINE + b"\n" + completed(2).encode())
    typed.close()
    stream.wait_for("job 2 ")
    assert [len(each) for each in stream.seen[:-1]] == [4_096 + 47]


def test_a_file_that_is_one_line_takes_little_memory(log: Path) -> None:
    """A gibibyte without a newline, with 200 MB for all that jobd needs."""
    with log.open("wb") as file:
        file.truncate(1 << 30)
    command = ["sh", "-c", 'ulimit -v 200000; exec "$@"', "sh",
               *argv("tail", "--no-follow", str(log))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" [jobd: cut, for the line is longer than 1 MiB]\n")


@pytest.mark.parametrize(("words", "ids"), [
    (["--job", "1"], {1}),
    (["--job", "1", "--job", "3"], {1, 3}),
    (["--type", "mail"], {2}),
    (["--worker", "3"], {3}),
    (["--worker", "JobWorker-3"], {3}),
    (["--queue", "slow"], {4}),
    (["--status", "dead_letter"], {5}),
    (["--level", "warning"], {5}),
    (["--event", "job.dead_lettered"], {5}),
    (["--event", "job.*"], {1, 2, 3, 4, 5}),
    (["--type", "mail", "--queue", "slow"], set()),
    (["-q"], {1, 2, 3, 4, 5, None}),
], ids=str)
def test_filters(jobd: Jobd, log: Path, words: list[str], ids: set[int | None]) -> None:
    """One of the values of each filter, and all filters together."""
    log.write_text(
        completed(1) + completed(2, job_type="mail") + completed(3, worker="JobWorker-3")
        + completed(4, queue="slow")
        + line("job.dead_lettered", level="error", job_id=5, status="dead_letter")
        + line("worker.heartbeat", worker="JobWorker-9", health="normal")
        + line("daemon.stopped", exit_status=0) + "no event\n"
    )
    out = jobd("tail", str(log), "--no-follow", "-n", "100", "--json", *words)[1]
    assert {json.loads(each).get("job_id") for each in out.splitlines()} == ids


def test_what_is_no_event_goes_through_escaped(jobd: Jobd, log: Path) -> None:
    """Text, broken or deep JSON, other JSON, and bytes that are no UTF-8."""
    odd = ["plain text", '{"event": "job.completed"', '{"a": 1}', "[" * 5_000, "[1, 2]",
           '{"event": 7, "level": "info"}', '{"event": "x", "level": "info", "timestamp": 7}',
           '{"event": "x", "level": ["a"], "timestamp": "2026-01-01"}']
    log.write_bytes("\n".join(odd).encode() + b"\n\xff\xfe\x1b[2J\n")
    status, out, err = jobd("tail", str(log), "--no-follow", "-n", "20")
    assert (status, err) == (0, "")
    assert out.splitlines() == [*odd, "\\xff\\xfe\\x1b[2J"]


def test_text_of_a_job_drives_no_terminal(jobd: Jobd, log: Path) -> None:
    """Control characters in keys, values, names of events and plain lines come as escapes."""
    log.write_text(
        completed(1, job_type=EVIL, **{EVIL: EVIL}) + line(EVIL, message=[EVIL, {EVIL: 1}])
        + line("job.logged", job_id=1, message=EVIL, traceback=EVIL) + EVIL.replace("\u2028", "")
        + "\n"
    )
    for words in ([], ["--json"], ["--health"], ["--color", "never"]):
        out = jobd("tail", str(log), "--no-follow", *words)[1]
        assert not set(out) & set("\x1b\x9b\u202e\u2028\x07"), words


def test_colours_on_demand_and_never_with_no_color(
    jobd: Jobd, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal there are none; --color always gives them; the text is the same."""
    log.write_text(line("job.dead_lettered", level="error", job_id=5))
    plain = jobd("tail", str(log), "--no-follow")[1]
    assert "\x1b" not in plain
    coloured = jobd("tail", str(log), "--no-follow", "--color", "always")[1]
    assert "\x1b[31merror" in coloured
    for code in ("\x1b[31m", "\x1b[2m", "\x1b[0m"):
        coloured = coloured.replace(code, "")
    assert coloured == plain


def test_it_follows_what_is_added(log: Path, tail: Callable[..., Tail]) -> None:
    """Lines come as they are written, and one that is half written comes when it is whole."""
    log.write_text(completed(1))
    running = tail(str(log))
    running.wait_for("job 1 ")
    whole = completed(2)
    append(log, whole[:20])
    append(log, whole[20:] + completed(3))
    running.wait_for("job 3 ")
    assert [each.split("job ")[1].split()[0] for each in running.seen] == ["1", "2", "3"]


def test_it_follows_the_name_when_the_file_is_renamed(
    log: Path, tail: Callable[..., Tail]
) -> None:
    """As logrotate does: what was still written to the old file comes, then the new file whole."""
    log.write_text(completed(1))
    running = tail(str(log))
    running.wait_for("job 1 ")
    writer = log.open("a")
    log.rename(log.with_suffix(".1"))
    writer.write(completed(2))
    writer.close()
    log.write_text(completed(3))
    running.wait_for("job 3 ")
    append(log, completed(4))
    running.wait_for("job 4 ")
    assert [each.split("job ")[1].split()[0] for each in running.seen] == ["1", "2", "3", "4"]


def test_it_follows_a_file_that_is_cut(log: Path, tail: Callable[..., Tail]) -> None:
    """As logrotate does with copytruncate."""
    log.write_text(completed(1) * 5)
    running = tail(str(log))
    running.wait_for("job 1 ")
    os.truncate(log, 0)
    append(log, completed(2))
    running.wait_for("job 2 ")


def test_it_waits_for_a_file_that_is_not_there_yet(
    log: Path, tail: Callable[..., Tail]
) -> None:
    """It says so, and shows the file from its beginning."""
    running = tail(str(log))
    running.wait_complaint(f"waiting for {log}")
    log.write_text(completed(1))
    running.wait_for("job 1 ")


def test_standard_input_is_followed_to_its_end(tail: Callable[..., Tail]) -> None:
    """Lines come while the pipe is open; it ends with 0 when the pipe does."""
    running = tail("-", stdin=subprocess.PIPE)
    assert running.process.stdin is not None
    running.process.stdin.write(completed(1).encode())
    running.process.stdin.flush()
    running.wait_for("job 1 ")
    running.process.stdin.write(b"no newline at the end")
    running.process.stdin.close()
    assert running.process.wait(30) == 0
    running.wait_for("no newline at the end")


def test_the_file_is_that_of_the_configuration(
    jobd: Jobd, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a setting it says what to type; the database need not exist."""
    status, out, err = jobd("tail", "--no-follow")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "log.file is not set" in err
    log.write_text(completed(1))
    monkeypatch.setenv("JOBD_LOG_FILE", str(log))
    assert "job 1 " in jobd("tail", "--no-follow")[1]


def test_a_wrong_configuration_does_not_keep_one_from_reading_a_file(
    jobd: Jobd, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is named needs no configuration at all."""
    monkeypatch.setenv("JOBD_POOL_WORKERS", "many")
    log.write_text(completed(1))
    assert "job 1 " in jobd("tail", str(log), "--no-follow")[1]


@pytest.mark.parametrize(("words", "status", "part"), [
    (["{log}", "--no-follow"], 1, "no file"),
    (["{directory}"], 2, "is a directory"),
    (["{log}", "-n", "-1"], 2, "lines must be an integer"),
    (["{log}", "--job", "x"], 2, "no job's id"),
    (["{log}", "--status", "done"], 2, "is none of"),
    (["{log}", "--health", "--job", "1"], 2, "takes no filter"),
])
def test_bad_input(
    jobd: Jobd, log: Path, words: list[str], status: int, part: str
) -> None:
    """One sentence and the right exit status."""
    named = [word.format(log=log, directory=log.parent) for word in words]
    answer = jobd("tail", *named)
    assert (answer[0], answer[1], answer[2].count("\n")) == (status, "", 1)
    assert part in answer[2]


def heartbeat(second: int, worker: str = "JobWorker-1", **keys: Any) -> str:
    return line("worker.heartbeat", second=second, worker=worker, **{"health": "normal", **keys})


def pool(second: int, **keys: Any) -> str:
    told = {"workers": 1, "busy": 0, "ready": 0, "dead_letters": 0, "interval_s": 5, "pid": 77}
    return line("pool.health", second=second, **{**told, **keys})


def test_health_without_a_terminal_tells_changes_only(log: Path, tail: Callable[..., Tail]) -> None:
    """A worker is said again when its health or job changes, not with each heartbeat."""
    log.write_text(heartbeat(1) + pool(1))
    running = tail(str(log), "--health")
    running.wait_for("JobWorker-1   normal            idle")
    append(log, heartbeat(2) + pool(2) + heartbeat(3) + pool(3))
    append(log, heartbeat(4, health="unhealthy", job_id=5, attempt=2, busy_ms=61_000) + pool(4))
    running.wait_for("JobWorker-1   unhealthy         job 5 attempt 2 for")
    assert sum("JobWorker-1  " in each for each in running.seen) == 2


@pytest.fixture
def terminals() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_terminal(*words: str, env: dict[str, str] | None = None, **how: Any) -> Terminal:
        environment = {**os.environ, "TERM": "xterm", "LANG": "C.UTF-8", "LC_ALL": "",
                       **(env or {})}
        opened.append(Terminal(argv(*words), environment, **how))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.put_away()


def test_health_on_a_terminal_is_drawn_over_itself(
    log: Path, terminals: Callable[..., Terminal]
) -> None:
    """One line per worker stays one line, also after the window was made narrow."""
    log.write_text(line("daemon.started", pid=77, version="1", workers=2) + heartbeat(1)
                   + heartbeat(1, "JobWorker-2") + pool(1))
    terminal = terminals("tail", str(log), "--health", columns=90, lines=12)
    terminal.wait_for("JobWorker-2   normal            idle")
    append(log, heartbeat(2, job_id=9, attempt=1, busy_ms=10) + heartbeat(2, "JobWorker-2")
           + pool(2))
    screen = terminal.wait_for("job 9 attempt 1")
    assert [each.split()[0] for each in screen.splitlines()].count("JobWorker-1") == 1
    terminal.resize(30, 12)
    screen = terminal.wait_for(lambda it: max(map(len, it.screen.splitlines() or [""])) < 30)
    terminal.wait_for("JobWorker-2   normal")
    terminal.type("\x03")
    assert terminal.ended() == 130
    assert terminal.odd == []
    assert terminal.is_as_before()


def test_a_terminal_that_is_not_utf8_gets_ascii_alone(
    log: Path, terminals: Callable[..., Terminal]
) -> None:
    """The UTF-8 bytes of a letter may be control characters to it: it gets escapes."""
    log.write_text(line("job.logged", job_id=1, message="\u00db\u4e16 " + EVIL))
    terminal = terminals("tail", str(log), "--no-follow", env={"LC_ALL": "C"}, encoding="latin-1")
    assert terminal.ended() == 0
    assert "\\xdb\\u4e16" in terminal.screen
    assert terminal.raw.isascii()
    assert terminal.odd == []


def test_on_a_terminal_there_are_colours(log: Path, terminals: Callable[..., Terminal]) -> None:
    """Unless $NO_COLOR says otherwise."""
    log.write_text(line("job.dead_lettered", level="error", job_id=5))
    for environment, coloured in (({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False),
                                  ({"TERM": "dumb"}, False)):
        terminal = terminals("tail", str(log), "--no-follow", env=environment)
        assert terminal.ended() == 0
        assert (b"\x1b[31m" in terminal.raw) is coloured, environment


def test_a_closed_pipe_ends_it_quietly(log: Path) -> None:
    """`jobd tail | head -1` complains of nothing."""
    log.write_text("".join(completed(n) for n in range(20_000)))
    done = subprocess.run(
        ["bash", "-c", f"'{sys.executable}' -m jobd tail -n 20000 --no-follow '{log}' | head -1"],
        capture_output=True, text=True, timeout=60,
    )
    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")
