"""Where attempts wait for a worker: one line for all workers, and who of them sleeps."""

import queue
from collections import deque
from collections.abc import Iterable

from jobd.daemon.attempt import Attempt


class Inbox:
    """First in, first out; None sends a worker home.

    Putting something in wakes nobody: the dispatcher says how many are worth waking. Beside a
    worker that runs one brief job after another a second one only fights for the interpreter.
    """

    def __init__(self) -> None:
        self._waiting: deque[Attempt | None] = deque()
        self._asleep: deque[None] = deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, attempts: Iterable[Attempt | None]) -> None:
        self._waiting.extend(attempts)

    def wake(self, count: int) -> None:
        """Wake up to so many workers."""
        for _ in range(count):
            if not self._is_one_less():
                return
            self._bell.put(None)

    def get(self) -> Attempt | None:
        """The next one; sleeps until there is one and somebody wakes this worker."""
        while True:
            try:
                return self._waiting.popleft()
            except IndexError:
                self._asleep.append(None)
            try:
                # Whoever put something in just now may not have seen us asleep.
                found = self._waiting.popleft()
            except IndexError:
                self._bell.get()
                continue
            if not self._is_one_less():
                self._bell.get()  # somebody has woken us meanwhile
            return found

    def _is_one_less(self) -> bool:
        """Whether there was one asleep, who now is not."""
        try:
            self._asleep.pop()
        except IndexError:
            return False
        return True
