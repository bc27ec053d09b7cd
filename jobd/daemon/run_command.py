"""Running a command job, and turning the way its program went into an ending."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

from jobd import clock, errors
from jobd.core.classify import classify, classify_exit
from jobd.core.command import Command, command_from
from jobd.core.config import Config
from jobd.core.job import EndedEarly, Ending, Failed, Failure, Succeeded
from jobd.core.lifecycle import FailureType
from jobd.core.payload import clean_text
from jobd.daemon.attempt import Attempt
from jobd.daemon.context import JobContext
from jobd.daemon.left_behind import LeftBehind
from jobd.daemon.program import (
    Belonging,
    Program,
    Stopper,
    allowed_environment,
    find_program,
)
from jobd.store.attempt_files import STREAMS, cut, open_stream

LAST_WORDS = 400
TRY_AGAIN = 1.0


class CommandRunner:
    """Runs programs one after another; `owner` is the daemon's id."""

    def __init__(
        self,
        database: Path,
        owner: str,
        config: Callable[[], Config],
        left_behind: LeftBehind,
    ) -> None:
        self._database = database
        self._owner = owner
        self._config = config
        self._left_behind = left_behind

    def run(self, attempt: Attempt, _context: JobContext) -> Ending:
        """Start the program, wait for its end and for the end of what it left behind."""
        belonging = Belonging(self._database, self._owner, attempt.job.id, attempt.job.attempt)
        try:
            command = command_from(attempt.job.payload)
            program = self._start(command, belonging)
        except errors.BadInput as error:
            return Failed(Failure(FailureType.VALIDATION, str(error)))
        except OSError as error:
            return Failed(_not_started(error))
        return self._watch(attempt, command, belonging, program)

    def close(self) -> None:
        """Nothing outlives an attempt."""

    def _start(self, command: Command, belonging: Belonging) -> Program:
        commands = self._config().commands
        program = find_program(command.argv[0], commands.path)
        directory = belonging.directory()
        opened = [_open_input(command.stdin or os.devnull)]
        try:
            opened += [open_stream(directory / name).descriptor for name in STREAMS]
            stdin, stdout, stderr = opened
            for stream in (stdout, stderr):
                # What stands there is of another database that had this name, and these ids.
                os.ftruncate(stream, 0)
            return Program(
                [program, *command.argv[1:]],
                belonging,
                cwd=command.cwd,
                env=allowed_environment(os.environ, commands, command.env),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                exempt=command.leave_children,
            )
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _watch(
        self, attempt: Attempt, command: Command, belonging: Belonging, program: Program
    ) -> Ending:
        directory = belonging.directory()
        attempt.output = tuple(directory / name for name in STREAMS)
        attempt.killable = True
        stopper = Stopper(program, self._config().timing.kill_grace)
        attempt.interruptible_by(stopper)
        status = program.wait()
        attempt.interrupt = None
        stopper.finish()
        accepted = status in command.exit_codes and not stopper.was_called
        if accepted:
            # It ended by itself and well: what it left is let be, and told.
            self._left_behind.add(attempt, belonging.mark)
        else:
            self._end_left(attempt, program)
        program.reap()
        if accepted:
            ending: Ending = Succeeded(json.dumps({"exit_status": status}))
        elif stopper.was_called:
            ending = EndedEarly(attempt.stopping.reason)
        else:
            ending = Failed(_failure(status, attempt.output[1]))
        for path in attempt.output:
            cut(path, self._config().commands.max_output)
        return ending

    def _end_left(self, attempt: Attempt, program: Program) -> None:
        """The attempt is over when nothing of it is left; until then this thread waits."""
        while left := program.end_left(self._config().timing.kill_grace):
            attempt.unkillable = left.pids
            if attempt.told_at is None:
                attempt.told_at = 0.0  # long ago: the sweep may call it a zombie
            clock.pause(TRY_AGAIN)


def _open_input(path: str) -> int:
    """Standard input; a FIFO without a writer must not hold up the worker, so it is empty."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


def _not_started(error: OSError) -> Failure:
    """No retry finds a program that is not there; a full process table may have room later."""
    wrong = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
    noexec = error.errno == 8
    failure_type = (
        FailureType.CONFIGURATION if isinstance(error, wrong) or noexec else classify(error, {})
    )
    if error.errno == 7:
        failure_type = FailureType.VALIDATION
    name = os.fsdecode(error.filename) if error.filename else "the program"
    why = error.strerror
    if isinstance(error, FileNotFoundError) and os.path.isfile(name):
        why = "the interpreter that its first line names does not exist"
    return Failure(failure_type, clean_text(f"cannot start {name}: {why}"))


def _failure(status: int, stderr: Path) -> Failure:
    words = _last_words(stderr)
    said = f": {words}" if words else ""
    how = f"killed by {_signal_name(-status)}" if status < 0 else f"exited with {status}"
    return Failure(classify_exit(status), f"{how}{said}", exit_status=status)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_words(stderr: Path) -> str:
    """The last line that the program wrote to its standard error."""
    try:
        with stderr.open("rb") as file:
            file.seek(max(0, stderr.stat().st_size - LAST_WORDS))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return clean_text(lines[-1], LAST_WORDS) if lines else ""


