"""Programs that handlers start through `current_job().run(argv)`."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO

from jobd.daemon.attempt import Stopping

POLL = 0.02
_OURS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID",
         "LISTEN_FDNAMES")


def ended_child(
    argv: Sequence[str],
    cwd: str | None,
    env: Mapping[str, str] | None,
    out: IO[bytes],
    err: IO[bytes],
    stopping: Stopping,
    kill_grace: float,
) -> int:
    """Start `argv` in its own session, wait until it has ended, return its exit status.

    When the attempt is told to stop, its process group gets SIGTERM and SIGCONT, and SIGKILL
    `kill_grace` seconds later.
    """
    with subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=child_environment(env or {}),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        start_new_session=True,
    ) as child:
        while child.poll() is None:
            if stopping.wait(POLL):
                _end(child, kill_grace)
        return child.returncode


def child_environment(added: Mapping[str, str]) -> dict[str, str]:
    """Our environment without what belongs to systemd and us alone, and with what is added."""
    inherited = {name: value for name, value in os.environ.items() if name not in _OURS}
    return inherited | dict(added)


def _end(child: subprocess.Popen[bytes], kill_grace: float) -> None:
    for number in (signal.SIGTERM, signal.SIGCONT):
        _signal_group(child, number)
    try:
        child.wait(kill_grace)
    except subprocess.TimeoutExpired:
        _signal_group(child, signal.SIGKILL)
        child.wait()


def _signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        pass  # it ended by itself meanwhile
