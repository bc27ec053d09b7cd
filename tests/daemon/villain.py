"""Programs that misbehave: an attempt is over when nothing of it is left, and not before.

`VILLAIN` is a program that does what its words say. Each process of it has its job's own word on
its command line, so that /proc tells who is left whatever became of the marker and the lock, and
each attempt begins by looking itself for processes of an earlier one.
"""

import fcntl
import io
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from jobd.cli.main import main
from tests.daemon.harness import DEADLINE, House

VILLAIN = r'''
import fcntl, os, signal, sys, time
journal, our_word, *words = sys.argv[1:]
job, attempt = os.environ["JOBD_JOB_ID"], os.environ.get("JOBD_ATTEMPT", ":1").rpartition(":")[2]

def line(kind, how=""):
    return f"{kind} {job} {attempt} {os.getpid()} {how}\n".encode()

def opened():
    return os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

def note(kind, how=""):
    descriptor = opened()
    os.write(descriptor, line(kind, how))
    os.close(descriptor)

def others():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                argv = file.read().split(b"\0")
        except OSError:
            continue
        if our_word.encode() in argv and int(pid) != os.getpid():
            yield pid

def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

def fork():
    if os.fork():
        os._exit(0)

def close_all():
    os.closerange(0, 1000)
    for _ in range(3):
        os.open("/dev/null", os.O_RDWR)

def up():
    note("up")
    time.sleep(120)
    os._exit(0)

def bare():
    """No environment is left, only the descriptors."""
    code = (f"import os, time; os.write(os.open({journal!r}, os.O_WRONLY | os.O_APPEND), "
            f"{line('up')!r}); time.sleep(120)")
    os.execve(sys.executable, [sys.executable, "-ISc", code, our_word], {})

def hide():
    """No descriptor either; only the process group and the session are left."""
    close_all()
    bare()

def hold():
    """The descriptor of a lock that says whether any process of an earlier attempt is left."""
    descriptor = os.open(f"{journal}-{job}", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor

def stranger():
    """Somebody else's process, whom a daemon without CAP_KILL cannot end."""
    os.setsid()
    descriptor = opened()
    os.setgid(65534)
    os.setuid(65534)
    os.write(descriptor, line("up"))
    time.sleep(120)
    os._exit(0)

def chain(seconds=1):
    """Many short lives: each process starts the next one and ends."""
    hold()
    note("up")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.002)
        fork()
    os._exit(0)

CHILDREN = {
    "child": (up,),
    "deaf-child": (deaf, up),
    "session": (os.setsid, up),
    "deaf-session": (os.setsid, deaf, up),
    "daemon": (os.setsid, fork, close_all, up),
    "bare": (os.setsid, bare),
    "hidden": (hide,),
    "deaf-hidden": (deaf, hide),
    "chain": (os.setsid, chain),
    "group-chain": (lambda: chain(60),),
    "deaf-group-chain": (deaf, lambda: chain(60)),
    "stranger": (stranger,),
}

note("begin")
for pid in others():
    note("overlap", pid)
try:
    os.close(hold())
except BlockingIOError:
    note("overlap", "someone")
for word in words:
    what, _, value = word.partition("=")
    if what == "once":
        if attempt != "1":
            break
    elif what == "only-with":
        if not os.path.exists(value):
            break
    elif what in CHILDREN:
        if not os.fork():
            for step in CHILDREN[what]:
                step()
    elif what == "exit":
        os._exit(int(value))
    elif what == "die":
        os.kill(os.getpid(), int(value))
    elif what == "stop":
        note("up")
        os.kill(os.getpid(), signal.SIGSTOP)
    elif what == "ups":
        while open(journal).read().count(f"\nup {job} {attempt} ") < int(value):
            time.sleep(0.005)
    else:
        {"deaf": deaf, "hide": hide, "sleep": up}[what]()
'''


class Villain:
    """The program on a house, and who is left of the jobs of one test."""

    _number = itertools.count()

    def __init__(self, house: House) -> None:
        self._house = house
        self._path = house.code / "villain.py"
        self._path.write_text(VILLAIN)
        number = next(self._number)
        self._journal = house.root / f"journal-of-villain-{number}"
        self._word = f"villain-{number}-of-{house.root}-job-".encode()
        self._made = 0

    def argv(self, *words: str) -> list[str]:
        """Its command line for one more job, with a word that no other job's processes have."""
        self._made += 1
        word = f"{self._word.decode()}{self._made}"
        return [sys.executable, "-IS", str(self._path), str(self._journal), word, *words]

    def exec(self, *words: str, options: Sequence[str] = ()) -> int:
        """A command job that does what these words say."""
        return int(self._house.cli("exec", "-q", *options, "--", *self.argv(*words)))

    def notes(self, kind: str) -> list[list[str]]:
        """What its processes wrote: job, attempt, pid, and what more there is to say."""
        if not self._journal.exists():
            return []
        lines = [line.split() for line in self._journal.read_text().splitlines()]
        return [line[1:] for line in lines if line[0] == kind]

    def ups(self) -> list[int]:
        """The pids that said they are up."""
        return [int(pid) for _, _, pid, *_ in self.notes("up")]

    def wait_up(self, number: int) -> None:
        """Wait until so many processes are up."""
        until(lambda: len(self.ups()) >= number)

    def left(self) -> list[int]:
        """Who runs of it; the dead who are not buried yet have no command line."""
        return [pid for pid, argv in command_lines()
                if any(word.startswith(self._word) for word in argv)]

    def overlaps(self) -> list[list[str]]:
        """The attempts that met a process of an earlier attempt."""
        return self.notes("overlap")

    def is_free(self, job_id: int) -> bool:
        """Whether no process of a chain is left; they pass its lock on, whatever pid they have."""
        with open(f"{self._journal}-{job_id}") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def put_away(self) -> None:
        until(lambda: not [_kill(pid) for pid in self.left()])


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def captured(house: House, *words: str) -> tuple[int, bytes, bytes]:
    """A verb in this process: its exit status, and the bytes of its two outputs."""
    out, err = (io.TextIOWrapper(io.BytesIO()) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        status = main([*house.argv()[3:], *words])
    out.flush()
    err.flush()
    return status, out.buffer.getvalue(), err.buffer.getvalue()  # type: ignore[attr-defined]


def logs(house: House, *words: str) -> tuple[bytes, bytes]:
    """What `jobd logs` copies to standard output and standard error."""
    status, out, err = captured(house, "logs", *words)
    assert status == 0
    return out, err


def command_lines() -> list[tuple[int, list[bytes]]]:
    """Who runs on this machine."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            found.append((int(name), Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")))
        except OSError:
            continue
    return found


def until(condition: Callable[[], Any], deadline: float = DEADLINE) -> Any:
    """Wait until this is true of the machine, where no log tells of it; what it was then."""
    end = time.monotonic() + deadline
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come about"
        threading.Event().wait(0.02)
    return found
