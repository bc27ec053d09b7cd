"""What runs attempts in one worker's thread: one runner for each isolation, made when needed."""

from collections.abc import Callable, Mapping
from typing import Protocol

from jobd.core.job import Ending, Failed, Failure
from jobd.core.lifecycle import FailureType
from jobd.daemon.attempt import Attempt
from jobd.daemon.context import JobContext


class Runner(Protocol):
    """Runs attempts one after another; whatever happens in them comes back as an ending."""

    def run(self, attempt: Attempt, context: JobContext) -> Ending: ...
    def close(self) -> None: ...


class Runners:
    """The runners of one worker."""

    def __init__(self, makers: Mapping[str, Callable[[], Runner]]) -> None:
        self._makers = makers
        self._made: dict[str, Runner] = {}

    def run(self, attempt: Attempt, context: JobContext) -> Ending:
        runner = self._made.get(attempt.isolation)
        if runner is None:
            if attempt.isolation not in self._makers:
                text = f"its isolation is {attempt.isolation!r:.60}, neither thread nor process"
                return Failed(Failure(FailureType.VALIDATION, text))
            runner = self._made[attempt.isolation] = self._makers[attempt.isolation]()
        return runner.run(attempt, context)

    def close(self) -> None:
        for runner in self._made.values():
            runner.close()
