"""What a command gets and gives: arguments, environment, descriptors, output, its exit status."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from jobd.core.lifecycle import ENDED
from tests.daemon.harness import House, Record
from tests.daemon.villain import logs, until

OF_THE_DAEMON = {
    "SECRET_TOKEN": "hunter2", "NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "30000000",
    "WATCHDOG_PID": "1", "LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "x",
    "LC_ALL": "C.UTF-8", "TZ": "Europe/Warsaw",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house and one daemon for all the commands here that only come and go."""
    with House(tmp_path_factory.mktemp("shop")) as made:
        made.handlers("")
        made.start(env=OF_THE_DAEMON, commands__path="/usr/bin:/bin")
        yield made


def when_ended(house: House, job_id: int) -> Record:
    until(lambda: house.status(job_id) in ENDED)
    return house.job(job_id)


def ended(house: House, argv: Sequence[str], *options: str) -> Record:
    """The row of a command job that has ended."""
    return when_ended(house, int(house.cli("exec", "-q", *options, "--", *argv)))


def said(house: House, argv: Sequence[str], *options: str) -> bytes:
    """The standard output of a command that has completed."""
    job = ended(house, argv, *options)
    assert job["status"] == "completed", job["error_message"]
    return logs(house, str(job["id"]))[0]


# What it gives.


def test_output_is_captured_and_the_exit_status_is_the_result(shop: House) -> None:
    """Standard output and standard error apart, byte for byte; the result holds the status."""
    job = ended(shop, ["sh", "-c", r"printf 'out\0\377\n'; printf 'err\r' >&2"])
    assert (job["status"], json.loads(job["result"])) == ("completed", {"exit_status": 0})
    assert logs(shop, str(job["id"])) == (b"out\0\xff\n", b"err\r")


def test_each_attempt_has_its_own_output(shop: House) -> None:
    """What the first attempt wrote is not what the second one wrote, and both are kept."""
    once = shop.root / "once"
    script = f"if [ -e {once} ]; then echo again; else : > {once}; echo first; exit 1; fi"
    job = ended(shop, ["sh", "-c", script])
    assert (job["status"], job["attempt"]) == ("completed", 2)
    of_each = [logs(shop, str(job["id"]), *which)[0]
               for which in ((), ("--attempt", "1"), ("--attempt", "2"))]
    assert of_each == [b"again\n", b"first\n", b"again\n"]


@pytest.mark.parametrize("code", [0, 3])
def test_accepted_exit_codes_complete_the_job(shop: House, code: int) -> None:
    """--ok 0,3 takes both for success; the result says which it was."""
    job = ended(shop, ["sh", "-c", f"exit {code}"], "--ok", "0,3")
    assert (job["status"], json.loads(job["result"])) == ("completed", {"exit_status": code})


def test_zero_is_a_failure_when_it_is_not_accepted(shop: House) -> None:
    """--ok 1 (as for grep that must find nothing) makes the exit status 0 a failure."""
    job = ended(shop, ["true"], "--ok", "1", "--max-retries", "0")
    assert (job["status"], job["failure_type"]) == ("dead_letter", "unknown")


@pytest.mark.parametrize(("script", "failure_type", "words", "status"), [
    ("echo the last words >&2; exit 65", "validation", "exited with 65: the last words", 65),
    ("exit 75", "resource", "exited with 75", 75),
    ("exit 3", "unknown", "exited with 3", 3),
    ("exit 137", "unknown", "exited with 137", 137),
    ("kill -9 $$", "resource", "killed by SIGKILL", -9),
    ("kill -SEGV $$", "system", "killed by SIGSEGV", -11),
    ("kill -TERM $$", "system", "killed by SIGTERM", -15),
    ("kill -40 $$", "system", "killed by signal 40", -40),
])
def test_a_failure_is_classified_by_status_and_signal(
    shop: House, script: str, failure_type: str, words: str, status: int
) -> None:
    """A shell's 137 is an exit status; a death by a signal is one only when a signal killed."""
    job = ended(shop, ["sh", "-c", script], "--max-retries", "0")
    assert (job["status"], job["failure_type"]) == ("dead_letter", failure_type)
    assert words in job["error_message"]
    (attempt,) = shop.attempts(job["id"])
    assert attempt["exit_status"] == status


def test_a_failure_is_retried_as_its_type_is(shop: House) -> None:
    """Exit status 65 (validation) is not tried again, 75 (resource) is."""
    assert ended(shop, ["sh", "-c", "exit 65"])["attempt"] == 1
    assert ended(shop, ["sh", "-c", "exit 75"], "--max-retries", "1")["attempt"] == 2


def test_the_last_words_are_the_programs_own(shop: House) -> None:
    """Escape sequences, bytes that are no text, a long line: the message stays one clean line."""
    long = r"head -c 5000 /dev/zero | tr '\0' x"
    script = rf"printf 'first\n\033[31mred \377 end' >&2; {long} >&2; exit 1"
    message = ended(shop, ["sh", "-c", script], "--max-retries", "0")["error_message"]
    assert "\x1b" not in message
    assert "\n" not in message
    assert len(message) < 1000


