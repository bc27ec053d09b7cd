"""How commands are ended: by a deadline, a person, a stop of the daemon, or because they failed."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from jobd.daemon.program import Stopper
from jobd.daemon.survivors import Left, end_left, group_of
from tests.daemon.harness import House
from tests.daemon.villain import Villain, until

EVERYONE = ("deaf-child", "deaf-session", "daemon", "bare", "hidden", "deaf-hidden")
"""Children that ignore SIGTERM, that left the session, that closed their descriptors, and both."""


@pytest.fixture
def villain(house: House) -> Iterator[Villain]:
    """In a house of its own, for tests that stop the daemon."""
    made = Villain(house)
    yield made
    made.put_away()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house and one daemon for all the jobs here that do not end their daemon."""
    with House(tmp_path_factory.mktemp("shop")) as made:
        made.handlers("")
        made.start(timing__kill_grace="150ms")
        yield made


@pytest.fixture
def guest(shop: House) -> Iterator[Villain]:
    """A villain in the shop."""
    made = Villain(shop)
    yield made
    made.put_away()


def up(villain: Villain, *words: str, options: tuple[str, ...] = ()) -> int:
    """A job of this villain, whose processes are up."""
    job_id = villain.exec(*words, options=options)
    villain.wait_up(len([word for word in words if word not in ("once", "deaf")]))
    return job_id


@pytest.mark.parametrize("how", [("sleep",), ("deaf", "sleep"), ("stop",), ("hide",),
                                 ("deaf", "hide")], ids="-".join)
def test_cancel_ends_the_program_itself(
    shop: House, guest: Villain, how: tuple[str, ...]
) -> None:
    """Willing, ignoring SIGTERM, stopped by SIGSTOP, without its descriptors and environment."""
    job_id = up(guest, *how)
    shop.cli("cancel", str(job_id))
    shop.daemons[-1].wait_for("job.cancelled", job_id=job_id)
    assert guest.left() == []
    assert shop.daemons[-1].events("job.zombified", job_id=job_id) == []


@pytest.mark.parametrize("kind", [*EVERYONE, "child", "session"])
def test_cancel_ends_whatever_the_program_started(shop: House, guest: Villain, kind: str) -> None:
    """Each kind of grandchild is gone when the log says that the job is cancelled."""
    job_id = up(guest, kind, "sleep")
    shop.cli("cancel", str(job_id))
    shop.daemons[-1].wait_for("job.cancelled", job_id=job_id)
    assert guest.left() == []
    job = shop.job(job_id)
    assert (job["status"], job["execution_over"]) == ("cancelled", 1)


@pytest.mark.parametrize("chain", ["group-chain", "deaf-group-chain"])
def test_cancel_ends_a_chain_of_short_lives_in_the_process_group(
    shop: House, guest: Villain, chain: str
) -> None:
    """No pid of it lives long enough to be found and signalled; a signal to the group ends it."""
    job_id = up(guest, chain, "sleep")
    shop.cli("cancel", str(job_id))
    shop.daemons[-1].wait_for("job.cancelled", job_id=job_id)
    assert guest.is_free(job_id)
    assert shop.daemons[-1].events("job.zombified", job_id=job_id) == []


def test_a_timeout_ends_everyone_before_the_next_attempt(shop: House, guest: Villain) -> None:
    """A family of misfits past its deadline: verdict timeout, all ended, then the retry alone."""
    job_id = guest.exec("once", *EVERYONE, "sleep", options=("--timeout", "1s"))
    daemon = shop.daemons[-1]
    daemon.wait_for("job.timed_out", job_id=job_id)
    daemon.wait_for("job.completed", job_id=job_id, attempt=2)
    assert guest.overlaps() == guest.left() == []
    assert len(guest.ups()) > 0
    (first,) = shop.attempts(job_id)
    assert (first["outcome"], first["failure_type"]) == ("retrying", "timeout")
    assert daemon.events("job.zombified", job_id=job_id) == []


def test_release_ends_everyone_and_charges_nothing(shop: House, guest: Villain) -> None:
    """Back in line after the end of all, run again alone, no retry and no rescue charged."""
    job_id = up(guest, "once", *EVERYONE, "sleep")
    shop.cli("release", str(job_id))
    daemon = shop.daemons[-1]
    daemon.wait_for("job.released", job_id=job_id)
    daemon.wait_for("job.completed", job_id=job_id, attempt=2)
    job = shop.job(job_id)
    assert (job["retry_count"], job["rescue_count"]) == (0, 0)
    assert guest.overlaps() == guest.left() == []


@pytest.mark.parametrize("end", ["exit=1", "die=11"])
def test_a_failure_ends_what_the_program_left_before_the_retry(
    shop: House, guest: Villain, end: str
) -> None:
    """It ended by itself and badly: its children are ended too, and the retry runs alone."""
    job_id = guest.exec("once", *EVERYONE, f"ups={len(EVERYONE)}", end)
    shop.daemons[-1].wait_for("job.completed", job_id=job_id, attempt=2)
    assert guest.overlaps() == guest.left() == []


