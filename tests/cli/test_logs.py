"""`jobd logs` of Python handlers: while they run, attempt by attempt, and when there is nothing."""

from collections.abc import Iterator

import pytest

from tests.cli.test_exec import Verb
from tests.daemon.harness import House, close_gates
from tests.daemon.villain import logs, until
from tests.daemon.warm import Starter

HANDLERS = r"""
@job("speaks")
def speaks(gate: str):
    print("early")
    wait_at(gate)
    print("late")

@job("stumbles")
def stumbles(gate: str):
    attempt = jobd.current_job().attempt
    print("attempt", attempt)
    if attempt == 1:
        wait_at(gate)
    if attempt < 4:
        raise jobd.Retry("again", after=0)

@job("colours")
def colours():
    print("\x1b[31mred\x07")
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house and one daemon for all tests here."""
    with House(tmp_path_factory.mktemp("shop")) as made:
        made.handlers(HANDLERS)
        made.start()
        yield made
    close_gates()
    Starter.put_away()


def ran(house: House, job_type: str) -> str:
    job_id = house.enqueue(job_type)
    house.daemons[-1].wait_for("job.completed", job_id=job_id)
    return str(job_id)


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_it_follows_a_handler_until_its_end(shop: House, isolation: str) -> None:
    """What was printed is there at once, without a flush; -f shows the rest as it comes."""
    gate = shop.gate(f"speaks-{isolation}")
    job_id = str(shop.enqueue("speaks", {"gate": f"speaks-{isolation}"}, isolation=isolation))
    verb = Verb(shop, "logs", "-f", job_id)
    verb.wait_for(b"early\n")
    gate.open()
    assert verb.ended() == 0
    assert verb.said == b"early\nlate\n"


def test_following_goes_on_through_all_attempts(shop: House) -> None:
    """Retries that come and go between two looks are shown too, in their order."""
    gate = shop.gate("stumbles")
    job_id = str(shop.enqueue("stumbles", {"gate": "stumbles"}, max_retries=5))
    verb = Verb(shop, "logs", "-f", job_id)
    verb.wait_for(b"attempt 1\n")
    gate.open()
    assert verb.ended() == 0
    assert verb.said == b"".join(b"attempt %d\n" % n for n in range(1, 5))


def test_following_one_attempt_ends_with_it(shop: House) -> None:
    """-f --attempt 1 shows nothing of the attempts that follow."""
    gate = shop.gate("first")
    job_id = str(shop.enqueue("stumbles", {"gate": "first"}, max_retries=5))
    until(lambda: shop.status(int(job_id)) == "running")
    verb = Verb(shop, "logs", "-f", "--attempt", "1", job_id)
    verb.wait_for(b"attempt 1\n")
    gate.open()
    assert verb.ended() == 0
    assert verb.said == b"attempt 1\n"


def test_it_says_that_a_handler_has_written_nothing(shop: House) -> None:
    """A quiet attempt is no error: nothing on standard output, a sentence beside it."""
    job_id = ran(shop, "quick")
    said = f"jobd: job {job_id} has written nothing in attempt 1\n"
    assert logs(shop, job_id) == (b"", said.encode())


def test_it_says_nothing_beside_an_empty_stream(shop: House) -> None:
    """The attempt has written, if not into the stream that was asked for."""
    job_id = ran(shop, "colours")
    assert logs(shop, job_id, "--stream", "stderr") == (b"", b"")


def test_it_says_what_attempts_there_are(shop: House) -> None:
    """An attempt that never was is exit status 1, as a job that has not run yet."""
    job_id = ran(shop, "quick")
    shop.cli("logs", job_id, "--attempt", "2", expect=1)
    assert f"job {job_id} has no attempt 2; its latest is 1" in shop.said
    later = str(shop.enqueue("quick", delay=3600))
    shop.cli("logs", later, expect=1)
    assert f"job {later} has not run yet" in shop.said


def test_a_handler_cannot_drive_the_terminal(shop: House) -> None:
    """Control characters are shown escaped on a terminal, and copied as they are elsewhere."""
    job_id = ran(shop, "colours")
    assert logs(shop, job_id)[0] == b"\x1b[31mred\x07\n"
    verb = Verb(shop, "logs", job_id, terminal=True)
    assert verb.ended() == 0
    assert verb.said.strip() == b"\\x1b[31mred\\x07"
