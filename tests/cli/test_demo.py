"""`jobd demo` as a newcomer starts it, on fewer files."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path


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
    """Every file's job ends where it should across a SIGKILL; a second run works too."""
    for _ in range(2):
        process = demo(tmp_path, "--files", "150")
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert "none lost, none twice" in said
        assert re.search(r"completed +1\d\d", said)
        assert daemons_of(tmp_path) == []


def test_the_demo_leaves_no_process_behind_when_it_is_interrupted(tmp_path: Path) -> None:
    """Ctrl-C in mid-work ends the daemon as well."""
    process = demo(tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if "running" in line:
            break
    assert daemons_of(tmp_path) != []
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert daemons_of(tmp_path) == []
