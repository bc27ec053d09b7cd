"""One claimed attempt while it is in this process: its deadline, its stop, what it reports."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jobd.core.job import Ending, Isolation, Job, StopReason
from jobd.core.new_job import NewJob
from jobd.core.registry import Handler


class Stopping:
    """Set once, when the attempt is told to stop; `reason` says why. Never cleared.

    An event is made only for those who wait: it takes longer than a short job.
    """

    __slots__ = ("_event", "_reason")

    def __init__(self) -> None:
        self._event: threading.Event | None = None
        self._reason: StopReason | None = None

    @property
    def reason(self) -> StopReason | None:
        return self._reason

    def is_set(self) -> bool:
        return self._reason is not None

    def wait(self, timeout: float | None = None) -> bool:
        with _making:
            event = self._event = self._event or threading.Event()
        # Whoever sets it meanwhile gives the reason first, and then looks for the event.
        return self._reason is not None or event.wait(timeout)

    def set(self, reason: StopReason) -> None:
        self._reason = self._reason or reason
        with _making:
            event = self._event
        if event is not None:
            event.set()


_making = threading.Lock()


class Attempt:
    """The dispatcher makes it, a worker takes it, the sweep judges it, the dispatcher ends it.

    Seconds are on the running clock of this process, milliseconds on the wall clock. Whoever runs
    it somewhere else than in its worker's thread sets `inform`, called whenever it is told to stop,
    and `interrupt`, called when it must end; both may be called by any thread, more than once, and
    return at once. It is `killable` when SIGKILL ends it.
    """

    # Most attempts end without any of these: as the class's own they cost a short job nothing.
    worker = ""
    thread_id: int | None = None
    started_at: int | None = None
    started: float | None = None
    told_at: float | None = None
    timed_out = False
    zombie_since: float | None = None
    parked = False
    ended = False
    progress: tuple[float, float | None, str] | None = None
    progress_is_new = False
    progressed_at: float | None = None
    """When the sweep last saw a new report of progress."""
    checkpoint: str | None = None
    killable = False
    inform: Callable[[], object] | None = None
    interrupt: Callable[[], object] | None = None
    coroutine: Any = None
    output: tuple[Path, ...] = ()
    unkillable: Sequence[int] = ()
    enqueued: Sequence[NewJob] = ()
    _stopping: Stopping | None = None

    def __init__(
        self,
        job: Job,
        handler: Handler,
        timeout: float | None,
        handed_at: float,
        isolation: str = Isolation.THREAD,
        claimed_at: int = 0,
    ) -> None:
        self.job = job
        self.handler = handler
        self.isolation = isolation
        self.timeout = timeout
        self.handed_at = handed_at
        self.claimed_at = claimed_at

    # One dictionary's `setdefault` is atomic: whoever asks first makes what all of them get.

    @property
    def stopping(self) -> Stopping:
        """Whether and why it was told to stop."""
        found: Stopping = self._stopping or self.__dict__.setdefault("_stopping", Stopping())
        return found

    def enqueue(self, made: NewJob) -> None:
        """Put in one more job together with its completion."""
        self.__dict__.setdefault("enqueued", []).append(made)

    def begin(self, worker: str, thread_id: int, now_ms: int, running: float) -> None:
        """Called by the worker that took it, just before the handler."""
        self.worker = worker
        self.thread_id = thread_id
        self.started_at = now_ms
        self.started = running

    def overdue(self, running: float) -> bool:
        """Whether the deadline has passed and no verdict was given yet."""
        started, timeout = self.started, self.timeout
        if started is None or timeout is None or self.timed_out or self.ended:
            return False
        return running - started >= timeout

    def tell_to_stop(self, reason: StopReason, running: float) -> None:
        """Set `stopping`, and interrupt it unless the daemon only asks politely (stop)."""
        if self.told_at is None or self.stopping.reason is StopReason.STOP:
            self.told_at = running
        self.stopping.set(reason)
        if (inform := self.inform) is not None:
            inform()
        if reason is not StopReason.STOP:
            self.cut_short()

    def interruptible_by(self, interrupt: Callable[[], object]) -> None:
        """From now on `interrupt` ends it early; at once when it was told to stop meanwhile."""
        self.interrupt = interrupt
        if self.stopping.is_set() and self.stopping.reason is not StopReason.STOP:
            interrupt()

    def cut_short(self) -> None:
        """Interrupt it where that can be done: a coroutine, a process; not a plain thread."""
        if (interrupt := self.interrupt) is not None:
            interrupt()


class Ended(NamedTuple):
    """What a worker reports: this attempt is over, and how it ended."""

    attempt: Attempt
    ending: Ending
    duration: float
