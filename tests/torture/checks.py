"""All checks of a cycle by name: pure functions from the evidence to sentences about violations."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tests.torture import check_attempts, check_charges, check_daemons, check_jobs
from tests.torture.evidence import Evidence

Check = Callable[[Evidence], Iterable[str]]


@dataclass(frozen=True)
class Violation:
    """What does not hold, and by which check."""

    check: str
    text: str

    def __str__(self) -> str:
        return f"{self.check}: {self.text}"


CHECKS: dict[str, Check] = {
    check.__name__: check
    for module in (check_jobs, check_attempts, check_charges, check_daemons)
    for check in module.CHECKS
}


def violations(evidence: Evidence) -> Iterator[Violation]:
    """Everything that does not hold."""
    for name, check in CHECKS.items():
        for text in check(evidence):
            yield Violation(name, text)
