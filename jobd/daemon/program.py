"""Starting a program that belongs to an attempt, and being sure when nothing of it is left."""

import fnmatch
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

from jobd import clock
from jobd.core.sections import Commands
from jobd.daemon.survivors import MARKER, Left, end_left, group_of, left_of, marker
from jobd.daemon.systemd import is_private
from jobd.store.attempt_files import make_directory, take_lock


@dataclass(frozen=True, slots=True)
class Belonging:
    """Which attempt a process belongs to: by its marker, and by the lock in its directory."""

    database: Path
    owner: str
    job_id: int
    attempt: int

    @property
    def mark(self) -> str:
        return marker(self.owner, self.job_id, self.attempt)

    def directory(self) -> Path:
        """The attempt's directory, made when it is first needed."""
        return make_directory(self.database, self.job_id, self.attempt)

    def left(self) -> Left:
        """What is left of the attempt."""
        return left_of(self.directory(), self.mark)



class Program:
    """One running program, in a session and process group of its own.

    An `exempt` one carries neither marker nor lock: what it starts is let live on.

    Raises:
        OSError: it could not be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        belonging: Belonging,
        *,
        cwd: str | None,
        env: Mapping[str, str],
        stdin: int | IO[bytes],
        stdout: int | IO[bytes],
        stderr: int | IO[bytes],
        exempt: bool = False,
    ) -> None:
        self._belonging = belonging
        self._exempt = exempt
        marks = {} if exempt else {MARKER: belonging.mark}
        lock = take_lock(belonging.directory())
        try:
            self._process = subprocess.Popen(
                list(argv),
                cwd=cwd,
                env={**env, **marks, "JOBD_JOB_ID": str(belonging.job_id)},
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                pass_fds=() if exempt else (lock,),
            )
        finally:
            os.close(lock)

    def left(self) -> Left:
        """What is left: the attempt's processes and our group; when exempt, the program alone."""
        if self._exempt:
            return Left([] if self.has_ended() else [self._process.pid], False)
        left, group = self._belonging.left(), group_of(self._process.pid)
        # Until it is reaped, no other group can have its number.
        return Left(sorted({*left.pids, *group}), left.locked, self._process.pid)

    def end_left(self, kill_grace: float) -> Left:
        """Stop what is left; what could not be stopped."""
        return end_left(self.left, kill_grace, clock.pause)

    def has_ended(self) -> bool:
        """Whether `wait` would return at once."""
        options = os.WEXITED | os.WNOWAIT | os.WNOHANG
        return os.waitid(os.P_PID, self._process.pid, options) is not None

    def wait(self) -> int:
        """Until it has ended; its exit status, negative for a signal.

        It is not reaped yet, so that its pid, and its process group's, stay its own.
        """
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        if ended is None or ended.si_code == os.CLD_EXITED:
            return 0 if ended is None else ended.si_status
        return -ended.si_status

    def reap(self) -> None:
        """Let its pid go."""
        self._process.wait()


class Stopper:
    """Ends everything of an attempt once it is called, in a thread of its own, because that takes
    up to `kill_grace` and a second."""

    def __init__(self, program: Program, kill_grace: float) -> None:
        self._program = program
        self._kill_grace = kill_grace
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._finished = False

    def __call__(self) -> None:
        with self._lock:
            if self._thread is None and not self._finished:
                self._thread = threading.Thread(target=self._stop, name="stopper", daemon=True)
                self._thread.start()

    @property
    def was_called(self) -> bool:
        return self._thread is not None

    def finish(self) -> None:
        """Wait until it has done what it can; from now on a call does nothing."""
        with self._lock:
            self._finished = True
        if self._thread is not None:
            self._thread.join()

    def _stop(self) -> None:
        self._program.end_left(self._kill_grace)


def find_program(name: str, path: str) -> str:
    """The program's path: as given when it is absolute, else found on `path`.

    Raises:
        FileNotFoundError: it is not there.
    """
    if name.startswith("/"):
        return name
    found = None if "/" in name else shutil.which(name, path=path)
    if found is None:
        raise FileNotFoundError(2, f"no such program on {path}", name)
    return found


def allowed_environment(
    environment: Mapping[str, str], commands: Commands, added: Mapping[str, str]
) -> dict[str, str]:
    """The variables on the allow-list, the configured PATH, and what the job adds."""
    may_pass = _any_of(commands.environment)
    allowed = {
        name: value
        for name, value in environment.items()
        if may_pass(name) and not is_private(name)
    }
    return {**allowed, "PATH": commands.path, **added}


@lru_cache(maxsize=8)
def _any_of(patterns: tuple[str, ...]) -> Callable[[str], object]:
    """Whether a name fits one of the shell patterns, case and all."""
    nothing = r"(?!)"
    return re.compile("|".join((nothing, *map(fnmatch.translate, patterns)))).match


def inherited_environment(added: Mapping[str, str]) -> dict[str, str]:
    """All of ours but what systemd gave to the daemon alone, and what is added."""
    ours = {name: value for name, value in os.environ.items() if not is_private(name)}
    return {**ours, **added}
