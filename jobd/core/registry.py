"""`@job`: which function runs which job type, and what it says about timeout and retries."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from jobd.core.command import EXEC
from jobd.core.durations import LONGEST, parse_duration
from jobd.core.lifecycle import FailureType
from jobd.core.names import check_name
from jobd.core.new_job import check_isolation
from jobd.errors import BadInput, HandlersError


class Enqueues(Protocol):
    """What `handler.enqueue` needs of a Queue."""

    def enqueue(self, job_type: str, payload: Mapping[str, Any]) -> int: ...


@dataclass(eq=False)
class Handler:
    """A registered function. Calling it calls the function, so it stays testable as it is."""

    job_type: str
    function: Callable[..., Any]
    queue: str | None = None
    timeout: float | None = None
    """Seconds an attempt may take; None leaves it to the configuration."""
    max_retries: int | None = None
    retries: Mapping[FailureType, int] = field(default_factory=dict)
    isolation: str | None = None
    """"thread" or "process"; None leaves it to the configuration."""

    @functools.cached_property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def enqueue(self, queue: Enqueues, /, **payload: Any) -> int:
        """Enqueue a job of this type into `queue` (a jobd.Queue)."""
        return queue.enqueue(self.job_type, payload)


HANDLERS: dict[str, Handler] = {}
"""Every handler of this process, by job type; filled while handler modules are imported."""


def job(
    job_type: str,
    *,
    queue: str | None = None,
    timeout: float | str | None = None,
    max_retries: int | None = None,
    retries: Mapping[str, int] | None = None,
    isolation: str | None = None,
) -> Callable[[Callable[..., Any]], Handler]:
    """Register the decorated function as the handler of `job_type`.

    `timeout` is in seconds, or a duration such as "10m". `max_retries` bounds the retries of
    every failure type that is retried at all; `retries={"validation": 2}` names one type.
    `isolation="process"` runs it in a process of its own, which can be killed.

    Raises:
        HandlersError: the name, a duration or a failure type is wrong, or the type is taken.
    """

    if callable(job_type):
        raise HandlersError(f'{_place(job_type)}: write @job("a-name"), with the job type')

    def register(function: Callable[..., Any]) -> Handler:
        handler = _handler(job_type, function, queue, timeout, max_retries, retries or {})
        handler.isolation = _isolation(function, isolation)
        taken = HANDLERS.get(job_type)
        if taken is not None and _place(taken.function) != _place(function):
            raise HandlersError(
                f"job type {job_type!r} is registered twice: by {_place(taken.function)} "
                f"and by {_place(function)}"
            )
        HANDLERS[job_type] = handler
        functools.update_wrapper(handler, function, updated=())
        return handler

    return register


def _handler(
    job_type: str,
    function: Callable[..., Any],
    queue: str | None,
    timeout: float | str | None,
    max_retries: int | None,
    retries: Mapping[str, int],
) -> Handler:
    try:
        check_name("job type", job_type)
        if queue is not None:
            check_name("queue", queue)
        seconds = parse_duration(timeout) if isinstance(timeout, str) else timeout
        named = {FailureType(name): limit for name, limit in retries.items()}
    except (BadInput, ValueError) as error:
        raise HandlersError(f"handler {_place(function)}: {error}") from None
    if job_type == EXEC:
        raise HandlersError(f"handler {_place(function)}: {EXEC!r} is the type of commands")
    if seconds is not None and not 0 < seconds <= LONGEST:
        raise HandlersError(f"handler {_place(function)}: a timeout of {seconds} s is not possible")
    for limit in (0 if max_retries is None else max_retries, *named.values()):
        if type(limit) is not int or limit < 0:
            raise HandlersError(f"handler {_place(function)}: {limit!r} retries are not possible")
    return Handler(job_type, function, queue, seconds, max_retries, named)


def _isolation(function: Callable[..., Any], isolation: str | None) -> str | None:
    try:
        return check_isolation(isolation)
    except BadInput as error:
        raise HandlersError(f"handler {_place(function)}: {error}") from None


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
