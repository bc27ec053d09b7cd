"""Writers take turns, but nobody who holds a turn can keep the others out."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO

import pytest

from jobd import clock
from jobd.store import turnstile
from jobd.store.connection import Database
from jobd.store.turnstile import PATIENCE, Turnstile

WRITE = """
import sys
from contextlib import closing
from jobd.store.opening import open_database
with closing(open_database(sys.argv[1], now=1, synchronous="normal")) as database:
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(50):
        with database.transaction() as db:
            db.execute("INSERT INTO job_queue (job_type, created_at) VALUES (?, 1)", sys.argv[2:])
    print("done", flush=True)
"""

HOLD = """
import os, sys
from pathlib import Path
from jobd.store.turnstile import Turnstile
turnstile = Turnstile(Path(sys.argv[1]))
with turnstile.turn():
    if os.fork() == 0:
        turnstile.abandon()
        print("abandoned", flush=True)
        os._exit(0)
    os.wait()
    sys.stdin.readline()
print("left", flush=True)
sys.stdin.readline()
"""


@contextmanager
def program(source: str, *arguments: object) -> Iterator[tuple[IO[str], IO[str], int]]:
    """A Python program of its own, as (what it reads, what it prints, its pid)."""
    argv = [sys.executable, "-c", source, *map(str, arguments)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        yield process.stdin, process.stdout, process.pid


def say(to: IO[str]) -> None:
    to.write("go\n")
    to.flush()


def time_of_a_turn(turnstile: Turnstile) -> float:
    """Seconds until the block is entered."""
    began = clock.monotonic()
    with turnstile.turn():
        return clock.monotonic() - began


@pytest.fixture
def three(path: Path) -> Iterator[tuple[Turnstile, Turnstile, Turnstile]]:
    """Three writers' places in the turnstile of one database."""
    with ExitStack() as stack:
        first, second, third = (stack.enter_context(closing(Turnstile(path))) for _ in range(3))
        yield first, second, third


def test_two_processes_both_get_in(path: Path, database: Database) -> None:
    """Two that write as fast as they can finish together, each with all its jobs stored."""
    with (
        program(WRITE, path, "a") as (to_a, from_a, _),
        program(WRITE, path, "b") as (to_b, from_b, _),
    ):
        assert [from_a.readline(), from_b.readline()] == ["ready\n", "ready\n"]
        say(to_a)
        say(to_b)
        assert [from_a.readline(), from_b.readline()] == ["done\n", "done\n"]
    found = database.connection.execute(
        "SELECT job_type, count(*) FROM job_queue GROUP BY job_type ORDER BY job_type"
    ).fetchall()
    assert found == [("a", 50), ("b", 50)]


def test_a_free_turn_is_had_at_once(three: tuple[Turnstile, ...]) -> None:
    """One after the other, none of them waits."""
    assert max(time_of_a_turn(each) for each in (*three, *three)) < PATIENCE


def test_a_holder_that_never_leaves_delays_but_does_not_stop(
    three: tuple[Turnstile, ...]
) -> None:
    """Who waits for the turn goes on without it after its patience."""
    holder, second, _ = three
    with holder.turn():
        waited = time_of_a_turn(second)
    assert PATIENCE <= waited < PATIENCE + 1


def test_the_longest_delay_is_two_patiences(path: Path, three: tuple[Turnstile, ...]) -> None:
    """Behind one who stands in line and one who has the turn: half a second, then go."""
    holder, _, last = three
    in_line = os.open(f"{path}.line", os.O_RDWR | os.O_CREAT)
    try:
        with holder.turn():
            fcntl.flock(in_line, fcntl.LOCK_EX)
            waited = time_of_a_turn(last)
    finally:
        os.close(in_line)
    assert 2 * PATIENCE <= waited < 2 * PATIENCE + 1


def test_who_went_without_a_turn_frees_nobody_s(three: tuple[Turnstile, ...]) -> None:
    """The holder still holds it for the next one who comes."""
    holder, second, third = three
    with holder.turn():
        time_of_a_turn(second)
        assert time_of_a_turn(third) >= PATIENCE


@pytest.mark.parametrize(("lasts", "waits"), [(60.0, False), (0.0, True)])
def test_a_writer_comes_again_before_those_in_line_until_its_time_is_up(
    path: Path,
    three: tuple[Turnstile, ...],
    monkeypatch: pytest.MonkeyPatch,
    lasts: float,
    waits: bool,
) -> None:
    """While another is next in line: at once at first, and after that only behind it."""
    monkeypatch.setattr(turnstile, "SLICE", lasts)
    writer, *_ = three
    time_of_a_turn(writer)
    in_line = os.open(f"{path}.line", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(in_line, fcntl.LOCK_EX)
        assert (time_of_a_turn(writer) >= PATIENCE) is waits
    finally:
        os.close(in_line)


def test_a_daemon_waits_for_the_turn_alone(path: Path, three: tuple[Turnstile, ...]) -> None:
    """However many producers stand in line, it is next; but nobody is driven out for it."""
    daemon, holder, _ = three
    daemon.lines_up = False
    in_line = os.open(f"{path}.line", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(in_line, fcntl.LOCK_EX)
        assert time_of_a_turn(daemon) < PATIENCE
    finally:
        os.close(in_line)
    with holder.turn():
        assert time_of_a_turn(daemon) >= PATIENCE


def test_a_turn_ends_with_its_block(three: tuple[Turnstile, ...]) -> None:
    """Also when the block fails."""
    holder, second, _ = three
    with pytest.raises(ValueError), holder.turn():
        raise ValueError
    assert time_of_a_turn(second) < PATIENCE


def test_a_forked_child_leaves_the_turn_to_its_parent(path: Path) -> None:
    """Abandoning the copy in a child frees nothing; only the parent's leaving does."""
    with program(HOLD, path) as (to_holder, from_holder, _), closing(Turnstile(path)) as mine:
        assert from_holder.readline() == "abandoned\n"
        assert time_of_a_turn(mine) >= PATIENCE
        say(to_holder)
        assert from_holder.readline() == "left\n"
        assert time_of_a_turn(mine) < PATIENCE
        say(to_holder)


def test_a_killed_holder_frees_its_turn(path: Path) -> None:
    """The kernel takes the lock back with the process."""
    with closing(Turnstile(path)) as mine:
        with program(HOLD, path) as (_, from_holder, pid):
            assert from_holder.readline() == "abandoned\n"
            assert time_of_a_turn(mine) >= PATIENCE
            os.kill(pid, signal.SIGKILL)
        assert time_of_a_turn(mine) < PATIENCE


def test_a_closed_turnstile_opens_again(three: tuple[Turnstile, ...]) -> None:
    """Closing twice is fine, and the next turn opens the files again."""
    first, _, _ = three
    time_of_a_turn(first)
    first.close()
    first.close()
    assert time_of_a_turn(first) < PATIENCE
