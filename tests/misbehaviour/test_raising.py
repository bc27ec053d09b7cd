"""Whatever comes out of a handler is an ending of its attempt, and of nothing else."""

from collections.abc import Iterator

import pytest

from tests.daemon.harness import House, RunningDaemon

HANDLERS = r'''
import asyncio

class Exiting(BaseException):
    def __str__(self):
        raise SystemExit("from __str__")

class Endless(Exception):
    def __str__(self):
        return str(self)

class Huge(Exception):
    def __str__(self):
        return "x" * 20_000_000

class Odd(str):
    def __len__(self):
        raise RuntimeError("no length")
    __getitem__ = encode = replace = __len__

class OddText(Exception):
    def __str__(self):
        return Odd("odd")

class NoText(Exception):
    def __str__(self):
        return 3

class NamelessClass(type):
    @property
    def __name__(cls):
        raise RuntimeError("no name")

class Nameless(Exception, metaclass=NamelessClass):
    pass

class Classless(Exception):
    @property
    def __class__(self):
        raise RuntimeError("no class")

class NoTraceback(Exception):
    def with_traceback(self, traceback):
        raise RuntimeError("no traceback")

class ItemsExit(dict):
    def items(self):
        raise SystemExit(4)

class BadRepr:
    def __repr__(self):
        raise KeyboardInterrupt

def throw(error):
    raise error

def changed(error, **values):
    for name, value in values.items():
        setattr(error, name, value)
    raise error

def dig():
    return dig() + 1

def twenty_thousand_causes():
    error = None
    for number in range(20_000):
        following = LookupError(number)
        following.__cause__ = error
        error = following
    raise error

WAYS = {
    "SystemExit": lambda: sys.exit("goodbye"),
    "KeyboardInterrupt": lambda: throw(KeyboardInterrupt()),
    "GeneratorExit": lambda: throw(GeneratorExit()),
    "StopIteration": lambda: throw(StopIteration(3)),
    "CancelledError": lambda: throw(asyncio.CancelledError()),
    "MemoryError": lambda: bytearray(1 << 60),
    "RecursionError": dig,
    "BaseException": lambda: throw(BaseException("bare")),
    "a group of two exits": lambda: throw(BaseExceptionGroup("two", [SystemExit(), SystemExit()])),
    "a message that exits": lambda: throw(Exiting()),
    "a message without end": lambda: throw(Endless()),
    "a message of 20 MB": lambda: throw(Huge()),
    "a message that is odd text": lambda: throw(OddText()),
    "a message that is no text": lambda: throw(NoText()),
    "a class without a name": lambda: throw(Nameless()),
    "no class": lambda: throw(Classless()),
    "no traceback": lambda: throw(NoTraceback()),
    "twenty thousand causes": twenty_thousand_causes,
    "Stopped unasked": lambda: throw(jobd.Stopped()),
    "Retry after infinity": lambda: throw(jobd.Retry(after=float("inf"))),
    "Retry for a type that is none": lambda: throw(jobd.Retry(failure_type="banana")),
    "Retry changed to a word": lambda: changed(jobd.Retry(after=1), after="soon"),
    "Retry changed to NaN": lambda: changed(jobd.Retry(), after=float("nan")),
    "Retry changed to a type that is none": lambda: changed(jobd.Retry(), failure_type="banana"),
    "Fail changed to an object": lambda: changed(jobd.Fail(), failure_type=object()),
    "Snooze of a word": lambda: changed(jobd.Snooze(1), seconds="a while"),
    "Snooze of infinity": lambda: changed(jobd.Snooze(1), seconds=float("inf")),
    "a result whose items exit": lambda: ItemsExit(a=1),
    "a log line whose value interrupts": lambda: jobd.current_job().log.info("x", a=BadRepr()),
    "progress of NaN": lambda: jobd.current_job().progress(float("nan")),
    "progress of infinity": lambda: jobd.current_job().progress(1, float("inf")),
    "a checkpoint of NaN": lambda: jobd.current_job().checkpoint(float("nan")),
}

@job("misbehaves", max_retries=0)
def misbehaves(way: str):
    return WAYS[way]()

@job("misbehaves_async", max_retries=0)
async def misbehaves_async(way: str):
    await asyncio.sleep(0)
    return WAYS[way]()

@job("ways")
def ways():
    return list(WAYS)
'''


@pytest.fixture(scope="module", params=["thread", "process"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[House, RunningDaemon]]:
    """One daemon with one worker, whose handlers run in threads or in processes."""
    with House(tmp_path_factory.mktemp("raising")) as house:
        house.handlers(HANDLERS)
        yield house, house.start("--workers", "1", pool__isolation=request.param)


@pytest.mark.parametrize("job_type", ["misbehaves", "misbehaves_async"])
def test_no_way_out_of_a_handler_costs_more_than_its_attempt(
    running: tuple[House, RunningDaemon], job_type: str
) -> None:
    """Each ends as one failure with a message, and the only worker runs the next job."""
    house, daemon = running
    asked = house.enqueue("ways")
    daemon.wait_for("job.completed", job_id=asked)
    ways = house.queue.get(asked)["result"]
    ids = {way: house.enqueue(job_type, {"way": way}) for way in ways}
    after = house.enqueue("quick")
    daemon.wait_for("job.completed", job_id=after, deadline=60)
    for job_id in ids.values():
        house.queue.wait(job_id, timeout=60)
    parked = {way: house.job(job_id) for way, job_id in ids.items()}
    assert {way: row["status"] for way, row in parked.items() if row["status"] != "dead_letter"
            } == {}
    assert [way for way, row in parked.items() if not row["error_message"]] == []
    assert [way for way, row in parked.items() if len(row["error_message"]) > 2_100] == []
    assert [way for way, row in parked.items() if "jobd itself" in row["error_message"]] == []
    assert [way for way, row in parked.items() if "its process" in row["error_message"]] == []
    for job_id in ids.values():
        house.cli("show", str(job_id))
    assert daemon.events("sweep.failed") == []


def test_progress_that_is_no_number_harms_nobody(running: tuple[House, RunningDaemon]) -> None:
    """It is refused where the handler stands; the daemon writes the progress of others."""
    house, daemon = running
    job_id = house.enqueue("misbehaves", {"way": "progress of NaN"})
    ended = daemon.wait_for("job.dead_lettered", job_id=job_id, failure_type="validation")
    assert "neither may be infinite or NaN" in ended["error"]
