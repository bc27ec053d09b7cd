"""Noticing that a handler in a thread changed the process which all of them share."""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable

from jobd import clock
from jobd.daemon.attempt import Attempt
from jobd.daemon.process_state import KeptStreams, look
from jobd.daemon.turn import Write
from jobd.log import logger
from jobd.store.notes import note_change

LOOK_EVERY = 0.01
"""Seconds between two looks, however many attempts end: so they cost next to nothing."""
SAID_AGAIN_AFTER = 60.0
REMEMBERED = 1_000
OTHERS_NAMED = 20


class ChangeWatch:
    """Looks when an attempt in a thread has ended, and when the sweep comes round.

    jobd itself depends on nothing of it: paths are absolute, modes explicit, the log has a
    descriptor of its own. So it puts nothing back but a standard stream that was closed, and
    says after which job it found the change, and which others ran meanwhile.
    """

    def __init__(self, submit: Callable[[Write], None], running: Callable[[], list[Attempt]]):
        self._submit = submit
        self._running = running
        self._ended: deque[int] = deque()
        self._last: Attempt | None = None
        self._streams = KeptStreams()
        self._state = look()
        self._next_look = 0.0
        self._said: dict[str, float] = {}
        self._lock = threading.Lock()

    def ended(self, attempt: Attempt) -> None:
        """An attempt that ran in a thread is over; its worker asks, before it reports that."""
        # Of the others only the ids: thousands of short attempts would crowd out all caches.
        self._last = attempt
        self._ended.append(attempt.job.id)
        if clock.monotonic() >= self._next_look:
            self.look_again()

    def look_again(self) -> None:
        """Look, if an attempt has ended since the last time."""
        last = self._last
        if last is None or not self._lock.acquire(blocking=False):
            return
        try:
            self._last = None
            suspects = {self._ended.popleft() for _ in range(len(self._ended))}
            self._next_look = clock.monotonic() + LOOK_EVERY
            before, self._state = self._state, look()
            changes = list(before.changes_to(self._state))
            if changes:
                self._streams.put_back()
                self._tell(last, suspects, [each for each in changes if self._is_news(each)])
        finally:
            self._lock.release()

    def _is_news(self, change: str) -> bool:
        """A handler that changes it to and fro is not told of with each attempt."""
        now = clock.monotonic()
        if now - self._said.get(change, -SAID_AGAIN_AFTER) < SAID_AGAIN_AFTER:
            return False
        if len(self._said) >= REMEMBERED:
            self._said.clear()
        self._said[change] = now
        return True

    def _tell(self, last: Attempt, suspects: set[int], changes: list[str]) -> None:
        if not changes:
            return
        running = {each.job.id for each in self._running()}
        others = sorted((suspects | running) - {last.job.id})[:OTHERS_NAMED]
        logger().warning(
            "handler.changed_process", job_id=last.job.id, job_type=last.job.job_type,
            queue=last.job.queue, attempt=last.job.attempt, worker=last.worker, changed=changes,
            others=others,
        )
        detail = "; ".join(changes)
        if others:
            detail += f" (or job {', '.join(map(str, others))} did, which ran meanwhile)"
        self._submit(_note(last.job.id, detail))


def _note(job_id: int, detail: str) -> Write:
    def write(db: sqlite3.Connection, now: int) -> None:
        note_change(db, job_id, detail, now)

    return write
