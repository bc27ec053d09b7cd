"""`jobd.Queue` after a fork, amid one, and after Ctrl-C wherever it strikes."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from jobd import Queue
from jobd.store import turnstile
from jobd.store.transaction import Transaction


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test may have a database made."""
    return tmp_path / "jobd.db"


def run(script: str, *arguments: Any) -> list[str]:
    """The lines that a program of its own prints; an alarm ends one that hangs."""
    start = "import os, signal, sys, threading\nfrom jobd import Queue\nsignal.alarm(20)\n"
    done = subprocess.run(
        # Python 3.12 and newer warn of a fork beside threads, which is what is tried here.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", start + script,
         *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


FORK = """
queue = Queue(sys.argv[1])
print(queue.enqueue("parent"), flush=True)
child = os.fork()
if child == 0:
    print(*queue.enqueue_many([("child", {}), ("child", {})]), flush=True)
    grandchild = os.fork()
    if grandchild == 0:
        print(queue.enqueue("grandchild"), flush=True)
        sys.exit()
    assert os.waitpid(grandchild, 0)[1] == 0
    queue.close()
    print(queue.enqueue("child"), flush=True)
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
print(queue.enqueue("parent"), flush=True)
print(queue.get(1)["job_type"])
"""


def test_after_a_fork_both_go_on(path: Path) -> None:
    """Parent, child and grandchild use the same Queue, each over a connection of its own."""
    assert run(FORK, path) == ["1", "2", "3", "4", "5", "6", "parent"]
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert [kind for (kind,) in raw.execute("SELECT job_type FROM job_queue ORDER BY id")] == [
            "parent", "child", "child", "grandchild", "child", "parent"
        ]


FORK_AMID_A_CALL = """
queue = Queue(sys.argv[1])
held, release = threading.Event(), threading.Event()

def hold():
    with queue._connection():  # as a thread does in the middle of any call
        held.set()
        release.wait()

thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(3)
    getattr(queue, sys.argv[2])(*sys.argv[3:])
    print(queue.enqueue("child"), flush=True)
    os._exit(0)
print("child ended with", os.waitpid(child, 0)[1])
release.set()
thread.join()
print(queue.enqueue("parent"))
"""


@pytest.mark.parametrize("call", [("enqueue", "t"), ("close",)])
def test_a_fork_amid_another_thread_s_call(path: Path, call: tuple[str, ...]) -> None:
    """The child does not wait for a lock whose holder it does not have, whatever it calls first."""
    first = "2" if call[0] == "enqueue" else "1"
    second = str(int(first) + 1)
    assert run(FORK_AMID_A_CALL, path, *call) == [
        first, "child", "ended", "with", "0", second
    ]


FORK_AMID_A_TRANSACTION = """
queue = Queue(sys.argv[1])
held, forking = threading.Event(), threading.Event()

def hold():
    with queue._connection() as database, database.transaction() as db:
        db.execute("UPDATE job_queue SET priority = 1")
        held.set()
        forking.wait()

thread = threading.Thread(target=hold)
thread.start()
held.wait()
os.register_at_fork(before=forking.set)  # called before those that are there already
child = os.fork()
if child == 0:
    signal.alarm(3)
    print(queue.enqueue("child"), flush=True)
    os._exit(0)
print("child ended with", os.waitpid(child, 0)[1])
thread.join()
print(queue.enqueue("parent"))
"""


def test_a_fork_amid_another_thread_s_transaction(path: Path) -> None:
    """The child does not take the parent's write lock for its own."""
    assert run(FORK_AMID_A_TRANSACTION, path) == ["1", "child", "ended", "with", "0", "2"]


INTERRUPT = """
import sqlite3
queue = Queue(sys.argv[1])
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN IMMEDIATE")

def interrupt():
    while not queue._lock.locked():  # until the call below is amid its write
        threading.Event().wait(0.001)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    queue.enqueue("interrupted")
except KeyboardInterrupt:
    other.execute("ROLLBACK")
    print(queue.enqueue("later"))
print(*[kind for (kind,) in other.execute("SELECT job_type FROM job_queue")])
"""


def test_an_interrupted_call_is_not_written_later(path: Path) -> None:
    """Ctrl-C ends the call that waits for the lock; the next call stores its own job alone."""
    assert run(INTERRUPT, path) == ["1", "later"]


LINES_UP, COMES_AGAIN = 0.0, 60.0
WHERE = [
    (turnstile._lock, "return", LINES_UP),
    (turnstile._lock_at_once, "return", COMES_AGAIN),
    (turnstile.Turnstile.take, "return", LINES_UP),
    (Transaction.__exit__, "call", LINES_UP),
    (turnstile.Turnstile.leave, "call", LINES_UP),
]


@contextmanager
def interrupted(code: CodeType, at: str) -> Iterator[None]:
    """Ctrl-C at the first such moment of the block, as a signal may choose it."""

    def interrupt(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code is code and event == at:
            raise KeyboardInterrupt
        return interrupt

    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("call", [lambda q: q.enqueue("t"), lambda q: q.cancel(1)],
                         ids=["enqueue", "cancel"])
@pytest.mark.parametrize(("function", "event", "turn_lasts"), WHERE)
def test_an_interrupted_call_holds_up_nobody(
    path: Path,
    function: Callable[..., object],
    event: str,
    turn_lasts: float,
    call: Callable[[Queue], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wherever Ctrl-C strikes, the write lock and the turn of this writer are free."""
    monkeypatch.setattr(turnstile, "SLICE", turn_lasts)
    with Queue(path) as queue, closing(
        sqlite3.connect(path, timeout=0, isolation_level=None)
    ) as raw:
        queue.enqueue("t")
        with interrupted(function.__code__, event):
            call(queue)
        raw.execute("BEGIN IMMEDIATE")
        raw.execute("ROLLBACK")
        for name in ("line", "turn"):
            with Path(f"{path}.{name}").open("rb") as file:
                flock(file, LOCK_EX | LOCK_NB)
        assert queue.enqueue("t")
