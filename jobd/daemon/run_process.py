"""Running handlers in a child process that the worker's thread owns and can kill."""

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict

from jobd import clock
from jobd.core.classify import classify, classify_exit
from jobd.core.config import Config
from jobd.core.job import EndedEarly, Ending, Failed, Failure, Succeeded
from jobd.core.lifecycle import FailureType
from jobd.core.payload import clean_text
from jobd.daemon.attempt import Attempt
from jobd.daemon.child_process import ChildProcess
from jobd.daemon.context import Checkpoint, JobContext, Surroundings
from jobd.daemon.errand import Errand
from jobd.daemon.frames import Frame, from_frame
from jobd.daemon.survivors import end_left, left_of, marker
from jobd.log import logger
from jobd.store.attempt_files import attempt_directory

READY_WITHIN = 60.0
TRY_AGAIN = 1.0
PROGRAMS_TAKE = 0.5
LONGEST_MESSAGE = 2_000
_HEAD = frozenset({"timestamp", "level", "event", "v", "message"})


class ForwardedCheckpoint(Checkpoint):
    """A state that a child process wants to be saved, and how it learns that it was."""

    def __init__(
        self, attempt: Attempt, state: str, reply: Callable[[str | None], object]
    ) -> None:
        super().__init__(attempt, state)
        self._reply = reply

    def answer(self, *, kept: bool) -> None:
        super().answer(kept=kept)
        self._reply(self.refusal)


