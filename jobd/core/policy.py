"""How often and how soon a failed job is tried again, by failure type."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jobd.core.lifecycle import FailureType
from jobd.core.settings import Choice, Duration, Number, Whole, setting


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What `[retry.…]` says for one failure type; delays are seconds."""

    max_retries: int = setting(
        3, "How many retries an attempt that failed this way may use up.", Whole(0, 1000)
    )
    backoff: str = setting(
        "exponential",
        "How the delay grows: exponential (times factor), linear (plus the first) or fixed.",
        Choice("exponential", "linear", "fixed"),
    )
    initial_delay: float = setting(1.0, "The delay before the first retry.", Duration(0, 86_400))
    factor: float = setting(
        2.0, "What exponential backoff multiplies the delay by each time.", Number(1, 100)
    )
    max_delay: float = setting(
        300.0, "The longest delay before jitter, however many retries came before.",
        Duration(0, 30 * 86_400),
    )
    jitter: float = setting(
        0.1, "The share of the delay by which chance moves it, up or down.", Number(0, 1)
    )
    exhausted: str = setting(
        "dead_letter",
        "The status when no retry is left: dead_letter waits for a person, failed does not.",
        Choice("dead_letter", "failed"),
    )


NEVER_BY_DEFAULT = (FailureType.PERMISSION, FailureType.CONFIGURATION, FailureType.VALIDATION)

OWN_LIMIT = (*NEVER_BY_DEFAULT, FailureType.WORKER_LOST)
"""The types whose `max_retries` only their own table sets, never [retry.default]."""

DEFAULT_POLICIES: Mapping[FailureType, RetryPolicy] = MappingProxyType(
    {
        failure_type: RetryPolicy(max_retries=0 if failure_type in NEVER_BY_DEFAULT else 3)
        for failure_type in FailureType
    }
)
