"""`jobd exec` and `jobd logs` as a user meets them: what they print, when, and how they exit."""

import json
import os
import pty
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.daemon.harness import DEADLINE, House
from tests.daemon.villain import captured, logs, until
from tests.daemon.warm import Starter


class Verb:
    """One `jobd` process on a house, and what it has written so far."""

    def __init__(self, house: House, *words: str, terminal: bool = False) -> None:
        ours, theirs = pty.openpty() if terminal else os.pipe()
        self._ours = ours
        self.said = b""
        self.process = subprocess.Popen(
            house.argv(*words), env=house.env, cwd=house.root, stdin=subprocess.DEVNULL,
            stdout=theirs, stderr=theirs if terminal else subprocess.PIPE,
        )
        os.close(theirs)

    def wait_for(self, text: bytes) -> None:
        """Read until it has said this."""
        end = time.monotonic() + DEADLINE
        while text not in self.said:
            assert select.select([self._ours], [], [], max(0, end - time.monotonic()))[0], self.said
            assert self._read(), f"it ended without {text!r}: {self.said!r}"

    def ended(self) -> int:
        """Read to the end; the exit status."""
        while self._read():
            pass
        os.close(self._ours)
        status = self.process.wait(DEADLINE)
        if self.process.stderr is not None:
            self.complaint = self.process.stderr.read()
            self.process.stderr.close()
        return status

    def _read(self) -> bytes:
        try:
            piece = os.read(self._ours, 65536)
        except OSError:  # a terminal whose other end was closed
            piece = b""
        self.said += piece
        return piece


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house and one daemon for all tests here."""
    with House(tmp_path_factory.mktemp("shop")) as made:
        made.handlers("")
        made.start()
        yield made
    Starter.put_away()


def waited(house: House, *words: str) -> tuple[int, bytes, bytes]:
    """`jobd exec --wait`: exit status, standard output, standard error."""
    return captured(house, "exec", "--wait", *words)


def test_wait_shows_both_streams_and_exits_with_zero(shop: House) -> None:
    """Standard output on standard output, standard error beside it, nothing else."""
    found = waited(shop, "--", "sh", "-c", "echo out; echo err >&2")
    assert found == (0, b"out\n", b"err\n")


@pytest.mark.parametrize(("script", "status"), [
    ("exit 3", 3), ("kill -9 $$", 137), ("kill -SEGV $$", 139), ("exit 255", 255),
])
def test_wait_exits_as_the_program_did(shop: House, script: str, status: int) -> None:
    """Its own exit status, or 128 + n for signal n."""
    assert waited(shop, "--max-retries", "0", "--", "sh", "-c", script)[0] == status


def test_wait_exits_with_an_accepted_status_too(shop: House) -> None:
    """--ok 3 makes the job complete; its exit status is still told."""
    assert waited(shop, "--ok", "3", "--", "sh", "-c", "exit 3")[0] == 3


def test_wait_exits_with_125_when_the_program_did_not_run(shop: House) -> None:
    """A program that cannot be started has no status of its own, and the reason is told."""
    status, out, err = waited(shop, "--", "/no/such/program")
    assert (status, out) == (125, b"")
    assert b"/no/such/program" in err


def test_wait_exits_with_125_when_the_job_was_cancelled(shop: House) -> None:
    """jobd ended it, so its status is not the program's; who waits learns why."""
    verb = Verb(shop, "exec", "--wait", "--", "sh", "-c", "echo $JOBD_JOB_ID; exec sleep 60")
    verb.wait_for(b"\n")
    shop.cli("cancel", verb.said.decode().strip())
    assert verb.ended() == 125
    assert b"cancelled" in verb.complaint


def test_wait_follows_the_retries(shop: House) -> None:
    """The output of each attempt, and the exit status of the last."""
    once = shop.root / "once"
    script = f"[ -e {once} ] && echo two && exit 4; echo one; : > {once}; exit 3"
    status, out, _ = waited(shop, "--max-retries", "1", "--", "sh", "-c", script)
    assert (status, out) == (4, b"one\ntwo\n")


def test_wait_shows_output_as_it_comes(shop: House) -> None:
    """A line is there before the program goes on."""
    go = shop.root / "go"
    script = f"echo early; until [ -e {go} ]; do sleep 0.01; done; echo late"
    verb = Verb(shop, "exec", "--wait", "--", "sh", "-c", script)
    verb.wait_for(b"early\n")
    assert b"late" not in verb.said
    go.touch()
    assert verb.ended() == 0
    assert verb.said == b"early\nlate\n"


