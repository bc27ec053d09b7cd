"""JobWorker threads, and the pool that owns them."""

import queue
import threading
import traceback
from collections.abc import Callable, Sequence

from jobd import clock
from jobd.core.job import Ending, Failed, Failure
from jobd.core.lifecycle import FailureType
from jobd.daemon.attempt import Attempt, Ended
from jobd.daemon.context import JobContext, Surroundings
from jobd.daemon.inbox import Bell, Inbox
from jobd.daemon.run_python import message_of
from jobd.daemon.runners import Runners


class JobWorker:
    """One thread: take an attempt, run its handler, report how it ended, again.

    It never touches SQLite. When its attempt was abandoned as a zombie its place has been
    refilled, so it reports the late ending and goes.
    """

    def __init__(
        self,
        name: str,
        inbox: Inbox,
        report: Callable[[Ended], None],
        surroundings: Surroundings,
        running_at: Callable[[float], float],
        runners: Runners,
    ) -> None:
        self.name = name
        self.current: Attempt | None = None
        self.abandoned = False
        self._inbox = inbox
        self._report = report
        self._surroundings = surroundings
        self._running_at = running_at
        self._runners = runners
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _work(self) -> None:
        bell: Bell = queue.SimpleQueue()
        while (attempt := self._inbox.get(bell)) is not None:
            self._run(attempt)
            if self.abandoned:
                break
        self._runners.close()

    def _run(self, attempt: Attempt) -> None:
        self.current = attempt
        started = clock.monotonic()
        attempt.begin(self.name, threading.get_ident(), clock.now_ms(), self._running_at(started))
        ending = self._ending(attempt)
        attempt.ended = True
        self.current = None
        self._report(Ended(attempt, ending, clock.monotonic() - started))

    def _ending(self, attempt: Attempt) -> Ending:
        """How the attempt ends; an error of jobd's own fails it, and the worker lives on."""
        context = JobContext(attempt, self._surroundings)
        try:
            return self._runners.run(attempt, context)
        except BaseException as error:  # noqa: BLE001 - a lost worker would be a lost place
            text = f"jobd itself failed while it ran: {message_of(error)}"
            return Failed(Failure(FailureType.SYSTEM, text, traceback.format_exc()))
        finally:
            context.end_output()


class WorkerPool:
    """The workers of one daemon: `size` of them able to take work, besides any that are stuck."""

    def __init__(self, size: int, make: Callable[[str, Inbox], JobWorker]) -> None:
        self.size = size
        self.inbox = Inbox()
        self._make = make
        self._made = 0
        self.workers: list[JobWorker] = []
        self.stuck: list[JobWorker] = []

    def start(self) -> None:
        for _ in range(self.size):
            self._add()

    def hand_over(self, attempts: Sequence[Attempt]) -> None:
        self.inbox.put(attempts)

    def wake(self, count: int) -> None:
        """Wake up to so many of the workers that sleep."""
        self.inbox.wake(count)

    def replace_stuck(self, attempt: Attempt) -> None:
        """Give up the worker of this attempt and put a new one in its place."""
        worker = next((each for each in self.workers if each.current is attempt), None)
        if worker is not None:
            worker.abandoned = True
            self.workers.remove(worker)
            self.stuck.append(worker)
            self._add()

    def stuck_count(self) -> int:
        """How many threads are still lost; those that came back are forgotten."""
        self.stuck = [worker for worker in self.stuck if worker.current is not None]
        return len(self.stuck)

    def stop(self) -> None:
        """Let idle workers go; busy ones go when their handler returns."""
        self.inbox.put([None] * len(self.workers))
        self.wake(self.size)

    def _add(self) -> None:
        self._made += 1
        worker = self._make(f"JobWorker-{self._made}", self.inbox)
        self.workers.append(worker)
        worker.start()
