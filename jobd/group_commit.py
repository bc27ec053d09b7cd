"""Group commit without a thread: what is handed in while one call writes is written together.

Whoever finds nobody writing writes. Who comes meanwhile puts his jobs into a line, and the first of
those is woken then and writes all that stands in it.
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import Any

from jobd import errors

LOOK_AGAIN = 0.05
"""Seconds after which a call that waits looks for itself, should whoever woke others be gone."""
Write = Callable[[list[Any], Callable[[], None]], list[Any]]
_INTERRUPTED = "interrupted while writing: the jobs may or may not be stored"


class Submission:
    """The jobs of one call on their way through whoever writes them."""

    __slots__ = ("done", "error", "ids", "jobs", "woken")

    def __init__(self, jobs: list[Any]) -> None:
        self.jobs = jobs
        self.ids: list[Any] = []
        self.error: BaseException | None = None
        self.done = False
        self.woken = threading.Lock()
        self.woken.acquire()

    def wake(self) -> None:
        with suppress(RuntimeError):  # it was woken already
            self.woken.release()


class GroupCommit:
    """The line of calls before one database.

    `write` stores jobs in one transaction and returns their ids, in order, and calls its second
    argument just before the commit; when it raises sqlite3.IntegrityError for the jobs of many
    calls, each call is tried alone.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._writing = threading.Lock()
        self._line: deque[Submission] = deque()
        self._asleep: list[Submission] = []
        """Done, but not woken: the next to write does that just before its commit, so that they
        work while the disk does. At once they would all want the interpreter before it."""

    def submit(self, jobs: list[Any]) -> list[Any]:
        """Store `jobs`, alone or together with those of other calls; returns their ids.

        Raises:
            OutcomeUnknown: whoever wrote them was interrupted. Anything that `write` raises.
        """
        if self._line or self._writing.locked():
            return self._in_line(Submission(jobs))
        try:
            with self._writing:
                return self._write(jobs, self._wake_asleep)
        finally:
            if self._line:
                self._wake_next()

    def _in_line(self, mine: Submission) -> list[Any]:
        try:
            self._line.append(mine)
            while not mine.done:
                if self._writing.locked():
                    mine.woken.acquire(timeout=LOOK_AGAIN)
                else:
                    self._write_line(mine)
        except BaseException:
            # Interrupted while waiting: what was not written yet must not be written later.
            with suppress(ValueError):
                self._line.remove(mine)
            raise
        if mine.error is not None:
            raise mine.error
        return mine.ids

    def _write_line(self, mine: Submission) -> None:
        with self._writing:
            if not mine.done:
                self._write_all(mine)
        # Only now: whoever is woken must find nobody writing.
        self._wake_next()

    def _wake_next(self) -> None:
        with suppress(IndexError):  # there is none, or its call was interrupted meanwhile
            self._line[0].wake()

    def _write_all(self, mine: Submission) -> None:
        batch: list[Submission] = []
        try:
            with suppress(IndexError):  # an interrupted call took its own out meanwhile
                while self._line:
                    batch.append(self._line.popleft())
            if mine not in batch:
                raise errors.OutcomeUnknown(_INTERRUPTED)
            self._write_or_fail(batch)
        except BaseException:
            # We are interrupted; the others cannot know how far this had come.
            self._end(batch, errors.OutcomeUnknown(_INTERRUPTED))
            self._wake_asleep()
            raise
        self._end(batch)
        if not self._line:
            self._wake_asleep()

    def _end(self, batch: Iterable[Submission], error: BaseException | None = None) -> None:
        """Tell those who wait; with an error those of whom nothing else is known."""
        for submission in batch:
            if error is not None and not submission.ids:
                submission.error = submission.error or error
            submission.done = True
            self._asleep.append(submission)

    def _wake_asleep(self) -> None:
        if not self._asleep:
            return
        asleep, self._asleep = self._asleep, []
        for submission in asleep:
            submission.wake()

    def _write_or_fail(self, batch: list[Submission]) -> None:
        jobs = batch[0].jobs if len(batch) == 1 else [job for each in batch for job in each.jobs]
        try:
            ids = iter(self._write(jobs, self._wake_asleep))
        except sqlite3.IntegrityError as error:
            if len(batch) == 1:
                batch[0].error = error
            else:  # one refused row must fail its own call alone
                for submission in batch:
                    self._write_or_fail([submission])
        except (errors.JobdError, sqlite3.Error) as error:
            for submission in batch:
                submission.error = error
        else:
            for submission in batch:
                submission.ids = list(islice(ids, len(submission.jobs)))
