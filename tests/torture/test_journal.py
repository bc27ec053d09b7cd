"""The locks of the side file tell the truth about who executes a job."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.torture.evidence import read_notes
from tests.torture.journal import TWO_AT_ONCE, Journal
from tests.torture.processes import ROOT

HOLD = """
import sys
from tests.torture.journal import Journal
with Journal(sys.argv[1]).attempt(1, 1):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    (tmp_path / "locks").mkdir()
    return Journal(str(tmp_path))


def two_at_once(root: Path) -> list[tuple[int, int]]:
    return [note.key for note in read_notes(root) if note.kind == TWO_AT_ONCE]


def test_two_attempts_in_one_process_are_seen(journal: Journal, tmp_path: Path) -> None:
    """The second attempt of a job that begins while the first goes on says so."""
    with journal.attempt(1, 1), journal.attempt(1, 2):
        pass
    assert two_at_once(tmp_path) == [(1, 2)]


def test_two_attempts_in_two_processes_are_seen(journal: Journal, tmp_path: Path) -> None:
    """Also when another process executes the first."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, cwd=ROOT) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with journal.attempt(1, 2):
            pass
        other.communicate()
    assert two_at_once(tmp_path) == [(1, 2)]


def test_a_child_that_lives_on_is_seen(journal: Journal, tmp_path: Path) -> None:
    """A command's attempt goes on in the children that inherited its lock."""
    reader, writer = os.pipe()
    with journal.attempt(1, 1, inherited=True):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=reader, close_fds=False)
    with journal.attempt(1, 2):
        pass
    os.close(writer)
    os.close(reader)
    child.kill()
    child.wait()
    assert two_at_once(tmp_path) == [(1, 2)]


def test_one_after_the_other_is_well(journal: Journal, tmp_path: Path) -> None:
    """Attempts that do not overlap say nothing."""
    with journal.attempt(1, 1), journal.attempt(2, 1):
        pass
    with journal.attempt(1, 2):
        pass
    assert two_at_once(tmp_path) == []


def test_a_forked_copy_of_a_lock_is_nobody(journal: Journal, tmp_path: Path) -> None:
    """A child that another thread forked while the attempt ran holds nothing once it has ended."""
    reader, writer = os.pipe()
    with journal.attempt(1, 1):
        links = [int(fd) for fd in os.listdir("/proc/self/fd")
                 if os.path.exists(f"/proc/self/fd/{fd}")
                 and os.readlink(f"/proc/self/fd/{fd}") == journal.lock_of(1)]
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=reader, pass_fds=links)
    with journal.attempt(1, 2):
        pass
    os.close(writer)
    os.close(reader)
    child.kill()
    child.wait()
    assert len(links) == 1
    assert two_at_once(tmp_path) == []
