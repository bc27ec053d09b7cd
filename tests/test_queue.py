"""`jobd.Queue`: what an application may rely on, from threads, after a fork, and when refused."""

import json
import pickle
import shutil
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobd import JobId, Queue, clock, errors
from jobd.actor import actor
from jobd.core.lifecycle import JobStatus
from jobd.queue import MAX_AT_ONCE, Record

MUCH_LATER = 10.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test may have a database made."""
    return tmp_path / "jobd.db"


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as Queue makes it, to be copied."""
    path = tmp_path_factory.mktemp("made-once") / "jobd.db"
    Queue(path).close()
    return path


@pytest.fixture
def queue(made_once: Path, path: Path) -> Iterator[Queue]:
    """A Queue over a file of this test."""
    with Queue(shutil.copy(made_once, path)) as queue:
        yield queue


@pytest.fixture
def raw(queue: Queue) -> Iterator[sqlite3.Connection]:
    """Another process's hand on the same file."""
    with closing(sqlite3.connect(queue.path, isolation_level=None)) as connection:
        yield connection


def count(raw: sqlite3.Connection) -> int:
    return int(raw.execute("SELECT count(*) FROM job_queue").fetchone()[0])


def move(raw: sqlite3.Connection, job_id: int, *statuses: str) -> None:
    """Lead a job along the arrows by hand."""
    for status in statuses:
        raw.execute("UPDATE job_queue SET ready = 0, status = ? WHERE id = ?", (status, job_id))


# Putting jobs in.


def test_a_job_is_on_disk_when_enqueue_returns(queue: Queue, raw: sqlite3.Connection) -> None:
    """Another connection sees it at once, as it was handed in."""
    job_id = queue.enqueue("thumb", {"path": "a.jpg"}, queue="media", priority=5)
    assert raw.execute("SELECT id, job_type, queue, payload, priority, status FROM job_queue"
                       ).fetchall() == [(job_id, "thumb", "media", '{"path":"a.jpg"}', 5,
                                         "pending")]


def test_commits_are_synced(queue: Queue) -> None:
    """By default nothing but the disk's own death can take a returned job away."""
    assert queue._opened().connection.execute("PRAGMA synchronous").fetchone() == (2,)


@pytest.mark.parametrize("key", ["unique_key", "request_id"])
def test_the_id_says_whether_this_call_made_the_job(queue: Queue, key: str) -> None:
    """The same key returns the same id, `created` only the first time."""
    first, second = (queue.enqueue("t", **{key: "k"}) for _ in range(2))
    assert (first, first.created) == (1, True)
    assert (second, second.created) == (1, False)


@pytest.mark.parametrize("created", [True, False])
def test_an_id_is_an_integer(created: bool) -> None:
    """It counts, hashes and reads as one, and keeps what it knows when it is copied."""
    job_id = JobId(7)
    job_id.created = created
    assert (job_id, hash(job_id), f"{job_id}", json.dumps(job_id)) == (7, hash(7), "7", "7")
    assert pickle.loads(pickle.dumps(job_id)).created is created


def test_many_jobs_are_one_transaction(queue: Queue, raw: sqlite3.Connection) -> None:
    """Ids in order; options of a job beat those of the call."""
    ids = queue.enqueue_many(
        [("a", {"n": 1}), ("b", None, {"priority": 9}), ("c", {}, {"queue": "own"})],
        queue="given", priority=1,
    )
    assert ids == [1, 2, 3]
    assert all(job_id.created for job_id in ids)
    found = raw.execute("SELECT job_type, queue, priority, payload FROM job_queue").fetchall()
    assert found == [("a", "given", 1, '{"n":1}'), ("b", "given", 9, "{}"), ("c", "own", 1, "{}")]


def test_no_jobs_are_no_transaction(queue: Queue, raw: sqlite3.Connection) -> None:
    """An empty list returns an empty list."""
    assert queue.enqueue_many([]) == []
    assert queue.enqueue_many(iter(())) == []
    assert count(raw) == 0


