"""The daemon's lock: one holder, known by pid, free the moment its holder is dead."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

from jobd.store.daemon_lock import DaemonLock, is_held, said, say

HOLD = """
import sys
from pathlib import Path
from jobd.store.daemon_lock import DaemonLock
lock = DaemonLock(Path(sys.argv[1]))
print(lock.acquire(blocking=True), flush=True)
sys.stdin.read()
"""


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    """A second one is refused until the first lets go."""
    first, second = DaemonLock(tmp_path / "jobd.db"), DaemonLock(tmp_path / "jobd.db")
    assert is_held(tmp_path / "jobd.db") == (False, None)
    assert first.acquire(blocking=False)
    assert not second.acquire(blocking=False)
    second.release()
    assert is_held(tmp_path / "jobd.db") == (True, os.getpid())
    assert second.holder() == os.getpid()
    first.release()
    assert is_held(tmp_path / "jobd.db") == (False, None)
    assert second.acquire(blocking=True)
    second.release()


def test_what_the_holder_says_stands_behind_its_pid(tmp_path: Path) -> None:
    """As long as it is said; nobody says anything in another's place."""
    path = tmp_path / "jobd.db"
    say(path, "nobody is here")
    assert not (tmp_path / "jobd.db.daemon").exists()
    lock = DaemonLock(path)
    lock.acquire(blocking=False)
    for text in ("waits for disk space", "stopping", ""):
        say(path, text)
        assert (said(path), is_held(path)) == (text, (True, os.getpid()))
    (tmp_path / "jobd.db.daemon").write_text("1\n")
    say(path, "I am another")
    assert said(path) == ""
    lock.release()


def test_the_file_has_a_tight_mode(tmp_path: Path) -> None:
    """Only its owner may touch the lock in a directory of their own."""
    lock = DaemonLock(tmp_path / "jobd.db")
    lock.acquire(blocking=False)
    assert stat.S_IMODE((tmp_path / "jobd.db.daemon").stat().st_mode) == 0o600
    lock.release()


def test_a_killed_holder_frees_it(tmp_path: Path) -> None:
    """The kernel releases the lock with the process; the pid that is left says nothing."""
    path = tmp_path / "jobd.db"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout.readline() == b"True\n"
        assert is_held(path) == (True, holder.pid)
        holder.send_signal(signal.SIGKILL)
    assert is_held(path) == (False, None)
    assert DaemonLock(path).holder() == holder.pid


def test_a_forked_child_does_not_keep_it(tmp_path: Path) -> None:
    """A child that outlives the daemon holds no copy of the lock."""
    script = HOLD.replace("sys.stdin.read()", """
import os
if os.fork() == 0:
    print("child", flush=True)
    sys.stdin.read()
os._exit(0)
""")
    path = tmp_path / "jobd.db"
    parent = subprocess.Popen(
        [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with parent:
        lines = {parent.stdout.readline(), parent.stdout.readline()}
        assert lines == {b"True\n", b"child\n"}
        parent.wait(10)
        assert is_held(path) == (False, None)
        parent.stdin.close()
