"""The child process of a worker: it runs handlers as a thread would, and can be killed.

Its main thread takes jobs from the work socket and answers with their endings, so that handing one
over costs no change of threads.
"""

import faulthandler
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from jobd import clock
from jobd.core.config import Config, Pool, Timing
from jobd.core.job import (
    EndedEarly,
    Ending,
    Failed,
    Failure,
    Isolation,
    Job,
    Snoozed,
    Stopped,
    StopReason,
    Succeeded,
)
from jobd.core.lifecycle import FailureType
from jobd.core.payload import clean_text
from jobd.core.registry import Handler
from jobd.core.sections import Commands, Limits
from jobd.daemon.attempt import Attempt
from jobd.daemon.census import worn
from jobd.daemon.context import JobContext, Surroundings
from jobd.daemon.control import Control
from jobd.daemon.frames import Frame, Frames, as_frame
from jobd.daemon.handlers import load_handlers
from jobd.daemon.interruption import Interruption
from jobd.daemon.offspring import has_children, reaped
from jobd.daemon.process_state import Home
from jobd.daemon.run_python import PythonRunner
from jobd.daemon.standard_streams import share_streams
from jobd.daemon.survivors import MARKER, OWNER
from jobd.errors import HandlersError
from jobd.log import configure, job_logger

LONGEST_MESSAGE = 2_000
NOT_HEARD = 10.0


class IsolatedContext(JobContext):
    """`current_job()` in a process of its own."""

    def __init__(
        self,
        attempt: Attempt,
        surroundings: Surroundings,
        control: Control,
        interruption: Interruption,
    ) -> None:
        super().__init__(attempt, surroundings)
        self._control = control
        self._interruption = interruption

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        super().progress(done, total, message)
        self._control.report_progress()

    def check(self) -> None:
        with self._interruption.instead():
            super().check()

    def sleep(self, seconds: float) -> None:
        with self._interruption.instead():
            super().sleep(seconds)

    def keep(self, stream: str, data: bytes, *, flush: bool = False) -> None:
        with self._interruption.held():
            super().keep(stream, data, flush=flush)

    def tell_dropped(self, count: int, error: str) -> None:
        self._control.tell_dropped(count, error)

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> CompletedProcess[bytes]:
        # `stopping` ends the program, and nothing may come between that and its end.
        with self._interruption.held():
            return super().run(argv, cwd=cwd, env=env, check=check)


class IsolatedProcess:
    """What one child process holds on to, and its loop."""

    def __init__(self, work: Frames, control: Frames) -> None:
        self._work = work
        self._interruption = Interruption()
        self._control = Control(control, self._interruption)
        self._config = Config()
        self._home = Home()
        self._streams = sys.stdout, sys.stderr
        self._runner = PythonRunner(lambda: self._config)
        self._handlers: Mapping[str, Handler] = {}
        self._surroundings: Surroundings

    def serve(self) -> None:
        """Import the handlers, then run what comes until it is told to end, or its daemon ends."""
        self._interruption.listen()
        self._control.start()
        frame = self._work.receive()
        if frame is None or not self._make_ready(*frame):
            return
        self._work.send("ready")
        while (job := self._next_job()) is not None:
            before = reaped()
            self._answer(self._run(*job), before)

    def _make_ready(
        self, database: str, owner: str, path: list[str], modules: list[str], settings: Frame
    ) -> bool:
        """Whether the handlers could be imported; the daemon learns why not."""
        self._take_settings(*settings)
        self._surroundings = Surroundings(
            clock.now_ms, self._control.save, lambda _, keep: job_logger({}, keep),
            lambda: self._config, Path(database), owner,
        )
        sys.path[:] = path
        try:
            self._handlers = load_handlers(modules, ())
            self._streams = sys.stdout, sys.stderr
        except HandlersError as error:
            self._work.send(True, False, None, as_frame(_not_imported(error)))
            return False
        return True

    def _take_settings(
        self, level: str, kill_grace: float, classify: dict[str, str], limits: dict[str, int],
        worn: tuple[int, float], max_output: int,
    ) -> None:
        self._config = Config(
            pool=Pool(max_threads=worn[0], max_open_files=worn[1]),
            timing=Timing(kill_grace=kill_grace),
            classify={name: FailureType(value) for name, value in classify.items()},
            limits=Limits(**limits),
            commands=Commands(max_output=max_output),
        )
        configure(level, self._control.write_line)

    def _answer(self, ending: Ending, reaped_before: int) -> None:
        good = isinstance(ending, Succeeded | Snoozed)
        may_leave = not good and (reaped() != reaped_before or has_children())
        try:
            pool = self._config.pool
            self._work.send(self._interruption.pending, may_leave,
                            worn(pool.max_threads, pool.max_open_files), as_frame(ending))
        except OSError:
            # The handler closed the socket: who is not heard is killed, which says why.
            clock.pause(NOT_HEARD)

    def _next_job(self) -> Frame | None:
        with self._interruption.idle():
            return self._work.receive()

    def _run(
        self, number: int, job: list[Any], checkpoint: str | None, mark: str, settings: Frame | None
    ) -> Ending:
        if settings is not None:
            self._take_settings(*settings)
        handler = self._handlers.get(job[2])
        if handler is None:
            return Failed(Failure(
                FailureType.CONFIGURATION,
                f"importing the handlers in a process of its own does not register {job[2]!r}",
            ))
        attempt = Attempt(_job(*job), handler, None, 0.0, Isolation.PROCESS)
        attempt.checkpoint = checkpoint
        self._tidy(attempt.job, mark)
        self._control.begin(number, attempt)
        try:
            return self._call(attempt)
        except Stopped:
            return EndedEarly(attempt.stopping.reason)
        finally:
            self._control.end()

    def _call(self, attempt: Attempt) -> Ending:
        context = IsolatedContext(attempt, self._surroundings, self._control, self._interruption)
        try:
            with self._interruption.allowed(attempt):
                if attempt.stopping.reason not in (None, StopReason.STOP):
                    raise Stopped
                return self._runner.run(attempt, context)
        finally:
            context.end_output()

    def _tidy(self, job: Job, mark: str) -> None:
        """Undo what the last handler may have changed; mark what this one's programs inherit."""
        self._interruption.listen()
        sys.stdout, sys.stderr = self._streams
        self._home.restore({MARKER: mark, "JOBD_JOB_ID": str(job.id)})


def main() -> None:
    """The whole process; its arguments are the descriptors of the two sockets."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    faulthandler.enable()
    share_streams()
    # It marks this process alone; the programs of an attempt carry the attempt's mark.
    os.environ.pop(OWNER, None)
    work, control = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    for end in (work, control):
        end.set_inheritable(False)
    # Its daemon may die at any moment, and then there is nobody left to tell.
    with suppress(ConnectionError):
        IsolatedProcess(Frames(work), Frames(control)).serve()
    os._exit(0)


def _job(
    job_id: int, attempt: int, job_type: str, queue: str, payload: str, retry_count: int
) -> Job:
    return Job(job_id, attempt, job_type, queue, payload, 0, retry_count, 0)


def _not_imported(error: HandlersError) -> Failed:
    message, _, traceback = str(error).partition("\n")
    return Failed(Failure(
        FailureType.CONFIGURATION,
        clean_text(message, LONGEST_MESSAGE),
        clean_text(traceback) if traceback else None,
    ))
