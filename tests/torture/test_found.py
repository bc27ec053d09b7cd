"""What the torture found, each as a test of its own."""

import socket
import subprocess
import sys

from jobd.core.config import Config
from jobd.daemon.child_process import _BEGIN, OUR_HOME
from jobd.daemon.frames import Frames
from jobd.daemon.run_process import _settings


def test_an_isolated_child_ends_silently_when_its_daemon_dies_while_it_imports() -> None:
    """Nobody is left to be told that it is ready: no traceback in the log's other stream."""
    (work, its_work), (control, its_control) = socket.socketpair(), socket.socketpair()
    Frames(work).send("jobd.db", "1-aa", sys.path, [], _settings(Config()))
    work.close()
    ends = (its_work.fileno(), its_control.fileno())
    with its_work, its_control, control:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _BEGIN, str(OUR_HOME), *map(str, ends)],
            pass_fds=ends, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False,
        )
    assert (done.returncode, done.stderr.decode()) == (0, "")