# What it gets.


def test_arguments_arrive_as_they_were_given(shop: House) -> None:
    """No shell reads them: spaces, newlines, quotes, globs, UTF-8, the empty one."""
    words = ["$(touch evil)", "`touch evil`", "a b", "two\nlines", "*", ";", "'\"\\", "zażółć 🙂",
             "", "--json", "-q"]
    given = said(shop, ["printf", r"%s\0", *words])
    assert given.decode().split("\0") == [*words, ""]
    assert not list(shop.root.rglob("evil"))


def test_the_environment_is_an_allow_list(shop: House) -> None:
    """Nothing of the daemon's but what is on the list, the configured PATH, and what is added."""
    given = said(shop, ["env", "-0"], "--env", "LEVEL=9", "--env", "EMPTY=", "--env", "A=b=c d")
    found = dict(entry.split("=", 1) for entry in given.decode().split("\0") if entry)
    own = {name for name in found if name.startswith("JOBD_")}
    assert own <= {"JOBD_JOB_ID", "JOBD_ATTEMPT"}
    assert found["PATH"] == "/usr/bin:/bin"
    assert found["LC_ALL"] == "C.UTF-8"
    assert {name: found[name] for name in ("LEVEL", "EMPTY", "A")} == {
        "LEVEL": "9", "EMPTY": "", "A": "b=c d"}
    allowed = {"PATH", "HOME", "LANG", "LANGUAGE", "LOGNAME", "SHELL", "TMPDIR", "TZ", "USER",
               "LEVEL", "EMPTY", "A"}
    assert {name for name in found if not name.startswith("LC_")} - own <= allowed


def test_what_systemd_gives_the_daemon_is_never_allowed_through(house: House) -> None:
    """Not even when the allow-list has a pattern that its names fit."""
    daemon = house.start(env=OF_THE_DAEMON, commands__environment=["L*", "N*", "W*", "T*"])
    job_id = int(house.cli("exec", "-q", "--", "env"))
    daemon.wait_for("job.completed", job_id=job_id)
    names = {line.partition(b"=")[0].decode() for line in logs(house, str(job_id))[0].splitlines()}
    assert {"TZ", "LC_ALL"} <= names
    assert not names & {name for name in OF_THE_DAEMON if name not in ("TZ", "LC_ALL")}


DESCRIPTORS = """
import os
for name in sorted(os.listdir("/proc/self/fd"), key=int):
    try:
        print(name, os.readlink(f"/proc/self/fd/{name}"))
    except FileNotFoundError:
        pass  # the one that listed them
"""


def test_nothing_is_open_but_the_three_and_the_lock(shop: House) -> None:
    """Standard input is /dev/null, the outputs are files, and no descriptor of jobd's leaks."""
    given = said(shop, [sys.executable, "-ISc", DESCRIPTORS]).decode().splitlines()
    (stdin, stdout, stderr), others = given[:3], [line.split()[1] for line in given[3:]]
    assert stdin == "0 /dev/null"
    assert stdout.startswith("1 /")
    assert stdout.endswith("/stdout")
    assert stderr.startswith("2 /")
    assert stderr.endswith("/stderr")
    assert [Path(name).name for name in others] == ["lock"]


def test_no_signal_is_blocked_or_ignored(shop: House) -> None:
    """A program starts with the signals as a shell would give them, SIGPIPE too."""
    lines = dict(line.split(":\t", 1)
                 for line in said(shop, ["cat", "/proc/self/status"]).decode().splitlines())
    # 32 and 33 are the C library's own: its posix_spawn, with which Python 3.13 may have started
    # this daemon, leaves them ignored in all that follows, and Python cannot set them.
    ours = ~(0b11 << 31)
    assert (int(lines["SigBlk"], 16) & ours, int(lines["SigIgn"], 16) & ours) == (0, 0)


def test_it_leads_a_session_of_its_own_without_a_terminal(shop: House) -> None:
    """Its pid is its process group and its session, and it has no controlling terminal."""
    stat = said(shop, ["cat", "/proc/self/stat"]).decode()
    pid = stat.split()[0]
    _state, _parent, group, session, terminal = stat.rpartition(")")[2].split()[:5]
    assert (group, session, terminal) == (pid, pid, "0")


def test_standard_input_is_at_its_end_at_once(shop: House) -> None:
    """A program that reads gets the end of the file, never the daemon's input."""
    assert said(shop, ["cat"]) == b""


