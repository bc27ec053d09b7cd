"""`current_job()`: what a handler may know and ask while it runs."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from subprocess import CompletedProcess
from typing import Any, Protocol


class Stopping(Protocol):
    """Set once when the attempt is told to stop."""

    @property
    def reason(self) -> str | None:
        """Why: "stop", "timeout", "cancel" or "release"; None while nothing asked."""

    def is_set(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> bool: ...


class CurrentJob(Protocol):
    """The attempt that runs in this thread."""

    @property
    def id(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def job_type(self) -> str: ...
    @property
    def queue(self) -> str: ...
    @property
    def retry_count(self) -> int:
        """Retries used up by failures so far: 0 until the first one."""

    @property
    def log(self) -> Any:
        """A structlog logger that carries job_id, job_type, queue, attempt and worker."""

    @property
    def stopping(self) -> Stopping:
        """Whether and why the attempt was told to stop."""

    @property
    def last_checkpoint(self) -> Any:
        """What an earlier attempt (or this one) last saved; None when nothing."""

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far it is; cheap, and only the latest is kept."""

    def checkpoint(self, state: Any) -> None:
        """Save `state` (JSON) for the next attempt; returns when it is on disk."""

    def check(self) -> None:
        """Raise `Stopped` when the attempt was told to stop."""

    def sleep(self, seconds: float) -> None:
        """Sleep, but raise `Stopped` as soon as the attempt is told to stop."""

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> CompletedProcess[bytes]:
        """Run a program as part of this attempt; it is ended when the attempt is told to stop."""

    def enqueue(
        self, job_type: str, payload: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        """Enqueue a job together with this one's completion, or not at all."""


_current: ContextVar[CurrentJob | None] = ContextVar("jobd_current_job", default=None)


def current_job() -> CurrentJob:
    """The job that this thread (or task) runs.

    Raises:
        LookupError: no job runs here.
    """
    found = job_here()
    if found is None:
        raise LookupError("no job runs here: current_job() works inside a handler")
    return found


def job_here() -> CurrentJob | None:
    """The job that this thread (or task) runs; None when it runs none."""
    return _current.get()


def call_as(job: CurrentJob, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call `function(*arguments)` with `job` as the current one."""
    token = _current.set(job)
    try:
        return function(*arguments)
    finally:
        _current.reset(token)
