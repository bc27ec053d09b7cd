"""`jobd.Queue`: what an application imports to put jobs in and to ask about them."""

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobd import clock, errors
from jobd.actor import actor
from jobd.batch_queue import Door
from jobd.core.current import job_here
from jobd.core.lifecycle import ENDED, JobStatus, Request
from jobd.core.new_job import JobId, NewJob, check_integer, new_job, new_jobs
from jobd.core.shown import absent, shown
from jobd.group_commit import GroupCommit
from jobd.poke import FROM_A_JOB, FROM_OUTSIDE, Poker
from jobd.store import enqueue as store_enqueue
from jobd.store import reading, requests
from jobd.store.connection import Database
from jobd.store.opening import open_database
from jobd.store.producer_log import ProducerLog

MAX_AT_ONCE = 100_000
MAX_PAYLOAD = 1 << 20
LONGEST_WAIT = 0.05
LONGEST_BEFORE_FORK = 1.0
"""Seconds that a fork waits for a call of another thread: it may itself wait for the database."""
LAST_ID = (1 << 63) - 1

Record = dict[str, Any]


class Queue(Door):
    """A producer's end of the queue in the database at `path`, made when it does not exist.

    Safe to use from many threads, and after a fork; not in a signal handler. When `enqueue`
    returns, the job is on disk.

    Every call may raise
        DatabaseBusy, DatabaseFull, DatabaseUnavailable, DatabaseReplaced: nothing was written.
        OutcomeUnknown: the disk failed while syncing; repeat with the same `request_id`.
        SchemaChanged: the database was migrated meanwhile.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: str = "full",
        max_payload: int = MAX_PAYLOAD,
        create: bool = True,
    ) -> None:
        if synchronous not in ("full", "normal"):
            raise errors.BadInput(f"synchronous must be 'full' or 'normal', not {synchronous!r}")
        self.path = Path(os.path.realpath(os.path.expanduser(path)))
        self._poker = Poker(self.path)
        self._synchronous = synchronous
        self.max_payload = max_payload
        self._create = create
        self._lock = threading.Lock()
        self._line = GroupCommit(self._write)
        self._database: Database | None = None
        self._log: ProducerLog | None = None
        _queues.add(self)
        with self._connection():
            pass

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        with self._lock:
            self._poker.close()
            self._close()

    def _close(self) -> None:
        if self._database is not None and self._log is not None:
            self._log.close()
            self._database.close()
            self._database = self._log = None

    def __enter__(self) -> "Queue":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def enqueue(
        self, job_type: str, payload: Mapping[str, Any] | None = None, **options: Any
    ) -> JobId:
        """Put one job in; returns its id, which also says whether this call `created` it.

        Options: `queue`, `priority` (-1000 to 1000, larger first), `delay` (seconds, or "10m"),
        `at` (an aware datetime, or ISO 8601 text), `timeout` (seconds, or "30s"), `max_retries`,
        `unique_key` (at most one live job with it), `request_id` (at most one job ever with it).
        With both, the live holder of the key may be returned; the request id is then still free.

        Raises:
            BadInput: the job cannot be stored as it is; nothing was written.
        """
        now = clock.now_ms() if options else 0  # for what counts from now
        made = new_job(job_type, payload, options, now, self.max_payload)
        ids: list[JobId] = self._line.submit([made])
        return ids[0]

    def enqueue_many(self, jobs: Iterable[tuple[Any, ...]], **options: Any) -> list[JobId]:
        """Put many jobs in, in one transaction: all or none.

        Each is `(job_type, payload)` or `(job_type, payload, options)`; `options` given here
        hold for all that do not say otherwise. At most 100,000 jobs a call.
        """
        made = new_jobs(jobs, options, clock.now_ms(), self.max_payload)
        if len(made) > MAX_AT_ONCE:
            raise errors.BadInput(
                f"{len(made)} jobs in one call; at most {MAX_AT_ONCE} go into one transaction"
            )
        return self._line.submit(made) if made else []

    def get(self, job_id: int) -> Record:
        """The job as `jobd show --json` shows it: times in ISO 8601, payload and result as values.

        Raises:
            NotFound: there is no such job.
        """
        with self._connection() as database:
            found = reading.job(database.connection, check_integer("a job id", job_id, 1, LAST_ID))
            if found is None:
                raise errors.NotFound(absent(job_id, reading.last_id(database.connection)))
        return shown(found)

    def wait(self, job_id: int, timeout: float | None = None) -> Record:
        """Wait until the job has ended; returns it as `get` does.

        Raises:
            TimeoutError: it had not ended after `timeout` seconds.
        """
        deadline = None if timeout is None else clock.monotonic() + timeout
        waits = clock.growing_waits(LONGEST_WAIT)
        while True:
            found = self.get(job_id)
            if JobStatus(found["status"]) in ENDED:
                return found
            if deadline is not None and clock.monotonic() >= deadline:
                raise TimeoutError(f"job {job_id} has not ended after {timeout} s")
            clock.pause(next(waits))

    def cancel(self, job_id: int) -> requests.Replied:
        """Cancel the job, at once or as soon as its execution is over."""
        return self._request(Request.CANCEL, job_id)

    def retry(self, job_id: int) -> requests.Replied:
        """Put an ended job back in line, counts reset, or make a waiting retry due now."""
        return self._request(Request.RETRY, job_id)

    def release(self, job_id: int) -> requests.Replied:
        """Stop the job's attempt and put it back in line, with nothing charged."""
        return self._request(Request.RELEASE, job_id)

    def _request(self, what: Request, job_id: int) -> requests.Replied:
        checked = check_integer("a job id", job_id, 1, LAST_ID)
        with self._connection() as database, database.transaction() as db:
            replied = requests.request(db, what, checked, clock.now_ms(), actor())
            if replied.status is None:
                raise errors.NotFound(absent(job_id, reading.last_id(db)))
        self._poker.poke()
        if replied.refusal:
            raise errors.Refused(f"{what} of job {job_id}: {replied.refusal}")
        return replied

    def _write(
        self, jobs: list[NewJob], before_commit: Callable[[], None]
    ) -> list[JobId]:
        """Store jobs in one transaction."""
        now = clock.now_ms()  # not later: delays count from the call
        with self._lock:
            database = self._database or self._opened()
            try:
                with database.transaction(before_commit=before_commit) as db:
                    ids = store_enqueue.enqueue_many(db, jobs, now)
                self._wrote(database, len(jobs), sum(len(job.payload) for job in jobs))
            except BaseException as error:
                self._let_go(error)
                raise
        return ids

    def _wrote(self, database: Database, jobs: int, payload: int = 0) -> None:
        """Tell the daemon, and mind the log: so many jobs were written, of so many bytes."""
        self._poker.poke(database.place, FROM_OUTSIDE if job_here() is None else FROM_A_JOB)
        if self._log is not None:
            self._log.wrote(jobs, payload)

    @contextmanager
    def _connection(self) -> Iterator[Database]:
        """The open database; when other files stand there now, the next call opens those."""
        with self._lock:
            try:
                self._opened().check_files()
                yield self._opened()
            except BaseException as error:
                self._let_go(error)
                raise

    def _let_go(self, error: BaseException) -> None:
        """Hold nothing that others wait for: Ctrl-C may come between any two steps."""
        if self._database is not None:
            self._database.let_go()
        if isinstance(error, errors.DatabaseReplaced):
            self._close()

    def _start_anew(self) -> None:
        """In a forked child: an empty line, a lock and a connection of its own."""
        self._lock = threading.Lock()
        self._line = GroupCommit(self._write)
        if self._database is not None and self._log is not None:
            _inherited.append((self._database, self._log))
            self._database.abandon()
            self._log.abandon()
            self._database = self._log = None

    def _opened(self) -> Database:
        if self._database is None:
            self._database = open_database(
                self.path,
                create=self._create,
                synchronous=self._synchronous,
                shared=True,
                now=clock.now_ms(),
            )
            self._log = ProducerLog(self._database)
        return self._database


_inherited: list[tuple[Database, ProducerLog]] = []
"""Connections of a parent process: SQLite forbids closing them here, so they are kept alive."""

_queues: weakref.WeakSet[Queue] = weakref.WeakSet()


_forking = threading.local()


def _wait_for_calls() -> None:
    """Before a fork: what SQLite knows of its own locks is copied, and a child of a fork amid
    another thread's transaction would find the database locked for ever."""
    locks = [queue._lock for queue in list(_queues)]
    _forking.held = [lock for lock in locks if lock.acquire(timeout=LONGEST_BEFORE_FORK)]


def _let_calls_go_on() -> None:
    for lock in _forking.held:
        lock.release()


def _start_all_anew() -> None:
    for queue in list(_queues):
        queue._start_anew()


os.register_at_fork(before=_wait_for_calls, after_in_parent=_let_calls_go_on,
                    after_in_child=_start_all_anew)
