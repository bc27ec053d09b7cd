"""`@job`: what it registers, and what it refuses while the handlers are imported."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from jobd.core import registry
from jobd.core.lifecycle import FailureType
from jobd.core.registry import HANDLERS, job
from jobd.errors import HandlersError


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    """Each test starts without handlers, and leaves none behind."""
    before = dict(HANDLERS)
    HANDLERS.clear()
    yield
    HANDLERS.clear()
    HANDLERS.update(before)


def thumbnail(path: str, size: int = 256) -> tuple[str, int]:
    """Make a small picture."""
    return path, size


async def fetch(url: str) -> str:
    return url


class Remembers:
    """A Queue as `handler.enqueue` needs it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Mapping[str, Any]]] = []

    def enqueue(self, job_type: str, payload: Mapping[str, Any]) -> int:
        self.seen.append((job_type, payload))
        return 17


def test_a_handler_is_found_by_its_job_type() -> None:
    """The registered handler carries what the decorator said."""
    handler = job("thumbnail", queue="media", timeout=30, max_retries=5)(thumbnail)
    assert list(HANDLERS.items()) == [("thumbnail", handler)]
    assert (handler.job_type, handler.queue) == ("thumbnail", "media")
    assert (handler.timeout, handler.max_retries, handler.retries) == (30, 5, {})


def test_a_handler_stays_a_function() -> None:
    """Called directly it does what the function does, and looks like it."""
    handler = job("thumbnail")(thumbnail)
    assert handler("a.jpg", size=8) == ("a.jpg", 8)
    assert handler.__name__ == "thumbnail"
    assert handler.__doc__ == "Make a small picture."
    assert list(handler.signature.parameters) == ["path", "size"]


@pytest.mark.parametrize(("function", "expected"), [(thumbnail, False), (fetch, True)])
def test_coroutines_are_told_from_functions(function: Any, expected: bool) -> None:
    """An async handler is awaited, any other is called."""
    assert job("t")(function).is_async is expected


def test_a_handler_enqueues_a_job_of_its_type() -> None:
    """`thumbnail.enqueue(queue, path=...)` names the type by itself."""
    queue = Remembers()
    assert job("thumbnail")(thumbnail).enqueue(queue, path="a.jpg") == 17
    assert queue.seen == [("thumbnail", {"path": "a.jpg"})]


@pytest.mark.parametrize("timeout", [None, 30, 0.5, "500ms", "10m"])
def test_a_timeout_is_seconds_or_a_duration(timeout: float | str | None) -> None:
    """Text is read as a duration, numbers are seconds."""
    seconds = {"500ms": 0.5, "10m": 600.0}.get(timeout, timeout)  # type: ignore[arg-type]
    assert job("t", timeout=timeout)(thumbnail).timeout == seconds


def test_retries_may_be_named_by_type() -> None:
    """The names become failure types."""
    handler = job("t", retries={"validation": 2, "network": 0})(thumbnail)
    assert handler.retries == {FailureType.VALIDATION: 2, FailureType.NETWORK: 0}


def test_the_same_function_may_be_registered_again() -> None:
    """A module that is imported anew replaces its own handler."""
    job("t")(thumbnail)
    again = job("t")(thumbnail)
    assert HANDLERS["t"] is again


def test_two_functions_cannot_run_one_type() -> None:
    """The sentence names both."""
    job("t")(thumbnail)
    here = __name__
    with pytest.raises(HandlersError) as refused:
        job("t")(fetch)
    assert str(refused.value) == (
        f"job type 't' is registered twice: by {here}.thumbnail and by {here}.fetch"
    )
    assert HANDLERS["t"].function is thumbnail


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"job_type": ""}, "job type '' is no name"),
        ({"job_type": "a b"}, "job type 'a b' is no name"),
        ({"job_type": None}, "job type None is no name"),
        ({"queue": "a b"}, "queue 'a b' is no name"),
        ({"timeout": 0}, "a timeout of 0 s is not possible"),
        ({"timeout": -1}, "a timeout of -1 s is not possible"),
        ({"timeout": math.nan}, "a timeout of nan s is not possible"),
        ({"timeout": math.inf}, "a timeout of inf s is not possible"),
        ({"timeout": "0s"}, "a timeout of 0.0 s is not possible"),
        ({"timeout": "soon"}, "'soon' is no duration"),
        ({"max_retries": -1}, "-1 retries are not possible"),
        ({"max_retries": 1.5}, "1.5 retries are not possible"),
        ({"max_retries": "3"}, "3"),
        ({"retries": {"validation": -2}}, "-2 retries are not possible"),
        ({"retries": {"validation": None}}, "None retries are not possible"),
        ({"retries": {"netwrok": 2}}, "netwrok"),
        ({"isolation": "container"}, "isolation must be 'thread' or 'process', not 'container'"),
    ],
)
def test_a_handler_that_cannot_work_is_refused(options: dict[str, Any], says: str) -> None:
    """The sentence names the function and what is wrong; nothing is registered."""
    given = {"job_type": "t", **options}
    with pytest.raises(HandlersError) as refused:
        job(**given)(thumbnail)
    assert str(refused.value).startswith(f"handler {__name__}.thumbnail: ")
    assert says in str(refused.value)
    assert HANDLERS == {}


def test_the_decorator_without_its_name_is_refused() -> None:
    """`@job` instead of `@job("thumbnail")` says so instead of registering nothing."""
    with pytest.raises(HandlersError, match="thumbnail"):
        job(thumbnail)  # type: ignore[arg-type]


def test_the_registry_is_the_one_of_the_process() -> None:
    """Handler modules and the daemon see the same table."""
    assert registry.HANDLERS is HANDLERS
