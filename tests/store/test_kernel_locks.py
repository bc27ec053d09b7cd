"""The system's list of locks, read while others change it."""

import fcntl
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from jobd.store.kernel_locks import flocks

LOCK_AND_UNLOCK = """
import fcntl, sys
files = [open(f"{sys.argv[1]}/changing{each}", "w") for each in range(20)]
print("ready", flush=True)
while True:
    for action in (fcntl.LOCK_EX, fcntl.LOCK_UN):
        for file in files:
            fcntl.flock(file, action)
"""


def test_a_lock_is_told_once_however_the_list_moves(tmp_path: Path) -> None:
    """More than a page of them: where a new one comes in front, a line is given out again."""
    argv = [sys.executable, "-c", LOCK_AND_UNLOCK, str(tmp_path)]
    with ExitStack() as held, subprocess.Popen(argv, stdout=subprocess.PIPE) as others:
        for each in range(100):
            file = held.enter_context((tmp_path / f"held{each}").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        assert others.stdout
        others.stdout.readline()
        told = {len(flocks(tmp_path / f"held{each % 100}")) for each in range(3000)}
        others.kill()
    assert told <= {0, 1}
