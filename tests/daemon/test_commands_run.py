"""`current_job().run(argv)`: a program that a handler starts belongs to the attempt as well."""

from collections.abc import Iterator

import pytest

from tests.daemon.harness import House
from tests.daemon.villain import Villain, until

HANDLERS = """
@jobd.job("runs")
def runs(argv: list):
    jobd.current_job().run(argv)

@jobd.job("minds-nothing")
def minds_nothing(argv: list):
    return jobd.current_job().run(argv, check=False).returncode

@jobd.job("gives-up-on-it")
def gives_up_on_it(argv: list):
    try:
        jobd.current_job().run(argv)
    except jobd.Stopped:
        pass
    return "done all the same"
"""

EVERYONE = ("deaf-child", "deaf-session", "daemon", "bare", "hidden", "deaf-hidden")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house and one daemon for all the jobs here that do not end their daemon."""
    with House(tmp_path_factory.mktemp("shop")) as made:
        made.handlers(HANDLERS)
        made.start(timing__kill_grace="150ms")
        yield made


class Guest(Villain):
    """A villain that handlers start, in a thread or in a process of their own."""

    def __init__(self, house: House, isolation: str) -> None:
        super().__init__(house)
        self._isolation = isolation

    def enqueue(self, handler: str, *words: str, **options: object) -> int:
        payload = {"argv": self.argv(*words)}
        return self._house.enqueue(handler, payload, isolation=self._isolation, **options)


@pytest.fixture(params=["thread", "process"])
def guest(shop: House, request: pytest.FixtureRequest) -> Iterator[Guest]:
    made = Guest(shop, request.param)
    yield made
    made.put_away()


def test_cancel_leaves_nobody_of_it(shop: House, guest: Guest) -> None:
    """Neither the program nor what it started, of its group or any other session."""
    job_id = guest.enqueue("runs", *EVERYONE, "sleep")
    guest.wait_up(len(EVERYONE) + 1)
    shop.cli("cancel", str(job_id))
    shop.daemons[-1].wait_for("job.cancelled", job_id=job_id)
    assert guest.left() == []


def test_a_program_without_marks_is_cancelled_too(shop: House, guest: Guest) -> None:
    """It closed its descriptors, cleared its environment and ignores SIGTERM."""
    job_id = guest.enqueue("runs", "deaf", "hide")
    guest.wait_up(1)
    shop.cli("cancel", str(job_id))
    shop.daemons[-1].wait_for("job.cancelled", job_id=job_id)
    assert guest.left() == []


def test_a_timeout_ends_it_before_the_next_attempt(shop: House, guest: Guest) -> None:
    """Past the deadline all are ended, then the retry runs alone."""
    job_id = guest.enqueue("runs", "once", *EVERYONE, "sleep", timeout="1500ms")
    shop.daemons[-1].wait_for("job.completed", job_id=job_id, attempt=2)
    assert guest.ups()[len(EVERYONE) :]
    assert guest.overlaps() == guest.left() == []


def test_a_failure_ends_what_it_left_before_the_retry(shop: House, guest: Guest) -> None:
    """The program exits with 1: its children are ended, then the handler is tried again."""
    job_id = guest.enqueue("runs", "once", *EVERYONE, f"ups={len(EVERYONE)}", "exit=1")
    shop.daemons[-1].wait_for("job.completed", job_id=job_id, attempt=2)
    assert guest.overlaps() == guest.left() == []


def test_a_failure_that_the_handler_minds_not_ends_what_it_left(
    shop: House, guest: Guest
) -> None:
    """check=False is about the exception, not about the children."""
    job_id = guest.enqueue("minds-nothing", *EVERYONE, f"ups={len(EVERYONE)}", "exit=7")
    shop.daemons[-1].wait_for("job.completed", job_id=job_id)
    assert shop.job(job_id)["result"] == "7"
    assert guest.left() == []


def test_a_handler_that_swallows_stopped_leaves_nobody(shop: House, guest: Guest) -> None:
    """Its own return counts for what it counts for; its program is gone in any case."""
    job_id = guest.enqueue("gives-up-on-it", "deaf-session", "deaf", "sleep")
    guest.wait_up(2)
    shop.cli("cancel", str(job_id))
    until(lambda: shop.status(job_id) in ("completed", "cancelled"))
    assert guest.left() == []
    assert shop.daemons[-1].process.poll() is None


def test_what_a_good_program_leaves_lives_on(shop: House, guest: Guest) -> None:
    """It exited with 0: what it started is let be, as for a command."""
    job_id = guest.enqueue("runs", "session", "ups=1")
    shop.daemons[-1].wait_for("job.completed", job_id=job_id)
    assert guest.left() == guest.ups()


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_after_a_kill_of_the_daemon_it_is_ended_before_the_next_attempt(
    house: House, isolation: str
) -> None:
    """The programs of the dead daemon and their children are gone before the handler runs again."""
    house.handlers(HANDLERS)
    guest = Guest(house, isolation)
    first = house.start(retry__worker_lost__initial_delay="10ms")
    kinds = ("deaf-session", "daemon", "bare")
    job_id = guest.enqueue("runs", "once", *kinds, "sleep")
    guest.wait_up(len(kinds) + 1)
    first.kill()
    house.start().wait_for("job.completed", job_id=job_id, attempt=2)
    assert guest.overlaps() == guest.left() == []
    assert house.job(job_id)["rescue_count"] == 1