def test_an_interrupted_wait_leaves_the_job_alone(shop: House) -> None:
    """Ctrl-C ends the watching, not the job."""
    go = shop.root / "go-on"
    script = f"echo $JOBD_JOB_ID; until [ -e {go} ]; do sleep 0.01; done"
    verb = Verb(shop, "exec", "--wait", "--", "sh", "-c", script)
    verb.wait_for(b"\n")
    verb.process.send_signal(signal.SIGINT)
    assert verb.ended() == 130
    job_id = int(verb.said)
    assert shop.status(job_id) == "running"
    go.touch()
    shop.cli("wait", str(job_id))


def test_binary_output_passes_through_byte_for_byte(shop: House) -> None:
    """Not a terminal: no byte is changed, added or lost."""
    copy = shop.root / "copy"
    script = f"head -c 200000 /dev/urandom | tee {copy}"
    status, out, _ = waited(shop, "--", "sh", "-c", script)
    assert status == 0
    assert out == copy.read_bytes()


EVIL = r"printf '\033]0;owned\007\033[2J\t|\302\233K \342\200\256 \377 zażółć \\033[0m\n'"


@pytest.mark.parametrize("words", [("logs",), ("logs", "-f")])
def test_a_terminal_gets_no_escape_sequence_of_the_program(
    shop: House, words: tuple[str, ...]
) -> None:
    """Controls, bidi overrides and bytes that are no text are written out; text stays text."""
    job_id = shop.cli("exec", "-q", "--", "sh", "-c", EVIL).strip()
    shop.cli("wait", job_id)
    verb = Verb(shop, *words, job_id, terminal=True)
    assert verb.ended() == 0
    said = verb.said.replace(b"\r\n", b"\n")
    assert not [byte for byte in said if byte < 32 and byte not in b"\t\n"]
    assert b"\xc2\x9b" not in said
    assert "\u202e".encode() not in said
    assert said.decode().isascii() is False
    assert "\t|" in said.decode()
    assert r" \xff zażółć \033[0m" in said.decode()


def test_wait_at_a_terminal_gets_no_escape_sequence_either(shop: House) -> None:
    """exec --wait writes out what would drive the terminal."""
    verb = Verb(shop, "exec", "--wait", "--", "sh", "-c", EVIL, terminal=True)
    assert verb.ended() == 0
    assert b"\x1b" not in verb.said
    assert b"owned" in verb.said


def test_a_character_that_comes_in_two_pieces_is_shown_whole(shop: House) -> None:
    """A reader at a terminal may meet the first half of a UTF-8 character before the second."""
    go = shop.root / "second-half"
    script = rf"printf 'a\305'; until [ -e {go} ]; do sleep 0.01; done; printf '\202b\n'"
    verb = Verb(shop, "exec", "--wait", "--", "sh", "-c", script, terminal=True)
    verb.wait_for(b"a")
    threading.Event().wait(0.15)  # three looks at the file, so that the halves are read apart
    go.touch()
    assert verb.ended() == 0
    assert verb.said.decode() == "ałb\r\n"


def test_exec_prints_the_id(shop: House) -> None:
    """In a sentence, alone with -q, as an object with --json."""
    first = int(shop.cli("exec", "--", "true").removeprefix("enqueued job "))
    assert int(shop.cli("exec", "-q", "--", "true")) == first + 1
    told = shop.cli("exec", "--json", "--", "true")
    assert json.loads(told) == {"id": first + 2, "created": True}


def test_a_repeated_request_follows_the_job_that_is_there(shop: House) -> None:
    """With --request-id and --wait the second call shows the first one's output and status."""
    words = ("--request-id", "r-1", "--max-retries", "0", "--", "sh", "-c", "date +%N; exit 5")
    first, second = waited(shop, *words), waited(shop, *words)
    assert first[0] == second[0] == 5
    assert first[1] == second[1]


@pytest.mark.parametrize(("words", "complaint"), [
    (["exec"], "ARGV"),
    (["exec", "--"], "ARGV"),
    (["exec", "--", ""], "program"),
    (["exec", "--env", "NOVALUE", "--", "true"], "NAME=VALUE"),
    (["exec", "--env", "=x", "--", "true"], "environment variable"),
    (["exec", "--ok", "0,x", "--", "true"], "exit codes"),
    (["exec", "--ok", "256", "--", "true"], "255"),
    (["exec", "--ok", "", "--", "true"], "exit codes"),
    (["exec", "--", "echo", "\udcff"], "surrogate"),
    (["exec", "--priority", "5000", "--", "true"], "priority"),
])
def test_a_wrong_command_line_is_refused_in_a_sentence(
    shop: House, words: list[str], complaint: str
) -> None:
    """Exit status 2, one line that names the thing, and nothing is stored."""
    before = shop.rows("SELECT count(*) FROM job_queue")[0][0]
    shop.cli(*words, expect=2)
    assert complaint in shop.said
    assert shop.said.count("\n") == 1
    assert shop.rows("SELECT count(*) FROM job_queue")[0][0] == before


