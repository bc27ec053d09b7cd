"""A batch in the hands of an application: made in slices, all items or none, and steered."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from jobd import clock, errors
from jobd.actor import actor
from jobd.core.batch import Item, NewBatch, NewItem, new_batch, new_item
from jobd.core.batch_status import OPEN
from jobd.core.payload import parsed_payload
from jobd.core.shown import shown
from jobd.store import batch_moves, batch_reading, batch_requests, batches
from jobd.store.batch_lock import BatchLock, batch_lock
from jobd.store.connection import Database

SLICE_TAKES = 0.05
"""Seconds that no slice should take, for others wait meanwhile."""
SMALLEST_SLICE = 50
LONGEST_WAIT = 0.1
LEFT = "what was put in before stays for now: it never runs, and is taken out once that is possible"

Items = Iterable[Mapping[str, Any] | Item]
Told = Callable[[int], object]


class Door(ABC):
    """The part of a `Queue` that is about batches, and what batches need of the rest."""

    path: Path
    max_payload: int

    def batch(
        self, name: str, job_type: str, items: Items, *, told: Told | None = None, **options: Any
    ) -> "Batch":
        """Put many jobs of one type in under one name: all or none, however many.

        Each item is the mapping of a payload, and may come from a generator. Options:
        `shared_parameters` (merged under each item's own), `concurrency` (so many at once),
        `error_handling` ("continue" or "stop"), `stop_after` (10, or "10 %"), `on_success`,
        `on_failure`, `on_end` (a job type, or (job type, payload, options)), `tier`, and for all
        items `queue`, `priority`, `timeout`, `max_retries`, `isolation`. `told` is called with
        the number put in so far.

        Raises:
            BadInput: an item or option cannot be stored; names it.
            Refused: a batch of that name has not ended.
        """
        new = new_batch(name, job_type, **options)
        with batch_lock(self.path) as lock:
            batch = _begin(self, new, lock)
            batch.created = batch._fill(items, parsed_payload(new.shared_parameters), told)
        return batch

    def find_batch(self, name: str | int) -> "Batch":
        """The batch of that name that has not ended, else the newest; or the one with that id.

        Raises:
            NotFound: there is none.
        """
        with self._connection() as database:
            db = database.connection
            if isinstance(name, int):
                found: dict[str, Any] | None = batch_reading.get(db, name)
            else:
                found = batch_reading.find(db, name)
        if found is None:
            raise errors.NotFound(f"no batch {name!r:.200}")
        return Batch(self, found["id"], found["name"])

    @abstractmethod
    def _connection(self) -> AbstractContextManager[Database]:
        """The open database, for this thread alone while the block lasts."""

    @abstractmethod
    def _wrote(self, database: Database, jobs: int) -> None:
        """So many jobs were written, in the connection of this block."""


class Batch:
    """One batch, by its id. What is asked of it is durable when the call returns.

    Every method may raise what `Queue` raises, NotFound when the batch was deleted, and Refused
    when what is asked does not fit its state.
    """

    def __init__(self, door: Door, batch_id: int, name: str, created: int = 0) -> None:
        self.id = batch_id
        self.name = name
        self.created = created
        """How many items the call that returned this put in."""
        self._door = door

    def __repr__(self) -> str:
        return f"<Batch {self.name} (id {self.id})>"

    def get(self) -> dict[str, Any]:
        """The batch as `jobd batch show --json` shows it: times in ISO 8601."""
        with self._door._connection() as database:
            return shown(batch_reading.get(database.connection, self.id))

    def append(self, items: Items, *, told: Told | None = None) -> int:
        """Put more items in, all or none, while the batch has not ended; returns how many.

        None of them runs before all are in. `told` is called with the number put in so far.

        Raises:
            BadInput: an item cannot be stored; none was.
        """
        with batch_lock(self._door.path) as lock:
            with self._transaction() as db:
                batches.open_up(db, self.id, clock.now_ms())
                lock.take(self.id)
                shared = batch_reading.get(db, self.id)["shared_parameters"]
            return self._fill(items, parsed_payload(shared), told)

    def pause(self, *, stop: bool = False) -> bool:
        """Let no more items begin; with `stop` those that run are released and begin again later,
        from their last checkpoint. Whether it was not paused before."""
        with self._transaction() as db:
            return batch_requests.pause(db, self.id, clock.now_ms(), actor(), stop=stop)

    def resume(self) -> bool:
        """Let items begin again; whether it was paused before."""
        with self._transaction() as db:
            return batch_requests.resume(db, self.id, clock.now_ms(), actor())

    def cancel(self, *, stop: bool = False) -> None:
        """Cancel the items that wait; with `stop` those that run are told to stop, too.

        The batch has ended when those that run have.
        """
        with self._transaction() as db:
            batch_requests.cancel(db, self.id, clock.now_ms(), actor(), stop=stop)
        more = True
        while more:
            with self._transaction() as db:
                more = batch_requests.cancel_slice(db, self.id, clock.now_ms())
                if not more:
                    batch_moves.finish(db, self.id, clock.now_ms())

    def retry_failed(self, *, cancelled: bool = False) -> int:
        """Put failed items, and on demand cancelled ones, back in line; returns how many.

        A batch that had ended is open again, and this is its next run.
        """
        with batch_lock(self._door.path) as lock:
            with self._transaction() as db:
                batch_requests.retry(db, self.id, clock.now_ms(), actor(), cancelled=cancelled)
                lock.take(self.id)
            after: int | None = 0
            touched = 0
            try:
                while after is not None:
                    with self._transaction() as db:
                        after, changed = batch_requests.retry_slice(
                            db, self.id, after, cancelled=cancelled
                        )
                    touched += changed
            finally:
                with self._transaction() as db:
                    batches.let_go(db, self.id, clock.now_ms())
        return touched

    def wait(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait until the batch has ended; returns it as `get` does.

        Raises:
            TimeoutError: it had not ended after `timeout` seconds.
        """
        deadline = None if timeout is None else clock.monotonic() + timeout
        waits = clock.growing_waits(LONGEST_WAIT)
        while True:
            found = self.get()
            if found["status"] not in OPEN:
                return found
            if deadline is not None and clock.monotonic() >= deadline:
                raise TimeoutError(f"batch {self.name} has not ended after {timeout} s")
            clock.pause(next(waits))

    # Putting items in.

    def _fill(self, items: Items, shared: Mapping[str, Any], told: Told | None) -> int:
        """Put them in and seal the batch, or take out what was put in."""
        put_in = 0
        try:
            for piece in _Slices(items, shared, self._door.max_payload):
                began = clock.monotonic()
                with self._transaction(len(piece.items)) as db:
                    batches.add(db, self.id, piece.items, clock.now_ms())
                piece.took(clock.monotonic() - began)
                put_in += len(piece.items)
                if told is not None:
                    told(put_in)
            with self._transaction() as db:
                batches.seal(db, self.id, clock.now_ms())
        except BaseException as error:
            try:
                self._take_out()
            except errors.JobdError:
                # The daemon does it, once our lock is free.
                if isinstance(error, errors.JobdError):
                    raise type(error)(f"{error}; {LEFT}") from error
            raise
        return put_in

    def _take_out(self) -> None:
        done = False
        while not done:
            with self._transaction(batches.REMOVED_AT_ONCE) as db:
                done = batches.take_out(db, self.id, clock.now_ms())

    @contextmanager
    def _transaction(self, jobs: int = 1) -> Iterator[Any]:
        with self._door._connection() as database:
            with database.transaction() as db:
                yield db
            self._door._wrote(database, jobs)


def _begin(door: Door, new: NewBatch, lock: BatchLock) -> Batch:
    _finish_what_was_left(door, new.name)
    with door._connection() as database, database.transaction() as db:
        batch_id = batches.create(db, new, clock.now_ms(), actor())
        # Before the commit, or the daemon would find a batch on which nobody works.
        lock.take(batch_id)
    return Batch(door, batch_id, new.name)


def _finish_what_was_left(door: Door, name: str) -> None:
    """Take out what a maker that died has left under this name."""
    with door._connection() as database:
        found = batch_reading.find(database.connection, name)
    if found is None or found["sealed_at"] is not None or found["status"] not in OPEN:
        return
    with suppress(errors.Refused), batch_lock(door.path) as lock:
        lock.take(found["id"])
        Batch(door, found["id"], name)._take_out()


class _Slice:
    """Some items, and how long they took to be written."""

    def __init__(self, items: list[NewItem], took: Callable[[float], None]) -> None:
        self.items = items
        self.took = took


class _Slices:
    """Items checked and gathered into slices, which become smaller where they take too long."""

    def __init__(self, items: Items, shared: Mapping[str, Any], max_payload: int) -> None:
        self._items = zip(count(1), items, strict=False)
        self._shared = shared
        self._max_payload = max_payload
        self._most = batches.SLICE_ITEMS

    def __iter__(self) -> Iterator[_Slice]:
        while gathered := self._gather():
            yield _Slice(gathered, self._adapt)

    def _gather(self) -> list[NewItem]:
        gathered: list[NewItem] = []
        size = 0
        for number, item in self._items:
            try:
                made = new_item(item, self._shared, self._max_payload)
            except errors.BadInput as error:
                raise errors.BadInput(f"item {number}: {error}") from None
            gathered.append(made)
            size += len(made.payload)
            if len(gathered) >= self._most or size >= batches.SLICE_BYTES:
                break
        return gathered

    def _adapt(self, took: float) -> None:
        if took > SLICE_TAKES:
            self._most = max(SMALLEST_SLICE, self._most // 2)
        elif took < SLICE_TAKES / 4:
            self._most = min(batches.SLICE_ITEMS, self._most * 2)