def test_a_failure_waits_for_a_lock_that_is_held_by_nobody_it_finds(
    shop: House, guest: Villain
) -> None:
    """A survivor that changes its pid faster than /proc is read: the retry waits for its end."""
    job_id = guest.exec("once", "chain", "ups=1", "exit=1")
    shop.daemons[-1].wait_for("job.completed", job_id=job_id, attempt=2)
    assert guest.overlaps() == []


def test_what_a_good_command_leaves_behind_lives_on(shop: House, guest: Villain) -> None:
    """Completed, and the log names the pids: a session, a child, a daemon without descriptors."""
    job_id = guest.exec("session", "child", "daemon", "ups=3")
    told = shop.daemons[-1].wait_for("job.left_processes", job_id=job_id)
    assert sorted(told["pids"]) == sorted(guest.ups()) == sorted(guest.left())
    assert shop.daemons[-1].wait_for("job.completed", job_id=job_id)["attempt"] == 1


@pytest.mark.parametrize("verb", [None, "cancel"])
def test_leave_children_exempts_the_children_from_the_end(
    shop: House, guest: Villain, verb: str | None
) -> None:
    """With --leave-children a failed or cancelled program is ended alone."""
    last = "exit=1" if verb is None else "sleep"
    options = ("--leave-children", "--max-retries", "0")
    job_id = guest.exec("session", "child", "ups=2", last, options=options)
    guest.wait_up(2)
    children = guest.ups()[:2]
    if verb:
        guest.wait_up(3)
        shop.cli(verb, str(job_id))
    event = "job.cancelled" if verb else "job.dead_lettered"
    shop.daemons[-1].wait_for(event, job_id=job_id)
    assert sorted(guest.left()) == sorted(children)


def test_a_stop_of_the_daemon_ends_commands_and_gives_them_back(
    house: House, villain: Villain
) -> None:
    """After the grace everyone is ended; the job is pending, uncharged, and runs alone later."""
    first = house.start()
    job_id = up(villain, "once", *EVERYONE, "sleep")
    first.signal(signal.SIGTERM)
    first.wait_for("daemon.stopping")
    first.signal(signal.SIGTERM)
    assert first.exit_status() == 0
    assert villain.left() == []
    job = house.job(job_id)
    assert (job["status"], job["retry_count"], job["rescue_count"]) == ("pending", 0, 0)
    house.start().wait_for("job.completed", job_id=job_id, attempt=2)
    assert villain.overlaps() == []


def test_a_command_may_finish_within_the_grace_of_a_stop(house: House) -> None:
    """A stop does not signal it at first: what ends by itself in time is completed."""
    daemon = house.start(timing__shutdown_grace="10s")
    wait = f"until [ -e {house.root}/go ]; do sleep 0.01; done"
    script = f"trap 'exit 9' TERM; : > {house.root}/up; {wait}"
    job_id = int(house.cli("exec", "-q", "--", "sh", "-c", script))
    until((house.root / "up").exists)
    daemon.signal(signal.SIGTERM)
    daemon.wait_for("daemon.stopping")
    (house.root / "go").touch()
    assert daemon.exit_status() == 0
    assert house.status(job_id) == "completed"


def test_a_stop_takes_the_time_that_deaf_commands_need(house: House, villain: Villain) -> None:
    """With a long kill_grace the daemon goes when its commands are dead, not before."""
    daemon = house.start(timing__kill_grace="1200ms", timing__shutdown_grace="100ms")
    job_id = up(villain, "once", "deaf", "sleep")
    daemon.stop()
    assert villain.left() == []
    assert house.status(job_id) == "pending"


def test_what_a_good_command_left_outlives_the_daemon_too(house: House, villain: Villain) -> None:
    """Neither a stop nor a kill of the daemon, nor its successor, ends what a success left."""
    first = house.start()
    job_id = villain.exec("session", "ups=1")
    first.wait_for("job.completed", job_id=job_id)
    first.kill()
    assert house.start().stop() == 0
    assert villain.left() == villain.ups()


COUNTS_ITS_TERMS = """
import os, signal, sys
child = os.fork()
signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"term\\n" if not child else b""))
os.write(1, b"up\\n")
while True:
    signal.pause()
"""


def test_a_child_that_was_forked_after_the_look_is_told_once() -> None:
    """The group's signal has reached it; it is found with the next look, and not told again."""
    with subprocess.Popen([sys.executable, "-ISc", COUNTS_ITS_TERMS], stdout=subprocess.PIPE,
                          start_new_session=True) as program:
        assert program.stdout is not None
        assert [program.stdout.readline() for _ in range(2)] == [b"up\n"] * 2
        seen = iter([[program.pid]])

        def find() -> Left:
            return Left(next(seen, group_of(program.pid)), False, program.pid)

        assert not end_left(find, 0.1, time.sleep)
        assert program.stdout.read() == b"term\n"


class Nothing:
    """In place of a program of which nothing is left."""

    def end_left(self, _kill_grace: float) -> list[int]:
        return []


def test_a_stop_at_the_very_moment_of_the_end_is_survived() -> None:
    """Told to stop by one thread while the worker's thread has seen the end: no error in either."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(500):
            stopper = Stopper(Nothing(), 0.0)  # type: ignore[arg-type]
            caller = threading.Thread(target=stopper)
            caller.start()
            while not stopper.was_called:
                pass
            stopper.finish()
            caller.join()
    finally:
        sys.setswitchinterval(before)