class ProcessRunner:
    """Runs attempts one after another in a child, which is started when needed and replaced."""

    def __init__(self, surroundings: Surroundings, running: Callable[[], float]) -> None:
        self._surroundings = surroundings
        self._running = running
        self._child: ChildProcess | None = None

    def run(self, attempt: Attempt, context: JobContext) -> Ending:
        """Let the child run it; whatever becomes of the child comes back as an ending."""
        attempt.killable, attempt.thread_id = True, None
        context.end_output()  # the child keeps it
        try:
            child = self._usable_child()
        except OSError as error:
            text = f"its process could not be started: {error}"
            return Failed(Failure(classify(error, {}), text))
        # The child must live to end the programs of `run()` itself, so it has a little longer.
        grace = self._surroundings.config().timing.kill_grace + PROGRAMS_TAKE
        errand = Errand(attempt, context, child, grace)
        ending = self._through(errand)
        if errand.may_leave:
            self._end_left(errand)
        if self._child is not None and self._child.worn:
            self._replace(self._child, attempt)
        return ending

    def close(self) -> None:
        if self._child is not None:
            self._child.dismiss()

    def _through(self, errand: Errand) -> Ending:
        errand.begin()
        try:
            ending = self._get_ready(errand) or self._served(errand)
        except _Gone:
            errand.finish()
            return self._death(errand)
        except Exception as error:  # noqa: BLE001 - a handler may write anything to our sockets
            errand.child.is_spent = errand.may_leave = True
            text = f"its process said what makes no sense: {type(error).__name__}: {error}"
            ending = _system(clean_text(text, LONGEST_MESSAGE))
        errand.finish()
        if errand.child.is_spent:
            self._bury(dying=False)
        return ending

    # The child.

    def _usable_child(self) -> ChildProcess:
        if self._child is not None and self._child.has_gone:
            self._bury(dying=True)
        if self._child is None:
            self._child = self._new_child()
        return self._child

    def _new_child(self) -> ChildProcess:
        where, config = self._surroundings, self._surroundings.config()
        child = ChildProcess(where.owner)
        child.settings = config
        path = [str(directory) for directory in sys.path]
        child.send_work(
            str(where.database), where.owner, path, config.pool.handlers, _settings(config)
        )
        return child

    def _replace(self, child: ChildProcess, attempt: Attempt) -> None:
        """What its job leaked goes with it."""
        job = attempt.job
        logger().warning("worker.child_replaced", worker=attempt.worker, job_id=job.id,
                         job_type=job.job_type, queue=job.queue, attempt=job.attempt,
                         reason=child.worn)
        child.dismiss()
        self._child = None

    def _bury(self, *, dying: bool) -> int | None:
        child, self._child = self._child, None
        return child.bury(dying=dying) if child is not None else None

    def _get_ready(self, errand: Errand) -> Ending | None:
        """Wait until the child has imported the handlers; an ending when it cannot run them.

        Nothing of the attempt has begun: its deadline does not run yet, and when it is told to
        stop the child goes on importing, for the next one.
        """
        attempt, child = errand.attempt, errand.child
        if child.is_ready:
            return None
        attempt.started = None
        try:
            while not attempt.stopping.is_set():
                for frame in self._heard(errand):
                    return self._first_word(errand, frame)
                if clock.monotonic() - child.started > READY_WITHIN:
                    child.is_spent = True
                    return _configuration(f"the handlers did not import within {READY_WITHIN:g} s")
            return EndedEarly(attempt.stopping.reason)
        finally:
            attempt.started = self._running()

    def _first_word(self, errand: Errand, frame: Frame) -> Ending | None:
        errand.child.is_ready = frame == ["ready"]
        return None if errand.child.is_ready else self._ending(errand, frame)

    def _served(self, errand: Errand) -> Ending:
        attempt, child = errand.attempt, errand.child
        if not errand.hand_over():
            return EndedEarly(attempt.stopping.reason)
        job, config = attempt.job, self._surroundings.config()
        settings = None if config is child.settings else _settings(config)
        child.settings = config
        child.send_work(
            errand.number,
            (job.id, job.attempt, job.job_type, job.queue, job.payload, job.retry_count),
            attempt.checkpoint,
            self._mark(attempt),
            settings,
        )
        while True:
            for frame in self._heard(errand):
                return self._ending(errand, frame)

    def _heard(self, errand: Errand) -> list[Frame]:
        """Wait a little; what the child said on the work socket, after it was heard on the other.

        Raises:
            _Gone: it has ended, or it has to.
        """
        child = errand.child
        errand.wait()
        frames = list(child.work.arrived())
        # What it reported before its ending has arrived before its ending, so it is read now.
        for frame in child.control.arrived():
            self._heed(errand, frame)
        if not frames and (child.has_gone or errand.is_overdue()):
            raise _Gone
        return frames

    def _ending(self, errand: Errand, frame: Frame) -> Ending:
        attempt = errand.attempt
        leaves, errand.may_leave, worn, said = frame
        errand.child.is_spent = leaves
        errand.child.worn = worn
        ending = from_frame(said, attempt.stopping.reason)
        if isinstance(ending, Succeeded):
            attempt.enqueued = ending.enqueued
        if leaves and isinstance(ending, EndedEarly) and errand.kill_at is None:
            return _system("its process got a SIGTERM that was not jobd's")
        return ending

    # What the child reports meanwhile.

    def _heed(self, errand: Errand, frame: Frame) -> None:
        """A frame of an attempt that is over comes from a thread that it left behind."""
        current = errand.number == frame[1]
        match frame:
            case ["log", _, line] if current:
                _log(errand.context, line)
            case ["output_dropped", _, count, error] if current:
                errand.context.tell_dropped(count, error)
            case ["progress", _, [done, total, message]] if current:
                errand.context.progress(done, total, message)
                errand.ask_for_progress_later()
            case ["checkpoint", _, number, state]:
                self._save(errand, number, state, current=current)

    def _save(self, errand: Errand, number: int, state: str, *, current: bool) -> None:
        child = errand.child
        forwarded = ForwardedCheckpoint(
            errand.attempt, state, lambda refusal: child.tell("saved", number, refusal)
        )
        if current:
            self._surroundings.save(forwarded)
        else:
            forwarded.answer(kept=False)

    # The end of the child.

    def _death(self, errand: Errand) -> Ending:
        """Reap it, and say what its death comes to."""
        errand.may_leave = bool(errand.number)
        status = self._bury(dying=not errand.is_overdue())
        if errand.kill_at is not None:
            return EndedEarly(errand.attempt.stopping.reason)
        when = "" if errand.number else " while it imported the handlers"
        if status is None:
            return _system(f"its process closed its connection to jobd{when}")
        if status >= 0:
            return _system(f"its process ended with exit status {status}{when}")
        text = f"its process was killed by {_signal_name(-status)}{when}"
        return Failed(Failure(classify_exit(status), text))

    def _mark(self, attempt: Attempt) -> str:
        return marker(self._surroundings.owner, attempt.job.id, attempt.job.attempt)

    def _end_left(self, errand: Errand) -> None:
        """End the programs that it started; until none is left, this thread waits."""
        attempt, mark = errand.attempt, self._mark(errand.attempt)
        job = attempt.job
        directory = attempt_directory(self._surroundings.database, job.id, job.attempt)
        grace = self._surroundings.config().timing.kill_grace
        if errand.kill_at is not None:
            grace = max(0.0, errand.kill_at - clock.monotonic())
        while left := end_left(lambda: left_of(directory, mark), grace, clock.pause):
            attempt.unkillable = left.pids
            clock.pause(TRY_AGAIN)


class _Gone(Exception):
    """The child has ended, or closed its sockets, or is to be killed."""


def _settings(config: Config) -> Frame:
    """What a child needs of the configuration."""
    table = {name: failure_type.value for name, failure_type in config.classify.items()}
    worn = [config.pool.max_threads, config.pool.max_open_files]
    return [config.log.level, config.timing.kill_grace, table, asdict(config.limits), worn,
            config.commands.max_output]


def _log(context: JobContext, line: str) -> None:
    """Log what the handler logged, so that its line is as that of any handler."""
    said = json.loads(line)
    text = said["message"] if said["event"] == "job.logged" else said["event"]
    own = {key: value for key, value in said.items() if key not in _HEAD}
    getattr(context.log, said["level"])(text, **own)


def _configuration(text: str) -> Failed:
    return Failed(Failure(FailureType.CONFIGURATION, text))


def _system(text: str) -> Failed:
    return Failed(Failure(FailureType.SYSTEM, text))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