BAD_CALLS: list[tuple[Callable[[Queue], object], str]] = [
    (lambda q: q.enqueue(""), "job type '' is no name"),
    (lambda q: q.enqueue("t", [1]), "payload must be a JSON object"),  # type: ignore[arg-type]
    (lambda q: q.enqueue("t", {"x": float("nan")}), "payload is not JSON"),
    (lambda q: q.enqueue("t", {"x": "y" * (1 << 20)}), "more than the limit of 1048576"),
    (lambda q: q.enqueue("t", prio=1), "unknown option 'prio'"),
    (lambda q: q.enqueue("t", priority=1_001), "priority must be"),
    (lambda q: q.enqueue("t", delay=1, at="14:30"), "either a delay or a time"),
    (lambda q: q.enqueue("t", at="2001-01-01T00:00:00Z"), "more than 24 hours"),
    (lambda q: q.enqueue("t", timeout=0), "a timeout must be longer"),
    (lambda q: q.enqueue("t", unique_key=""), "unique_key must be"),
    (lambda q: q.enqueue_many([("t", {}), ("", {})]), "job 1: job type '' is no name"),
    (lambda q: q.enqueue_many([("t", {}), ("t", {}, {"prio": 1})]), "job 1: unknown option"),
    (lambda q: q.enqueue_many([("t", {})], prio=1), "job 0: unknown option 'prio'"),
    (lambda q: q.enqueue_many([("t", {}), ("t",)]), "job 1: give (job_type, payload) or"),
    (lambda q: q.enqueue_many([("t", {}), 5]), "job 1: give (job_type, payload) or"),  # type: ignore[list-item]
    (lambda q: q.enqueue_many([("t", {}, 5)]), "job 0: give (job_type, payload) or"),
    (lambda q: q.enqueue_many([("t", {}, {}, {})]), "job 0: give (job_type, payload) or"),
    (lambda q: q.enqueue_many([("t", {})] * (MAX_AT_ONCE + 1)), "100001 jobs in one call"),
]


@pytest.mark.parametrize(("call", "says"), BAD_CALLS, ids=[says for _, says in BAD_CALLS])
def test_bad_input_stores_nothing(
    queue: Queue, raw: sqlite3.Connection, call: Callable[[Queue], object], says: str
) -> None:
    """One sentence says what is wrong, and where in a list; not one row is written."""
    with pytest.raises(errors.BadInput) as refused:
        call(queue)
    assert says in str(refused.value)
    assert count(raw) == 0
    assert queue.enqueue("t") == 1


def test_the_limit_of_a_payload_can_be_set(path: Path) -> None:
    """An application may ask for less, or for more, than 1 MiB."""
    with Queue(path, max_payload=10) as small, pytest.raises(errors.BadInput, match="limit of 10"):
        small.enqueue("t", {"x": "12345"})
    with Queue(path, max_payload=3 << 20) as large:
        assert large.enqueue("t", {"x": "y" * (2 << 20)}) == 1


def test_a_row_that_the_database_refuses_fails_alone(
    queue: Queue, raw: sqlite3.Connection
) -> None:
    """Of calls that share a transaction the good ones are stored; no part of a bad one is."""
    raw.execute(
        """CREATE TRIGGER refuse BEFORE INSERT ON job_queue WHEN NEW.job_type = 'bad'
        BEGIN SELECT RAISE(ABORT, 'refused'); END"""
    )
    together = threading.Barrier(16)

    def call(number: int) -> object:
        together.wait()
        kinds = ["good", "bad"] if number % 4 == 0 else ["good", "good"]
        try:
            return queue.enqueue_many([(kind, {"n": number}) for kind in kinds])
        except sqlite3.IntegrityError as error:
            return str(error)

    for _ in range(5):
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(call, range(16)))
        assert [answer == "refused" for answer in answers] == [n % 4 == 0 for n in range(16)]
    assert count(raw) == 5 * 12 * 2
    assert raw.execute("SELECT count(*) FROM job_queue WHERE job_type = 'bad'").fetchone() == (0,)


def test_many_threads_share_transactions(queue: Queue, raw: sqlite3.Connection) -> None:
    """16 threads put in 50 jobs each: every job is stored once, in fewer commits than calls."""
    commits: list[str] = []
    queue._opened().connection.set_trace_callback(
        lambda statement: commits.append(statement) if statement == "COMMIT" else None
    )
    together = threading.Barrier(16)

    def call(thread: int) -> list[JobId]:
        together.wait()
        return [queue.enqueue("t", {"thread": thread, "n": n}) for n in range(50)]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(call, range(16)))
    stored = {
        job_id: json.loads(payload)
        for job_id, payload in raw.execute("SELECT id, payload FROM job_queue")
    }
    assert len(stored) == 800
    for thread, ids in enumerate(answers):
        assert ids == sorted(ids)
        assert [stored[job_id] for job_id in ids] == [{"thread": thread, "n": n} for n in range(50)]
    assert len(commits) < 800


