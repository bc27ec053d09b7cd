"""The demo's daemon: the real one, as a child process that ends with its demo."""

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jobd import clock
from jobd.cli.demo_signals import Signals
from jobd.core.log_line import read_event
from jobd.core.sentences import sentence

LONGEST_STOP = 15.0
LONGEST_HURRY = 5.0
LOOK_EVERY = 0.02
STOPPED = (0, -signal.SIGTERM, -signal.SIGINT)
OUR_HOME = Path(__file__).parents[2]
_BEGIN = (
    "import sys; home = sys.argv.pop(1); home in sys.path or sys.path.insert(0, home); "
    "from jobd.cli.demo_daemon import main; main()"
)
"""The jobd that runs here, whatever modules lie in the working directory."""


def main() -> None:
    """In the child: be `jobd` with these arguments, until the demo ends, however it does."""
    _end_with_the_demo()
    from jobd.cli.main import main as jobd

    raise SystemExit(jobd())


def _end_with_the_demo() -> None:
    """Have the kernel send SIGTERM once nobody holds the other end of standard input."""
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETSIG, signal.SIGTERM)
    fcntl.fcntl(0, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        os.read(0, 1)
        raise SystemExit(0)  # it had gone before


@dataclass
class Deaths:
    """How often the daemon was killed with SIGKILL: by its job, which is to, and by others."""

    by_job: int = 0
    by_others: int = 0

    @property
    def number(self) -> int:
        return self.by_job + self.by_others

    def count(self, by_job: bool) -> None:
        self.by_job += by_job
        self.by_others += not by_job


class DemoDaemon:
    """The daemon from its demo's side: starting it, knowing how it ended, ending it."""

    def __init__(self, directory: Path, workers: int, signals: Signals) -> None:
        self._directory = directory
        self._log = directory / "jobd.log"
        self._workers = workers
        self._signals = signals
        self._process: subprocess.Popen[bytes] | None = None
        self.deaths = Deaths()

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def status(self) -> int | None:
        return self._process.poll() if self._process else None

    def start(self) -> int:
        """The same command that a person would type; returns its pid."""
        self._let_go()
        own_settings = {name: value for name, value in os.environ.items()
                        if not name.startswith("JOBD_")}
        argv = [sys.executable, "-P", "-c", _BEGIN, str(OUR_HOME),
                "--config", str(self._directory / "jobd.toml"),
                "--db", str(self._directory / "jobd.db"),
                "run", "--handlers", "jobd.cli.demo_handlers", "--path", str(self._directory),
                "--workers", str(self._workers)]
        with self._log.open("ab") as log, self._signals.noted():
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=log, stderr=log, env=own_settings,
                cwd=self._directory, start_new_session=True,
            )
        return self._process.pid

    def has_ended(self) -> bool:
        return self.status is not None

    def why_ended(self) -> str:
        """A sentence about a daemon that ended and should not have."""
        if self.status in STOPPED:
            return (f"somebody stopped the demo's daemon (pid {self.pid}); what is there stays in "
                    f"{self._directory}")
        status = self.status or 0
        how = f"died by {signal.Signals(-status).name}" if status < 0 else \
            f"ended with status {status}"
        return f"the daemon {how}; its log is {self._log}, and ends with\n{self._last_words()}"

    def _last_words(self) -> str:
        line = self._log.read_text(errors="replace").strip().rpartition("\n")[2]
        event = read_event(line)
        return line.removeprefix("jobd: ") if event is None else sentence(event)

    def stop(self) -> None:
        """Whatever signals come meanwhile, it is gone after this."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._wait(self._process)
        self._let_go()

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        """Until it is gone; each further signal is handed on, and shortens the waiting."""
        handed_on, deadline = len(self._signals.arrived), clock.monotonic() + LONGEST_STOP
        while process.poll() is None and clock.monotonic() < deadline:
            if len(self._signals.arrived) > handed_on:
                handed_on = len(self._signals.arrived)
                process.terminate()
                deadline = min(deadline, clock.monotonic() + LONGEST_HURRY)
            clock.pause(LOOK_EVERY)
        process.kill()
        process.wait()

    def _let_go(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
