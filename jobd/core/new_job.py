"""Everything a caller may say about a new job, checked at the door."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from jobd.core.durations import parse_duration, parse_time
from jobd.core.names import check_name
from jobd.core.payload import encode_flat, encode_payload
from jobd.errors import BadInput

_OPTIONS = {"queue", "priority", "delay", "at", "timeout", "max_retries", "unique_key",
            "request_id", "isolation"}
_A_DAY = 86_400_000
_LAST_MS = 253_402_300_799_999


class NewJob(NamedTuple):
    """A job on its way into the store; everything in it has been checked. Times in ms.

    A tuple, because producers make many of them and the store binds them as they are.
    """

    job_type: str
    payload: str
    queue: str | None = None
    priority: int = 0
    scheduled_at: int | None = None
    timeout_ms: int | None = None
    max_retries: int | None = None
    unique_key: str | None = None
    request_id: str | None = None
    isolation: str | None = None


class JobId(int):
    """The id of a job; `created` is False when the key already belonged to a job."""

    created = True


def new_job(
    job_type: str,
    payload: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    now: int,
    max_payload: int,
) -> NewJob:
    """Check everything a caller may say about a new job.

    Raises:
        BadInput: names what is wrong with it.
    """
    if not options:
        return NewJob(check_name("job type", job_type), _payload(payload, max_payload))
    unknown = set(options) - _OPTIONS
    if unknown:
        raise BadInput(
            f"unknown option {min(unknown)!r}; there are {', '.join(sorted(_OPTIONS))}"
        )
    queue = options.get("queue")
    return NewJob(
        job_type=check_name("job type", job_type),
        payload=_payload(payload, max_payload),
        queue=None if queue is None else check_name("queue", queue),
        priority=check_integer("priority", options.get("priority", 0), -1000, 1000),
        scheduled_at=_scheduled_at(options, now),
        timeout_ms=_timeout_ms(options.get("timeout")),
        max_retries=_optional_integer("max_retries", options.get("max_retries"), 0, 1_000_000),
        unique_key=_key("unique_key", options.get("unique_key")),
        request_id=_key("request_id", options.get("request_id")),
        isolation=check_isolation(options.get("isolation")),
    )


def new_jobs(
    entries: Iterable[tuple[Any, ...]], options: Mapping[str, Any], now: int, max_payload: int
) -> list[NewJob]:
    """As `new_job` for each entry: `(job_type, payload)` or `(job_type, payload, its options)`.

    What all entries of a job type share is checked once.

    Raises:
        BadInput: names the entry by its index, and what is wrong with it.
    """
    entries = list(entries)
    alike = _alike(entries, options, now, max_payload)
    if alike is not None:
        return alike
    shared: dict[str, tuple[Any, ...]] = {}
    made = []
    for index, entry in enumerate(entries):
        try:
            if len(entry) == 3:
                job_type, payload, own = entry
                made.append(new_job(job_type, payload, {**options, **own}, now, max_payload))
                continue
            job_type, payload = entry
            if job_type not in shared:
                shared[job_type] = new_job(job_type, {}, options, now, max_payload)[2:]
            made.append(NewJob(job_type, _payload(payload, max_payload), *shared[job_type]))
        except BadInput as error:
            raise BadInput(f"job {index}: {error}") from None
        except (TypeError, ValueError):
            raise BadInput(
                f"job {index}: give (job_type, payload) or (job_type, payload, options)"
            ) from None
    return made


def _alike(
    entries: Sequence[tuple[Any, ...]], options: Mapping[str, Any], now: int, max_payload: int
) -> list[NewJob] | None:
    """Entries of one job type with flat payloads, the common case; None for any others."""
    try:
        (job_type,) = {job_type for job_type, _ in entries}
        rest = new_job(job_type, {}, options, now, max_payload)[2:]
    except (TypeError, ValueError):
        return None  # what is wrong is said of the entry that is wrong
    texts = encode_flat([payload for _, payload in entries], max_payload)
    if texts is None:
        return None
    return [NewJob(job_type, text, *rest) for text in texts]


def _payload(payload: Mapping[str, Any] | None, limit: int) -> str:
    return "{}" if payload is None else encode_payload(payload, limit)


def check_isolation(value: Any) -> str | None:
    """Where a Python handler is to run: None leaves it to the handler and the configuration."""
    if value not in (None, "thread", "process"):
        raise BadInput(f"isolation must be 'thread' or 'process', not {value!r:.60}")
    return None if value is None else str(value)


def _scheduled_at(options: Mapping[str, Any], now: int) -> int | None:
    delay, at = options.get("delay"), options.get("at")
    if delay is not None and at is not None:
        raise BadInput("give either a delay or a time, not both")
    if delay is not None:
        due = now + round(1000 * _seconds("delay", delay))
    elif isinstance(at, str):
        due = parse_time(at, now)
    elif isinstance(at, datetime):
        if at.tzinfo is None:
            raise BadInput(f"at={at!r} has no time zone")
        due = round(at.timestamp() * 1000)
    elif at is not None:
        raise BadInput(f"at={at!r} is neither a datetime nor ISO 8601 text")
    else:
        return None
    if due < now - _A_DAY:
        raise BadInput("the time is more than 24 hours ago; leave it out to run at once")
    if due > _LAST_MS:
        raise BadInput(f"the time is after the year 9999: {due} ms")
    return due


def _timeout_ms(timeout: float | str | None) -> int | None:
    if timeout is None:
        return None
    milliseconds = round(1000 * _seconds("timeout", timeout))
    if milliseconds <= 0:
        raise BadInput(f"a timeout must be longer than 0, not {timeout!r}")
    return milliseconds


def _seconds(what: str, value: float | str) -> float:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput(f"{what} must be seconds or a duration such as '30s', not {value!r}")
    if not 0 <= value <= 100 * 365 * 86_400:
        raise BadInput(f"{what} must be between 0 and 100 years, not {value!r}")
    return float(value)


def check_integer(what: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadInput(f"{what} must be an integer from {least} to {most}, not {value!r}")
    return int(value)


def _optional_integer(what: str, value: Any, least: int, most: int) -> int | None:
    return None if value is None else check_integer(what, value, least, most)


def _key(what: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= 512 or not value.isprintable():
        raise BadInput(f"{what} must be 1 to 512 printable characters")
    return value
