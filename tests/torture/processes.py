"""The processes of a cycle: daemons, producers and others, forked from an interpreter that has
imported jobd, or started from nothing; and what became of each.

The harness has one thread, so that forking is safe, and is the parent of all.
"""

import ctypes
import gc
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
BROKEN = 70
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
HANDLERS = "tests.torture.handlers"


@dataclass
class Incarnation:
    """One process: what was done to it, and how it ended."""

    pid: int
    began: float
    log: str = ""
    signals: list[tuple[int, float]] = field(default_factory=list)
    frozen: list[tuple[float, float]] = field(default_factory=list)
    status: int | None = None
    """Its exit status, negative for a signal; None while it runs."""
    ended: float | None = None

    def got(self, *numbers: int) -> list[float]:
        """When it got one of these signals."""
        return [at for number, at in self.signals if number in numbers]

    def send(self, number: int) -> bool:
        """Signal it, unless it has gone."""
        if self.status is not None:
            return False
        self.signals.append((number, time.monotonic()))
        os.kill(self.pid, number)
        return True

    def freeze(self) -> bool:
        if not self.send(signal.SIGSTOP):
            return False
        self.frozen.append((time.monotonic(), float("inf")))
        return True

    def thaw(self) -> None:
        self.frozen = [(a, min(b, time.monotonic())) for a, b in self.frozen]
        self.send(signal.SIGCONT)


class Crowd:
    """All processes of one cycle."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.daemons: list[Incarnation] = []
        self.others: list[Incarnation] = []
        gc.freeze()  # so that a fork copies no pages only because garbage is looked for

    def start_daemon(self, *, cold: bool) -> Incarnation:
        """`python -m jobd run`, its log and its standard error in files of its own."""
        number = len(self.daemons)
        argv = [*self.jobd(), "run", "--handlers", HANDLERS, "--path", str(ROOT)]
        log = str(self.root / f"log.{number}")
        made = self._start(lambda: self._become(argv, log, f"{log}.err", cold=cold))
        made.log = log
        self.daemons.append(made)
        return made

    def ask(self, *words: str) -> tuple[int, str]:
        """One verb of the command line: its exit status and what it said."""
        out = str(self.root / "said")
        made = self._start(lambda: self._become([*self.jobd(), *words], out, out, cold=False))
        _, status = os.waitpid(made.pid, 0)
        return os.waitstatus_to_exitcode(status), Path(out).read_text()

    def spawn(self, work: Callable[[], None]) -> Incarnation:
        """A process that does this one thing."""
        made = self._start(lambda: self._do(work))
        self.others.append(made)
        return made

    def reap(self) -> list[Incarnation]:
        """Note which have ended since the last call."""
        ended = []
        for each in [*self.daemons, *self.others]:
            if each.status is None:
                pid, status = os.waitpid(each.pid, os.WNOHANG)
                if pid:
                    each.status = os.waitstatus_to_exitcode(status)
                    each.ended = time.monotonic()
                    each.frozen = [(a, min(b, each.ended)) for a, b in each.frozen]
                    ended.append(each)
        return ended

    def living(self) -> list[Incarnation]:
        return [each for each in self.daemons if each.status is None]

    def active(self) -> Incarnation | None:
        """The daemon that wrote its pid into the lock last, if it lives."""
        try:
            holder = (self.root / "jobd.db.daemon").read_text().strip()
        except OSError:
            return None
        return next((each for each in self.living() if str(each.pid) == holder), None)

    def end_all(self) -> None:
        """SIGKILL whatever is left, by its number."""
        for each in [*self.daemons, *self.others]:
            if each.status is None:
                os.kill(each.pid, signal.SIGKILL)
                os.waitpid(each.pid, 0)
                each.status = -signal.SIGKILL

    def jobd(self) -> list[str]:
        return ["--config", str(self.root / "jobd.toml"), "--db", str(self.root / "jobd.db")]

    def _start(self, work: Callable[[], None]) -> Incarnation:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            status = BROKEN
            try:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                _die_with_parent()
                os.setsid()
                os.closerange(3, 256)
                work()
                status = 0
            except SystemExit as ending:
                status = int(ending.code or 0)
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        return Incarnation(pid, time.monotonic())

    def _do(self, work: Callable[[], None]) -> None:
        _redirect(str(self.root / "others.err"), 1, 2)
        work()

    def _become(self, argv: list[str], out: str, err: str, *, cold: bool) -> None:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        _redirect(out, 1)
        _redirect(err, 2)
        os.chdir(ROOT)
        os.environ.update(HOME=str(self.root), TORTURE_ROOT=str(self.root))
        if cold:
            os.execv(sys.executable, [sys.executable, "-m", "jobd", *argv])
        sys.argv[:] = ["jobd", *argv]
        runpy.run_module("jobd", run_name="__main__", alter_sys=True)


def _die_with_parent() -> None:
    """A harness that is killed leaves nobody behind."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _redirect(path: str, *descriptors: int) -> None:
    opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for descriptor in descriptors:
        os.dup2(opened, descriptor)
    os.close(opened)


def marked_processes(root: Path) -> list[tuple[int, str]]:
    """(pid, marker or "") of processes that belong to the cycle at `root`, by their environment."""
    wanted, found = f"HOME={root}".encode(), []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                words = Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if wanted in words:
                marks = [w.decode() for w in words if w.startswith(b"JOBD_ATTEMPT=")]
                found.append((int(name), "".join(marks)))
    return found


def children_of(pid: int) -> list[int]:
    """The direct children of a process."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        text = [Path(f"/proc/{pid}/task/{task}/children").read_text() for task in tasks]
    except OSError:
        return []
    return sorted(int(word) for words in text for word in words.split())
