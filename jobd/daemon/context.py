"""`current_job()` for a handler in a thread: the attempt as its handler sees it."""

import json
import math
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobd import errors
from jobd.core.config import Config
from jobd.core.job import Stopped
from jobd.core.new_job import new_job
from jobd.core.payload import clean_text, encode
from jobd.daemon.attempt import Attempt, Stopping
from jobd.daemon.children import ended_child
from jobd.daemon.kept_output import KeptOutput
from jobd.daemon.program import Belonging
from jobd.log import Write, logger
from jobd.store.attempt_files import open_handler_stream

OUTPUT_KEPT = 1 << 20


@dataclass(eq=False)
class Checkpoint:
    """A state on its way to the disk; `saved` is set when it is there, or never will be."""

    attempt: Attempt
    state: str
    saved: threading.Event = field(default_factory=threading.Event)
    refusal: str | None = None

    def answer(self, *, kept: bool) -> None:
        """Let the handler go on."""
        if not kept:
            self.refusal = "this attempt is not the current one any more"
        self.saved.set()


@dataclass(frozen=True)
class Surroundings:
    """What a running attempt may ask of its daemon."""

    now_ms: Callable[[], int]
    save: Callable[[Checkpoint], None]
    bind_log: Callable[[Attempt, Write], Any]
    config: Callable[[], Config]
    database: Path
    owner: str


_making = threading.RLock()


class JobContext:
    """Implements core.current.CurrentJob over an Attempt."""

    _log: Any = None
    _output: KeptOutput | None = None
    _over = False

    def __init__(self, attempt: Attempt, surroundings: Surroundings) -> None:
        self._attempt = attempt
        self._surroundings = surroundings

    # Read when somebody asks: to copy them for every job takes longer than to make the context.

    @property
    def id(self) -> int:
        return self._attempt.job.id

    @property
    def attempt(self) -> int:
        return self._attempt.job.attempt

    @property
    def retry_count(self) -> int:
        return self._attempt.job.retry_count

    @property
    def job_type(self) -> str:
        return self._attempt.job.job_type

    @property
    def queue(self) -> str:
        return self._attempt.job.queue

    @property
    def stopping(self) -> Stopping:
        return self._attempt.stopping

    def _belonging(self) -> Belonging:
        where = self._surroundings
        return Belonging(where.database, where.owner, self.id, self.attempt)

    @property
    def log(self) -> Any:
        if self._log is None:
            self._log = self._surroundings.bind_log(self._attempt, self._keep_line)
        return self._log

    def keep(self, stream: str, data: bytes, *, flush: bool = False) -> None:
        """Keep what the handler wrote to this stream; any of its threads may call.

        It stands in the file when its line is complete, or at once with `flush`.
        """
        output = self._output or self._new_output()
        output.keep(stream, data, flush=flush)

    def end_output(self) -> None:
        """Nothing is kept from now on; say how much could not be."""
        if self._over:
            return
        self._over = True
        if self._output is not None:
            self._output.end()
            count, error = self._output.dropped
            if count:
                self.tell_dropped(count, error)

    def tell_dropped(self, count: int, error: str) -> None:
        """Log that so many bytes of its output could not be kept."""
        logger().warning(
            "job.output_dropped", job_id=self.id, job_type=self.job_type, queue=self.queue,
            attempt=self.attempt, worker=self._attempt.worker, bytes=count, error=error,
        )

    def _keep_line(self, line: str) -> None:
        self.keep("stderr", line.encode("utf-8", "backslashreplace"))

    def _new_output(self) -> KeptOutput:
        where = self._surroundings
        with _making:
            output = self._output = self._output or KeptOutput(
                lambda name: open_handler_stream(where.database, self.id, self.attempt, name),
                lambda: where.config().commands.max_output,
            )
        # Either the end has seen it there, or we see here that the end has been.
        if self._over:
            output.end()
        return output

    @property
    def last_checkpoint(self) -> Any:
        state = self._attempt.checkpoint
        return None if state is None else json.loads(state)

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        numbers = (float(done), None if total is None else float(total))
        if not all(each is None or math.isfinite(each) for each in numbers):
            raise errors.BadInput(f"progress({done!r}, {total!r}): neither may be infinite or NaN")
        self._attempt.progress = (*numbers, clean_text(str(message), 500))
        self._attempt.progress_is_new = True

    def checkpoint(self, state: Any) -> None:
        text = encode(state, self._surroundings.config().limits.max_payload, "checkpoint")
        request = Checkpoint(self._attempt, text)
        self._surroundings.save(request)
        request.saved.wait()
        if request.refusal is not None:
            raise errors.Refused(request.refusal)
        self._attempt.checkpoint = text

    def check(self) -> None:
        if self.stopping.is_set():
            raise Stopped(self.stopping.reason)

    def sleep(self, seconds: float) -> None:
        if self.stopping.wait(seconds):
            raise Stopped(self.stopping.reason)

    def enqueue(
        self, job_type: str, payload: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        now = self._surroundings.now_ms()
        max_payload = self._surroundings.config().limits.max_payload
        made = new_job(job_type, payload, options, now, max_payload)
        self._attempt.enqueue(made)

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program in a session of its own and wait for it.

        Its output comes back as bytes, the last 1 MiB of each stream. `env` is added to the
        daemon's environment.

        Raises:
            Stopped: the attempt was told to stop; the program's group got SIGTERM, and SIGKILL
                after `kill_grace`.
            subprocess.CalledProcessError: it failed, and `check` is true.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            kill_grace = self._surroundings.config().timing.kill_grace
            returncode = ended_child(
                argv, cwd, env, out, err, self.stopping, kill_grace, self._belonging()
            )
            output, error = _tail(out), _tail(err)
        self.check()
        done = subprocess.CompletedProcess(list(argv), returncode, output, error)
        if check:
            done.check_returncode()
        return done


def _tail(stream: Any) -> bytes:
    size = stream.seek(0, 2)
    stream.seek(max(0, size - OUTPUT_KEPT))
    found: bytes = stream.read()
    return found
