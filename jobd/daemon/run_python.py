"""Running a Python handler, and turning whatever comes out of it into an ending."""

import asyncio
import contextvars
import json
import traceback
from collections.abc import Mapping
from typing import Any

from jobd.core.classify import classify
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
)
from jobd.core.lifecycle import FailureType
from jobd.core.payload import clean_text, encode
from jobd.core.registry import Handler
from jobd.daemon.attempt import Attempt
from jobd.daemon.context import JobContext
from jobd.errors import BadInput

LONGEST_MESSAGE = 2_000


class PythonRunner:
    """Runs handlers one after another in one thread, coroutines in that thread's own loop."""

    def __init__(self, classes: Mapping[str, FailureType], max_result: int) -> None:
        self.classes = classes
        self.max_result = max_result
        self._asyncio: asyncio.Runner | None = None

    def run(self, attempt: Attempt, context: JobContext) -> Ending:
        """Call the handler; never raises, whatever the handler does."""
        try:
            result = call_as(context, lambda: self._call(attempt))
            return Succeeded(self._encoded(result), tuple(attempt.enqueued))
        except BaseException as error:  # noqa: BLE001 - any way out of a handler is an ending
            return self._ending(attempt, error)

    def close(self) -> None:
        if self._asyncio is not None:
            self._asyncio.close()

    def _call(self, attempt: Attempt) -> Any:
        handler = attempt.handler
        payload = json.loads(attempt.job.payload)
        try:
            if handler.is_async:
                return self._run_coroutine(attempt, payload)
            return handler.function(**payload)
        except TypeError as error:
            raise _misfit(handler, payload) or error from None

    def _run_coroutine(self, attempt: Attempt, payload: dict[str, Any]) -> Any:
        if self._asyncio is None:
            self._asyncio = asyncio.Runner()
        return self._asyncio.run(
            _interruptible(attempt, payload), context=contextvars.copy_context()
        )

    def _encoded(self, result: object) -> str | None:
        if result is None:
            return None
        try:
            return encode(result, self.max_result, "the handler's result")
        except BadInput as error:
            raise Fail(str(error), failure_type="validation") from None

    def _ending(self, attempt: Attempt, error: BaseException) -> Ending:
        match error:
            case Stopped():
                return EndedEarly(attempt.stopping.reason)
            case asyncio.CancelledError() if attempt.stopping.is_set():
                return EndedEarly(attempt.stopping.reason)
            case Snooze():
                return Snoozed(error.seconds)
            case Retry():
                return Failed(_failure(error, error.failure_type, after=error.after))
            case Fail():
                return Failed(_failure(error, error.failure_type, final=True))
            case _:
                return Failed(_failure(error, classify(error, self.classes)))


async def _interruptible(attempt: Attempt, payload: dict[str, Any]) -> Any:
    """Await the handler so that the sweep can cancel it, and leave no task of it behind."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - asyncio.Runner.run made it
    attempt.interrupt = lambda: loop.call_soon_threadsafe(task.cancel)
    if attempt.stopping.is_set() and attempt.stopping.reason != "stop":
        raise Stopped
    try:
        return await attempt.handler.function(**payload)
    finally:
        attempt.interrupt = None
        left = asyncio.all_tasks() - {task}
        for other in left:
            other.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _misfit(handler: Handler, payload: Mapping[str, Any]) -> Fail | None:
    """The payload does not fit the handler's signature: no retry would change that."""
    try:
        handler.signature.bind(**payload)
    except TypeError as error:
        text = f"payload does not fit {handler.job_type}{handler.signature}: {error}"
        return Fail(text, failure_type="validation")
    return None


def _failure(
    error: BaseException,
    failure_type: FailureType,
    *,
    after: float | None = None,
    final: bool = False,
) -> Failure:
    return Failure(failure_type, _message(error), _traceback(error), after, final)


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - an exception may fail even at naming itself
        text = f"(its message raised {type(broken).__name__})"
    named = text if isinstance(error, Retry | Fail) else f"{type(error).__name__}: {text}"
    return clean_text(named, LONGEST_MESSAGE)


def _traceback(error: BaseException) -> str | None:
    try:
        return clean_text("".join(traceback.format_exception(error)))
    except Exception:  # noqa: BLE001 - as in _message
        return None