def test_one_key_from_many_threads_is_one_job(queue: Queue, raw: sqlite3.Connection) -> None:
    """Of 16 calls with the same request id one creates the job, and all return it."""
    together = threading.Barrier(16)

    def call(_: int) -> JobId:
        together.wait()
        return queue.enqueue("t", request_id="r")

    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(call, range(16)))
    assert len(set(ids)) == 1
    assert [job_id.created for job_id in ids].count(True) == 1
    assert count(raw) == 1


@pytest.mark.parametrize("directory", ["near", "far/" + "x" * 120], ids=["short", "long"])
def test_the_daemon_is_poked(
    tmp_path: Path, directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its commit a call sends one datagram, also where the path is long."""
    path = tmp_path / directory / "jobd.db"
    path.parent.mkdir(parents=True)
    monkeypatch.chdir(path.parent)
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as inbox, Queue(path) as queue:
        inbox.bind("jobd.db.sock")
        inbox.settimeout(MUCH_LATER)
        job_id = queue.enqueue("t")
        assert inbox.recv(8) == b"\x01"
        queue.cancel(job_id)
        assert inbox.recv(8) == b"\x01"


def test_a_daemon_that_starts_later_is_poked(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A producer that found nobody there finds the one who comes."""
    while queue._poker._nobody_at is None:  # until the directory is known to be at rest
        queue.enqueue("t")
    queue.enqueue("t")
    monkeypatch.chdir(queue.path.parent)
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as inbox:
        inbox.bind(f"{queue.path.name}.sock")
        inbox.settimeout(MUCH_LATER)
        queue.enqueue("t")
        assert inbox.recv(8) == b"\x01"


def test_nobody_needs_to_listen(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that a dead daemon left behind changes nothing."""
    monkeypatch.chdir(queue.path.parent)
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as inbox:
        inbox.bind(f"{queue.path.name}.sock")
    assert queue.enqueue("t") == 1


# Asking about jobs.


def test_get_shows_the_job_as_the_command_line_does(queue: Queue) -> None:
    """Column names of the contract, times in ISO 8601, payload as a value."""
    at = datetime(2100, 1, 1, tzinfo=UTC)
    found = queue.get(queue.enqueue("t", {"a": [1]}, at=at))
    assert (found["id"], found["job_type"], found["queue"]) == (1, "t", "default")
    assert (found["status"], found["payload"]) == ("pending", {"a": [1]})
    assert (found["scheduled_at"], found["execution_over"]) == ("2100-01-01T00:00:00.000Z", True)


@pytest.mark.parametrize("verb", ["get", "wait", "cancel", "retry", "release"])
def test_a_job_that_does_not_exist(queue: Queue, verb: str) -> None:
    """Every verb says so at once."""
    with pytest.raises(errors.NotFound, match=r"^no job 99: none was ever put in here$"):
        getattr(queue, verb)(99)


@pytest.mark.parametrize("verb", ["get", "wait", "cancel", "retry", "release"])
@pytest.mark.parametrize("job_id", [0, -1, True, None, "7", 7.0, 1 << 63])
def test_what_is_no_id(queue: Queue, verb: str, job_id: object) -> None:
    """An id is a positive integer of at most 63 bits."""
    with pytest.raises(errors.BadInput, match=r"^a job id must be an integer from 1 to "):
        getattr(queue, verb)(job_id)


@pytest.mark.parametrize("status", ["completed", "failed", "dead_letter", "cancelled"])
def test_wait_returns_a_job_that_has_ended(
    queue: Queue, raw: sqlite3.Connection, status: str
) -> None:
    """At once, whatever the timeout, with what `get` says."""
    job_id = queue.enqueue("t")
    move(raw, job_id, "running", status)
    assert queue.wait(job_id, timeout=0) == queue.get(job_id)


@pytest.mark.parametrize("status", ["pending", "running", "timeout", "zombie", "retrying"])
def test_wait_gives_up_after_its_timeout(
    queue: Queue, raw: sqlite3.Connection, status: str
) -> None:
    """While the job lives there is no answer but TimeoutError."""
    job_id = queue.enqueue("t")
    if status != "pending":
        move(raw, job_id, "running", status)
    began = clock.monotonic()
    with pytest.raises(TimeoutError, match=r"job 1 has not ended after 0\.06 s"):
        queue.wait(job_id, timeout=0.06)
    assert 0.06 <= clock.monotonic() - began < MUCH_LATER


class Watched(Queue):
    """A Queue that says when `wait` has looked at the job for the first time."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.looked = threading.Event()

    def get(self, job_id: int) -> Record:
        found = super().get(job_id)
        self.looked.set()
        return found


@pytest.mark.parametrize("hand", ["another process", "this queue"])
def test_wait_sees_the_end_of_the_job(path: Path, hand: str) -> None:
    """Whoever ends it, and through whichever connection, the waiting thread returns."""
    with (
        Watched(path) as queue,
        Queue(path) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        job_id = queue.enqueue("t")
        waiting = pool.submit(queue.wait, job_id, 2)
        assert queue.looked.wait(MUCH_LATER)
        (queue if hand == "this queue" else other).cancel(job_id)
        assert waiting.result(MUCH_LATER)["status"] == "cancelled"


ANSWERS = [
    ("cancel", (), "cancelled", None),
    ("cancel", ("running",), "running", None),
    ("cancel", ("running", "failed"), "failed", "cancel of job 1: already ended"),
    ("retry", (), "pending", None),
    ("retry", ("running",), "running",
     "retry of job 1: still executing; cancel or release it"),
    ("retry", ("running", "dead_letter"), "pending", None),
    ("retry", ("running", "completed"), "completed",
     "retry of job 1: already completed"),
    ("release", (), "pending", None),
    ("release", ("running",), "running", None),
    ("release", ("running", "cancelled"), "cancelled",
     "release of job 1: already ended; use retry"),
]


@pytest.mark.parametrize(("verb", "way", "status", "refusal"), ANSWERS)
def test_what_is_asked_of_a_job(
    queue: Queue,
    raw: sqlite3.Connection,
    verb: str,
    way: tuple[str, ...],
    status: str,
    refusal: str | None,
) -> None:
    """It happens, is stored, or is refused with the reason; who asked is on record."""
    job_id = queue.enqueue("t")
    move(raw, job_id, *way)
    if "running" in way[-1:]:
        raw.execute("UPDATE job_queue SET execution_over = 0")
    if refusal:
        with pytest.raises(errors.Refused) as refused:
            getattr(queue, verb)(job_id)
        assert str(refused.value) == refusal
    else:
        replied = getattr(queue, verb)(job_id)
        assert (replied.job_id, replied.refusal) == (job_id, None)
        assert replied.status == JobStatus(way[-1] if way else "pending")
    assert queue.get(job_id)["status"] == status
    recorded = raw.execute("SELECT actor, verb FROM operator_actions").fetchall()
    nothing = refusal is not None or (way == () and verb != "cancel")
    assert recorded == ([] if nothing else [(actor(), verb)])


# The connection.


def test_a_closed_queue_opens_again(queue: Queue) -> None:
    """Closing twice is fine, and the next call opens the file anew."""
    first = queue.enqueue("t")
    queue.close()
    queue.close()
    assert queue.get(first)["id"] == first
    queue.close()
    assert queue.enqueue("t") == first + 1


def test_a_relative_path_is_meant_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changing the directory later does not lead to another file."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with Queue("jobd.db") as queue:
        queue.close()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert queue.enqueue("t") == 1
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_queue_may_be_told_to_make_nothing(path: Path) -> None:
    """With create=False a missing database is an error, and stays missing."""
    with pytest.raises(errors.NoDatabase, match="no database at"):
        Queue(path, create=False)
    assert not path.exists()
    Queue(path).close()
    with Queue(path, create=False) as queue:
        assert queue.enqueue("t") == 1


def test_a_migration_meanwhile_is_said(queue: Queue, raw: sqlite3.Connection) -> None:
    """Every write is refused until the application is restarted; nothing is written."""
    raw.execute("PRAGMA user_version = 99")
    for call in (lambda: queue.enqueue("t"), lambda: queue.enqueue_many([("t", {})])):
        with pytest.raises(errors.SchemaChanged, match="to 99 while this process was connected"):
            call()
    assert count(raw) == 0