# logs


def test_logs_works_while_the_job_runs(shop: House) -> None:
    """What it has written so far, and with -f what comes until it has ended."""
    go = shop.root / "go-logs"
    script = f"echo early; until [ -e {go} ]; do sleep 0.01; done; echo late"
    job_id = shop.cli("exec", "-q", "--", "sh", "-c", script).strip()
    until(lambda: shop.status(int(job_id)) == "running")
    until(lambda: logs(shop, job_id)[0] == b"early\n")
    verb = Verb(shop, "logs", "-f", job_id)
    verb.wait_for(b"early\n")
    go.touch()
    assert verb.ended() == 0
    assert verb.said == b"early\nlate\n"


def test_logs_can_follow_one_attempt(shop: House) -> None:
    """-f with --attempt 1 goes on until that attempt has ended, and shows no other."""
    go, once = shop.root / "go-attempt", shop.root / "once-attempt"
    wait = f"until [ -e {go} ]; do sleep 0.01; done"
    script = f"[ -e {once} ] && echo second && exit; : > {once}; echo a; {wait}; echo b; exit 1"
    job_id = shop.cli("exec", "-q", "--", "sh", "-c", script).strip()
    until(lambda: shop.status(int(job_id)) == "running")
    until(lambda: logs(shop, job_id)[0] == b"a\n")
    verb = Verb(shop, "logs", "-f", "--attempt", "1", job_id)
    verb.wait_for(b"a\n")
    go.touch()
    assert verb.ended() == 0
    assert verb.said == b"a\nb\n"


def test_logs_shows_one_stream_alone(shop: House) -> None:
    """--stream stderr copies nothing of standard output, and the other way round."""
    job_id = shop.cli("exec", "-q", "--", "sh", "-c", "echo out; echo err >&2").strip()
    shop.cli("wait", job_id)
    assert logs(shop, job_id, "--stream", "stdout") == (b"out\n", b"")
    assert logs(shop, job_id, "--stream", "stderr") == (b"", b"err\n")


@pytest.mark.parametrize(("words", "status", "complaint"), [
    (["99999"], 1, "no job 99999"),
    (["{id}", "--attempt", "7"], 1, "attempt 7"),
    (["{id}", "--attempt", "0"], 2, "is no attempt"),
    (["{id}", "--attempt", "x"], 2, "'x'"),
    (["{id}", "--stream", "both"], 2, "stdout"),
    (["x"], 2, "x"),
])
def test_logs_says_what_is_not_there(
    shop: House, words: Sequence[str], status: int, complaint: str
) -> None:
    """An unknown job or attempt is exit status 1, a wrong word 2, each in one sentence."""
    job_id = shop.cli("exec", "-q", "--", "true").strip()
    shop.cli("wait", job_id)
    shop.cli("logs", *(word.replace("{id}", job_id) for word in words), expect=status)
    assert complaint in shop.said
    assert shop.said.count("\n") == 1


def test_logs_of_a_job_that_has_not_run_says_so(shop: House) -> None:
    """No attempt yet: exit status 1 and a sentence, not an empty success."""
    job_id = shop.cli("exec", "-q", "--in", "1h", "--", "true").strip()
    shop.cli("logs", job_id, expect=1)
    assert "not" in shop.said or "no captured output" in shop.said


def test_a_reader_that_goes_away_is_no_error(shop: House) -> None:
    """`jobd logs 1 | head -1` ends quietly."""
    job_id = shop.cli("exec", "-q", "--", "sh", "-c", "yes | head -c 1000000").strip()
    shop.cli("wait", job_id)
    words = " ".join(f"'{word}'" for word in shop.argv("logs", job_id))
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {words} | head -1"],
                          capture_output=True, check=False, env=shop.env)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"y\n", b"")


def test_wait_sees_the_end_of_a_job_whose_child_holds_the_output(shop: House) -> None:
    """The watching ends with the job, not with whoever keeps its files open."""
    status, out, _ = waited(shop, "--", "sh", "-c", "sleep 3 & echo done")
    assert (status, out) == (0, b"done\n")


