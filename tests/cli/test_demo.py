"""`jobd demo` as a newcomer starts it, on fewer files."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobd.clock import pause
from tests.faults.disk import fill, mounted

ROOT = Path(__file__).parents[2]
LONGEST = 120.0
MANY = ("--files", "100000")
FROM_HERE = [sys.executable, "-P", "-m", "jobd"]
"""As the console script: nothing of the working directory is imported."""


def demo(directory: Path, *options: str, **more: str) -> "subprocess.Popen[str]":
    argv = [*FROM_HERE, "demo", "--dir", str(directory), "--files", "5", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env=environment)


def until(fits: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONGEST
    while not fits():
        assert time.monotonic() < deadline
        pause(0.02)


def logged(directory: Path, event: str, times: int = 1) -> bool:
    log = directory / "jobd.log"
    return log.exists() and log.read_text().count(f'"event": "{event}"') >= times


def at_work(directory: Path, *options: str) -> "subprocess.Popen[str]":
    """A demo whose daemon has begun, with a second at least until its job kills it."""
    process = demo(directory, "--workers", "1", *options)
    until(lambda: logged(directory, "daemon.ready"))
    return process


def daemons_of(directory: Path) -> list[int]:
    """Processes whose command line names the demo's database."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(directory / "jobd.db").encode() in words:
                found.append(int(entry.name))
    return found


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A working directory whose modules are called as those of Python and of jobd."""
    directory = tmp_path / "beside"
    (directory / "jobd").mkdir(parents=True)
    for name in ("random", "types", "select", "queue", "jobd/__init__"):
        (directory / f"{name}.py").write_text("raise SystemExit('not this one')\n")
    return directory


def test_the_demo_ends_well_and_what_it_prints_can_be_typed(
    tmp_path: Path, beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every job ends where it should across a SIGKILL; each command works, the last clears up.

    So it does beside modules of any name, in a place whose name the output has no letters for.
    """
    place = tmp_path / "Björn's place"
    monkeypatch.chdir(beside)
    process = demo(place, PYTHONIOENCODING="ascii")
    said, _ = process.communicate(timeout=LONGEST)
    assert process.returncode == 0, said
    assert "died by SIGKILL, in mid-work: one of its jobs killed it" in said
    assert "none lost, none twice" in said
    assert daemons_of(place) == []
    monkeypatch.chdir(tmp_path)
    look_around = said.partition("look around:")[2]
    commands = [line.strip() for line in look_around.splitlines() if line.startswith("  ")]
    assert len(commands) == 6
    for command in commands:
        subprocess.run(["bash", "-c", command], check=True, stdout=subprocess.DEVNULL, timeout=60,
                       env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert not place.exists()


def on_a_terminal(directory: Path, columns: int) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    argv = [*FROM_HERE, "demo", "--dir", str(directory), "--files", "5"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8",
                   "COLUMNS": str(columns), "TERM": "xterm"}
    process = subprocess.Popen(argv, stdout=theirs, stderr=theirs, stdin=theirs, env=environment)
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 4096)
        except OSError:  # the terminal is closed
            break
    os.close(ours)
    return process.wait(60), said.decode()


def test_a_terminal_sees_one_bar_that_grows(tmp_path: Path) -> None:
    """It is redrawn on its line up to 100 %, in a place that was the demo's before."""
    process = at_work(tmp_path)
    process.terminate()
    process.communicate(timeout=LONGEST)
    (tmp_path / "archive" / "old.gz").touch()
    status, said = on_a_terminal(tmp_path, 60)
    assert status == 0
    bar = [line for line in said.split("\r") if "░" in line or "█" in line]
    assert "  0 %" in bar[0]
    assert "100 %" in bar[-1]
    assert all(len(line.removesuffix("\x1b[K")) < 60 for line in bar[1:-1])
    assert not (tmp_path / "archive" / "old.gz").exists()


def test_a_daemon_that_somebody_else_kills_too_is_started_again(tmp_path: Path) -> None:
    """One more SIGKILL is told, and nothing is wrong when every job still ended right."""
    process = at_work(tmp_path)
    os.kill(daemons_of(tmp_path)[0], signal.SIGKILL)
    said, _ = process.communicate(timeout=LONGEST)
    assert process.returncode == 0, said
    assert "in mid-work: somebody else killed it" in said
    assert "2 SIGKILLs of the daemon, 1 by its job and 1 by somebody else" in said


@pytest.mark.parametrize("numbers", [
    [signal.SIGINT], [signal.SIGHUP], [signal.SIGTERM, signal.SIGINT, signal.SIGTERM],
])
def test_the_demo_leaves_no_process_behind_when_it_is_ended(
    tmp_path: Path, numbers: list[signal.Signals]
) -> None:
    """A signal in mid-work is told and ends the daemon as well; so do more than one."""
    process = at_work(tmp_path, *MANY)
    assert process.stdout is not None
    said = ""
    for number in numbers:
        os.kill(process.pid, number)
        while "ends the demo" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
    said += process.stdout.read()
    process.communicate(timeout=LONGEST)
    assert daemons_of(tmp_path) == []
    assert process.returncode == 128 + numbers[0]
    assert f"{numbers[0].name}: ends the demo" in said
    assert f"what is there stays in {tmp_path}" in said


def test_the_daemon_ends_when_its_demo_is_killed(tmp_path: Path) -> None:
    """SIGKILL leaves the demo no time to end it: the kernel tells the daemon."""
    process = at_work(tmp_path, *MANY)
    [daemon] = daemons_of(tmp_path)
    alive = os.pidfd_open(daemon)
    process.kill()
    process.communicate(timeout=LONGEST)
    assert select.select([alive], [], [], LONGEST)[0]
    os.close(alive)
    assert logged(tmp_path, "daemon.stopped")


def test_a_daemon_that_somebody_stopped_is_not_started_again(tmp_path: Path) -> None:
    """SIGTERM from outside is told as such, and what is there is kept."""
    process = at_work(tmp_path, *MANY)
    os.kill(daemons_of(tmp_path)[0], signal.SIGTERM)
    said, _ = process.communicate(timeout=LONGEST)
    assert process.returncode == 1
    assert "jobd: somebody stopped the demo's daemon (pid " in said
    assert f"what is there stays in {tmp_path}" in said


def test_a_daemon_that_cannot_start_ends_the_demo_with_what_it_said(
    tmp_path: Path
) -> None:
    """No endless restarts: its status, its log and its last line, no traceback."""
    (tmp_path / "apscheduler.py").write_text("raise ImportError('this one is broken')\n")
    process = demo(tmp_path / "demo", PYTHONPATH=f"{ROOT}:{tmp_path}")
    said, _ = process.communicate(timeout=LONGEST)
    assert process.returncode == 1
    assert re.search(r"jobd: the daemon ended with status \d+; its log is ", said)
    assert "this one is broken" in said.strip().splitlines()[-1]
    assert "jobd: jobd:" not in said
    assert "Traceback" not in said


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB."""
    directory = tmp_path / "disk"
    directory.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=40m", "tmpfs", str(directory)):
        yield directory


def test_a_disk_that_fills_up_ends_the_demo_with_a_sentence(disk: Path) -> None:
    """It does not wait for ever for jobs whose outcome cannot be written."""
    process = demo(disk / "demo")
    assert process.stdout is not None
    process.stdout.readline()
    fill(disk)
    said, _ = process.communicate(timeout=LONGEST)
    assert process.returncode == 1, said
    assert f"{disk}/demo is full: 0.0 MB are left there" in said
    assert "Traceback" not in said
