"""What the handlers of these tests share; each house gets its own copy beside its handlers.

`job` is jobd's decorator with a journal around the function: one line when an attempt begins and
one when it ends, each a single write() to a file opened with O_APPEND. A line has a multiple of 64
bytes: SIGKILL ends a write() at the end of a page.
"""

import functools
import inspect
import os
import time
from pathlib import Path

import jobd

ROOT = Path(os.environ["WITNESS_ROOT"])
_journal = os.open(ROOT / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def note(kind, how=""):
    """One line in the journal: what happened to which attempt, in which process, when."""
    me = jobd.current_job()
    line = f"{kind} {me.id} {me.attempt} {os.getpid()} {time.monotonic():.6f} {how}".rstrip()
    os.write(_journal, line.encode().ljust(len(line.encode()) // 64 * 64 + 63) + b"\n")


def job(job_type, **options):
    """As jobd.job, with the journal."""

    def register(function):
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def noted(**payload):
                note("begin")
                try:
                    result = await function(**payload)
                except BaseException as error:
                    note("end", type(error).__name__)
                    raise
                note("end", "returned")
                return result

        else:

            @functools.wraps(function)
            def noted(**payload):
                note("begin")
                try:
                    result = function(**payload)
                except BaseException as error:
                    note("end", type(error).__name__)
                    raise
                note("end", "returned")
                return result

        return jobd.job(job_type, **options)(noted)

    return register


def wait_at(name):
    """Wait until the test opens the gate, in a system call: no `stopping` reaches it."""
    with open(ROOT / "gates" / name, "rb"):
        pass


def say(message, **keys):
    """A line in the log, for which the test waits."""
    jobd.current_job().log.info(message, **keys)


def first_time(name):
    """Whether nobody asked this before, in any process."""
    try:
        os.close(os.open(ROOT / name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


@job("quick")
def quick(n: int = 0):
    return n


@job("gated")
def gated(gate: str):
    say("at the gate")
    wait_at(gate)
    return "through"


@job("patient")
def patient():
    """Runs until it is told to stop."""
    say("waiting")
    jobd.current_job().sleep(60)
