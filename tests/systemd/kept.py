"""The handlers of the service under test, some of which break the daemon that runs them."""

import ctypes
import mmap
import os
import threading
from pathlib import Path

import jobd
import jobd.daemon.patrol
from jobd.daemon.daemon import Daemon
from jobd.daemon.dispatcher import Dispatcher

STATE = Path("/var/lib/jobd")


@jobd.job("adds")
def adds(a, b):
    """The least that can be done."""
    return a + b


@jobd.job("fails", max_retries=0)
def fails():
    """And is not tried again."""
    raise RuntimeError("as it should")


@jobd.job("waits")
def waits(gate):
    """Until a file of that name is there, or it is told to stop."""
    while not (STATE / gate).exists():
        jobd.current_job().sleep(0.02)


@jobd.job("deaf")
def deaf(gate):
    """As `waits`, but it does not listen."""
    nobody = threading.Event()
    while not (STATE / gate).exists():
        nobody.wait(0.02)


@jobd.job("holds_the_lock_of_python")
def holds_the_lock_of_python(seconds):
    """No other thread of the daemon runs meanwhile."""
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))


@jobd.job("hangs_the_dispatcher")
def hangs_the_dispatcher():
    """The first attempt does; the second one, in the next daemon, is told."""
    if jobd.current_job().attempt == 1:
        Dispatcher._gather = hung
        jobd.current_job().sleep(3600)
    return "rescued"


@jobd.job("hangs_a_sweep")
def hangs_a_sweep():
    """The same for the sweep of the deadlines."""
    if jobd.current_job().attempt == 1:
        jobd.daemon.patrol.sweep_timeouts = hung
        jobd.current_job().sleep(3600)
    return "rescued"


@jobd.job("hangs_the_stop")
def hangs_the_stop():
    """From now on the daemon begins to stop and does not go on."""
    Daemon._drain = hung


def hung(*_):
    """Never returns."""
    threading.Event().wait()


@jobd.job("environment")
def environment():
    """The names of the variables that a handler has, and a program that it runs."""
    programs = jobd.current_job().run(["/usr/bin/env"]).stdout.decode()
    return [sorted(os.environ), sorted(line.partition("=")[0] for line in programs.splitlines())]


@jobd.job("makes_code")
def makes_code():
    """Memory that is writable and executable."""
    mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close()


@jobd.job("runs_its_own_program")
def runs_its_own_program():
    """A program that the handler wrote itself."""
    program = STATE / "program"
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o700)
    return jobd.current_job().run([str(program)]).stdout.decode()
