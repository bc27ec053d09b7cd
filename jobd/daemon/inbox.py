"""Where attempts wait for a worker: one line for all workers, and who of them sleeps."""

import queue
from collections import deque
from collections.abc import Iterable

from jobd.daemon.attempt import Attempt

Bell = queue.SimpleQueue[None]
"""What one worker sleeps at."""


class Inbox:
    """First in, first out; None sends a worker home.

    Putting something in wakes nobody: the dispatcher says how many are worth waking. Beside a
    worker that runs one brief job after another a second one only fights for the interpreter.
    """

    def __init__(self) -> None:
        self._waiting: deque[Attempt | None] = deque()
        self._asleep: deque[Bell] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, attempts: Iterable[Attempt | None]) -> None:
        self._waiting.extend(attempts)

    def take_back(self, attempt: Attempt) -> bool:
        """Whether it is out of the line again, and no worker was quicker."""
        try:
            self._waiting.remove(attempt)
        except ValueError:
            return False
        return True

    def wake(self, count: int) -> None:
        """Wake up to so many workers: those who fell asleep last, whose caches are warm."""
        for _ in range(count):
            try:
                bell = self._asleep.pop()
            except IndexError:
                return
            bell.put(None)

    def get(self, bell: Bell) -> Attempt | None:
        """The next one; sleeps until there is one and somebody rings this worker's bell."""
        while True:
            try:
                return self._waiting.popleft()
            except IndexError:
                self._asleep.append(bell)
            try:
                # Whoever put something in just now may not have seen us asleep.
                found = self._waiting.popleft()
            except IndexError:
                bell.get()
                continue
            try:
                self._asleep.remove(bell)
            except ValueError:
                bell.get()  # somebody has woken us meanwhile
            return found