def test_standard_input_comes_from_a_file(
    shop: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--stdin names it, relative to where the user is."""
    (shop.root / "input").write_bytes(b"line\n\0\xff")
    monkeypatch.chdir(shop.root)
    assert said(shop, ["cat"], "--stdin", "input") == b"line\n\0\xff"


def test_it_runs_where_the_user_is_unless_told(
    shop: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory of `jobd exec`, or --cwd; a program by a relative path is found from here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    program = tmp_path / "where"
    program.write_text("#!/bin/sh\npwd\n")
    program.chmod(0o755)
    assert said(shop, ["./where"]) == f"{tmp_path}\n".encode()
    assert said(shop, ["./where"], "--cwd", "sub") == f"{tmp_path}/sub\n".encode()


# What cannot be started.


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of things that are no programs."""
    where = tmp_path_factory.mktemp("odd")
    (where / "no-permission").write_text("#!/bin/sh\n")
    for name, text in (("no-shebang", "echo hello\n"), ("bad-first-line", "#!/no/such/sh\n")):
        (where / name).write_text(text)
        (where / name).chmod(0o755)
    (where / "directory").mkdir()
    return where


NO_ENTRY = ("configuration", "permission")


@pytest.mark.parametrize(("argv", "options", "types", "words"), [
    (["no-such-program"], [], ["configuration"], ["no-such-program", "/usr/bin:/bin"]),
    (["{odd}/missing"], [], ["configuration"], ["{odd}/missing", "No such file"]),
    (["{odd}/no-permission"], [], NO_ENTRY, ["{odd}/no-permission", "ermission"]),
    (["{odd}/directory"], [], NO_ENTRY, ["{odd}/directory"]),
    (["{odd}/no-shebang"], [], ["configuration"], ["{odd}/no-shebang", "format"]),
    (["{odd}/bad-first-line"], [], ["configuration"], ["{odd}/bad-first-line", "interpreter"]),
    (["true"], ["--cwd", "{odd}/gone"], ["configuration"], ["{odd}/gone", "No such file"]),
    (["true"], ["--cwd", "{odd}/no-shebang"], ["configuration"], ["{odd}/no-shebang"]),
    (["cat"], ["--stdin", "{odd}/gone"], ["configuration", "validation"],
     ["{odd}/gone", "No such file"]),
    (["echo", "x" * 200_000], [], ["validation"], ["too long"]),
])
def test_what_cannot_be_started_is_parked_with_the_reason(
    shop: House, odd: Path, argv: list[str], options: list[str], types: Sequence[str],
    words: list[str],
) -> None:
    """One attempt, no retry, and a message that names the thing and what is wrong with it."""
    argv, options, words = ([each.replace("{odd}", str(odd)) for each in group]
                            for group in (argv, options, words))
    job = ended(shop, argv, *options)
    assert (job["status"], job["attempt"]) == ("dead_letter", 1)
    assert job["failure_type"] in types
    assert [word for word in words if word not in job["error_message"]] == [], job["error_message"]
    assert shop.attempts(job["id"])[0]["traceback"] is None


def test_a_directory_that_was_deleted_before_the_start_is_named(
    shop: House, tmp_path: Path
) -> None:
    """It was there when the job was put in, and is gone when the job is run."""
    where = tmp_path / "soon-gone"
    where.mkdir()
    job_id = int(shop.cli("exec", "-q", "--in", "100ms", "--cwd", str(where), "--", "true"))
    where.rmdir()
    job = when_ended(shop, job_id)
    assert (job["status"], job["failure_type"]) == ("dead_letter", "configuration")
    assert str(where) in job["error_message"]


def test_a_fifo_as_standard_input_does_not_hold_the_worker(shop: House) -> None:
    """Nobody writes to it, and the job comes to its end all the same."""
    fifo = shop.root / "fifo"
    os.mkfifo(fifo)
    job_id = int(shop.cli("exec", "-q", "--stdin", str(fifo), "--", "cat"))
    assert when_ended(shop, job_id)["execution_over"] == 1


# The door for producers.


@pytest.mark.parametrize("payload", [
    {}, {"argv": "ls -l"}, {"argv": []}, {"argv": ["ls", 1]}, {"argv": ["ls", "a\0b"]},
    {"argv": ["ls"], "cwd": "relative"}, {"argv": ["ls"], "env": {"A": 1}},
    {"argv": ["ls"], "env": {"A=B": "1"}}, {"argv": ["ls"], "exit_codes": [256]},
    {"argv": ["ls"], "shell": True}, {"argv": ["ls"], "stdin": 0},
], ids=str)
def test_a_malformed_payload_is_parked_and_the_daemon_lives(
    shop: House, payload: Record
) -> None:
    """A producer's exec job that is no command: validation, one sentence, no retry."""
    job = when_ended(shop, shop.enqueue("exec", payload))
    assert (job["status"], job["failure_type"], job["attempt"]) == (
        "dead_letter", "validation", 1)
    assert job["error_message"]
    assert "\n" not in job["error_message"]
    assert shop.daemons[-1].process.poll() is None


def test_a_producer_may_enqueue_a_command(shop: House) -> None:
    """The payload of `exec` is a contract: argv is all it needs."""
    job = when_ended(shop, shop.enqueue("exec", {"argv": ["echo", "hello"]}))
    assert job["status"] == "completed"
    assert logs(shop, str(job["id"]))[0] == b"hello\n"


def test_no_handler_may_take_the_name_exec(house: House) -> None:
    """The daemon refuses to start, and names the handler."""
    house.handlers("@jobd.job('exec')\ndef mine():\n    pass\n")
    daemon = house.launch()
    assert daemon.exit_status() == 78
    assert "handlers.mine" in daemon.stderr
    assert "'exec'" in daemon.stderr
