"""Programs that handlers start through `current_job().run(argv)`."""

from collections.abc import Mapping, Sequence
from subprocess import DEVNULL
from typing import IO

from jobd.clock import growing_waits
from jobd.daemon.attempt import Stopping
from jobd.daemon.program import Belonging, Program, Stopper, inherited_environment

LONGEST_WAIT = 0.02


def ended_child(
    argv: Sequence[str],
    cwd: str | None,
    env: Mapping[str, str] | None,
    out: IO[bytes],
    err: IO[bytes],
    stopping: Stopping,
    kill_grace: float,
    belonging: Belonging,
) -> int:
    """Start `argv` as part of the attempt, wait until it has ended, return its exit status.

    When the attempt is told to stop, the program and all it started get SIGTERM, and SIGKILL
    `kill_grace` seconds later; so does what a failed program left behind.
    """
    program = Program(argv, belonging, cwd=cwd, env=inherited_environment(env or {}),
                      stdin=DEVNULL, stdout=out, stderr=err)
    stopper = Stopper(program, kill_grace)
    waits = growing_waits(LONGEST_WAIT)
    while not program.has_ended():
        if stopping.wait(next(waits)):
            stopper()
            break
    status = program.wait()
    stopper.finish()
    if status != 0 and not stopper.was_called:
        program.end_left(kill_grace)
    program.reap()
    return status
