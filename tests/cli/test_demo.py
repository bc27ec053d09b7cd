"""`jobd demo` as a newcomer starts it, on fewer files."""

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest


def demo(directory: Path, *options: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "jobd", "demo", "--dir", str(directory), *options]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


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


def test_the_demo_ends_well_and_leaves_nothing_running(tmp_path: Path) -> None:
    """Every job ends where it should across a SIGKILL; a second run works too."""
    for _ in range(2):
        process = demo(tmp_path, "--files", "150")
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
        assert "died by SIGKILL" in said
        assert "none lost, none twice" in said
        assert re.search(r"completed +1\d\d", said)
        assert daemons_of(tmp_path) == []


def test_what_the_demo_prints_at_the_end_can_be_typed(tmp_path: Path) -> None:
    """Each command under "look around" works, and the last one leaves nothing."""
    process = demo(tmp_path / "a place", "--files", "20")
    said, _ = process.communicate(timeout=120)
    look_around = said.partition("look around:")[2]
    commands = [line.strip() for line in look_around.splitlines() if line.startswith("  ")]
    assert len(commands) == 6
    for command in commands:
        subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL, timeout=60)
    assert not (tmp_path / "a place").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_demo_leaves_no_process_behind_when_it_is_ended(tmp_path: Path, number: int) -> None:
    """Ctrl-C, a kill or a closed terminal in mid-work ends the daemon as well."""
    process = demo(tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if "running" in line:
            break
    assert daemons_of(tmp_path) != []
    os.kill(process.pid, number)
    process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert daemons_of(tmp_path) == []


def test_the_demo_removes_no_database_but_a_demo_s(tmp_path: Path) -> None:
    """With --dir on somebody's own database it refuses in one sentence, and the file stays."""
    (tmp_path / "jobd.db").write_text("precious")
    process = demo(tmp_path)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said == (f"jobd: {tmp_path}/jobd.db was not made by a demo: "
                    "give --dir a directory of its own\n")
    assert (tmp_path / "jobd.db").read_text() == "precious"


def test_a_terminal_sees_one_bar_that_grows(tmp_path: Path) -> None:
    """On a terminal the bar is redrawn on its line up to 100 %."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "jobd", "demo", "--dir", str(tmp_path), "--files", "20"]
    process = subprocess.Popen(argv, stdout=theirs, stderr=theirs, stdin=theirs,
                               env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "100"})
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 4096)
        except OSError:  # the terminal is closed
            break
    os.close(ours)
    assert process.wait(60) == 0
    bar = [line for line in said.decode().split("\r") if "░" in line or "█" in line]
    assert "  0 %" in bar[0]
    assert "100 %" in bar[-1]
    assert all(len(line.removesuffix("\x1b[K")) < 100 for line in bar[1:-1])


def test_a_daemon_that_cannot_start_ends_the_demo_with_what_it_said(tmp_path: Path) -> None:
    """No endless restarts: its status, its log and its last line, no traceback."""
    process = demo(tmp_path, "--files", "5", "--workers", "100000")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the daemon ended with status 78" in said
    assert "pool.workers" in said.strip().splitlines()[-1]
    assert "Traceback" not in said
