"""Running a Python handler, and turning whatever comes out of it into an ending."""

import asyncio
import contextvars
import json
import os
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import get_native_id  # by our own name: a handler may replace the module's
from typing import Any

from jobd.core.classify import classify
from jobd.core.config import Config
from jobd.core.current import call_as
from jobd.core.job import (
    EndedEarly,
    Ending,
    Fail,
    Failed,
    Failure,
    Retry,
    Snooze,
    Snoozed,
    Stopped,
    Succeeded,
    checked_delay,
    checked_type,
)
from jobd.core.lifecycle import FailureType
from jobd.core.payload import clean_text, encode
from jobd.core.registry import Handler
from jobd.daemon.attempt import Attempt
from jobd.daemon.context import JobContext
from jobd.errors import BadInput

LONGEST_MESSAGE = 2_000
_decoder = json.JSONDecoder()
_NOTHING = Succeeded(None)
OUR_ROOMS = (str(Path(__file__).parent), str(Path(__file__).parents[1] / "core"))


class PythonRunner:
    """Runs handlers one after another in one thread, coroutines in that thread's own loop."""

    def __init__(
        self, config: Callable[[], Config], over: Callable[[Attempt], None] = lambda _: None
    ) -> None:
        """Made in the thread that runs it. `over` is called after each attempt, before its ending
        is known to anyone else."""
        self._config = config
        self._over = over
        self._thread_id = get_native_id()
        self._asyncio: asyncio.Runner | None = None

    def run(self, attempt: Attempt, context: JobContext) -> Ending:
        """Call the handler; never raises, whatever the handler does."""
        try:
            result = call_as(context, self._call, attempt)
            if result is None and not attempt.enqueued:
                return _NOTHING
            return Succeeded(self._encoded(result), tuple(attempt.enqueued))
        except BaseException as error:  # noqa: BLE001 - any way out of a handler is an ending
            return self._ending_of_any(attempt, error)
        finally:
            if get_native_id() != self._thread_id:
                # The handler forked, and this is the child: the daemon's threads are not here.
                # Only the kernel knows: a C library forks past all hooks of Python's, and in a
                # namespace of its own a child may have the pid that its parent has.
                os._exit(0)
            self._over(attempt)

    def close(self) -> None:
        if self._asyncio is not None:
            self._asyncio.close()

    def _call(self, attempt: Attempt) -> Any:
        handler = attempt.handler
        payload = _decoded(attempt.job.payload)
        try:
            if handler.is_async:
                return self._run_coroutine(attempt, payload)
            return handler.function(**payload)
        except TypeError as error:
            raise _misfit(handler, payload) or error from None

    def _run_coroutine(self, attempt: Attempt, payload: dict[str, Any]) -> Any:
        if self._asyncio is None:
            self._asyncio = asyncio.Runner()
        result, error = self._asyncio.run(
            _interruptible(attempt, payload), context=contextvars.copy_context()
        )
        if error is not None:
            raise error
        return result

    def _encoded(self, result: object) -> str | None:
        if result is None:
            return None
        try:
            return encode(result, self._config().limits.max_result, "the handler's result")
        except BadInput as error:
            raise _Misfit(str(error)) from None

    def _ending_of_any(self, attempt: Attempt, error: BaseException) -> Ending:
        """What `error` comes to, though it may raise at every question about it."""
        try:
            return self._ending(attempt, error)
        except BaseException as broken:  # noqa: BLE001 - see above
            text = f"{class_name(error)}, which cannot be understood: {message_of(broken)}"
            return Failed(Failure(FailureType.UNKNOWN, clean_text(text, LONGEST_MESSAGE)))

    def _ending(self, attempt: Attempt, error: BaseException) -> Ending:
        match error:
            case Stopped():
                return EndedEarly(attempt.stopping.reason)
            case asyncio.CancelledError() if attempt.stopping.is_set():
                return EndedEarly(attempt.stopping.reason)
            case _Misfit():
                return Failed(Failure(FailureType.VALIDATION, clean_text(str(error))))
            case Snooze():
                # Checked when they were made; a handler may have changed them since.
                return Snoozed(checked_delay(error.seconds))
            case Retry():
                after = None if error.after is None else checked_delay(error.after)
                return Failed(_failure(error, checked_type(error.failure_type), after=after))
            case Fail():
                return Failed(_failure(error, checked_type(error.failure_type), final=True))
            case _:
                return Failed(_failure(error, classify(error, self._config().classify)))


async def _interruptible(
    attempt: Attempt, payload: dict[str, Any]
) -> tuple[Any, BaseException | None]:
    """Await the handler so that the sweep can cancel it, and leave no task of it behind.

    What it raises is returned: the loop itself would look at it, and may not survive that.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - asyncio.Runner.run made it
    attempt.interrupt = lambda: loop.call_soon_threadsafe(task.cancel)
    if attempt.stopping.is_set() and attempt.stopping.reason != "stop":
        raise Stopped
    try:
        attempt.coroutine = attempt.handler.function(**payload)
        return await attempt.coroutine, None
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - any way out of a handler is an ending
        return None, error
    finally:
        attempt.interrupt = attempt.coroutine = None
        left = asyncio.all_tasks() - {task}
        for other in left:
            other.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _decoded(payload: str) -> Any:
    """The value; one without space around it, as jobd writes them, in half the time."""
    try:
        value, end = _decoder.raw_decode(payload)
    except ValueError:
        return _decoder.decode(payload)
    return value if end == len(payload) else _decoder.decode(payload)


class _Misfit(Exception):
    """The payload does not fit the handler, or its result is not JSON: a validation failure."""


def _misfit(handler: Handler, payload: Mapping[str, Any]) -> _Misfit | None:
    """Whether the handler's signature refuses the payload."""
    try:
        handler.signature.bind(**payload)
    except TypeError as error:
        return _Misfit(f"payload does not fit {handler.job_type}{handler.signature}: {error}")
    return None


def _failure(
    error: BaseException,
    failure_type: FailureType,
    *,
    after: float | None = None,
    final: bool = False,
) -> Failure:
    return Failure(failure_type, message_of(error), _traceback(error), after, final)


def message_of(error: BaseException) -> str:
    """What an exception says, with its class; never raises."""
    try:
        text = str(error)
    except BaseException as broken:  # noqa: BLE001 - an exception may fail even at naming itself
        text = f"(its message raised {class_name(broken)})"
    ours = issubclass(type(error), Retry | Fail)
    return clean_text(text if ours else f"{class_name(error)}: {text}", LONGEST_MESSAGE)


def class_name(error: BaseException) -> str:
    """The name of its class, whatever its metaclass would rather say."""
    name: str = type.__dict__["__name__"].__get__(type(error))
    return name


def _traceback(error: BaseException) -> str | None:
    try:
        return clean_text("".join(traceback.format_exception(_without_our_frames(error))))
    except BaseException:  # noqa: BLE001 - as in message_of
        return None


def _without_our_frames(error: BaseException) -> BaseException:
    """The traceback from the handler on: how jobd came to call it helps nobody."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename.startswith(OUR_ROOMS):
        found = found.tb_next
    return error if found is None else error.with_traceback(found)
