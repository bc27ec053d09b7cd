"""A batch: many jobs of one type under one name, and everything a caller may say about it."""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from jobd.core.batch_status import ErrorHandling
from jobd.core.command import EXEC
from jobd.core.names import check_name
from jobd.core.new_job import NewJob, new_job
from jobd.core.payload import clean_text, encode_payload
from jobd.errors import BadInput

MAX_SHARED = 16_384
"""Bytes of JSON that all items of a batch may share; they are merged into each of them."""
MAX_TOPIC = 512

_PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")


class NewBatch(NamedTuple):
    """A batch on its way into the store; everything in it has been checked."""

    name: str
    job_type: str
    queue: str | None = None
    priority: int = 0
    tier: str | None = None
    shared_parameters: str = "{}"
    concurrent_processing: int | None = None
    error_handling: str = ErrorHandling.CONTINUE
    stop_after: int | None = None
    stop_after_percent: float | None = None
    timeout_ms: int | None = None
    max_retries: int | None = None
    isolation: str | None = None
    on_success: str | None = None
    on_failure: str | None = None
    on_end: str | None = None


class Item(NamedTuple):
    """An item as a caller gives it: its own parameters, and what people know it by."""

    parameters: Mapping[str, Any]
    topic: str | None = None
    tier: str | None = None


class NewItem(NamedTuple):
    """An item on its way into the store: JSON texts, checked."""

    payload: str
    """The shared parameters with the item's own over them."""
    parameters: str | None = None
    """The item's own alone; None when that is all there is."""
    topic: str | None = None
    tier: str | None = None


def new_batch(
    name: str,
    job_type: str,
    *,
    shared_parameters: Mapping[str, Any] | None = None,
    concurrency: int | None = None,
    error_handling: str | None = None,
    stop_after: int | float | str | None = None,
    on_success: Any = None,
    on_failure: Any = None,
    on_end: Any = None,
    tier: str | None = None,
    **options: Any,
) -> NewBatch:
    """Check everything a caller may say about a new batch.

    `options` are those of a job that all items share: `queue`, `priority`, `timeout`,
    `max_retries`, `isolation`.

    Raises:
        BadInput: names what is wrong with it.
    """
    for wrong in sorted({"delay", "at", "unique_key", "request_id"} & options.keys()):
        raise BadInput(f"a batch has no option {wrong!r}")
    job = new_job(job_type, {}, options, 0, MAX_SHARED)
    try:
        shared = encode_payload(shared_parameters or {}, MAX_SHARED)
    except BadInput as error:
        raise BadInput(f"shared parameters: {error}") from None
    return NewBatch(
        check_name("batch", name),
        job_type,
        job.queue,
        job.priority,
        _label("tier", tier),
        shared,
        _positive("concurrency", concurrency),
        *_limit(error_handling, stop_after),
        job.timeout_ms,
        job.max_retries,
        job.isolation,
        *(_callback(what, given) for what, given in (
            ("on_success", on_success), ("on_failure", on_failure), ("on_end", on_end)
        )),
    )


def new_item(item: Item | Mapping[str, Any], shared: Mapping[str, Any], limit: int) -> NewItem:
    """Check one item and merge the shared parameters under its own.

    Raises:
        BadInput: it is no object of JSON values, or too large.
    """
    own, topic, tier = item if isinstance(item, Item) else (item, None, None)
    payload = encode_payload(own, limit)
    topic, tier = _label("topic", topic), _label("tier", tier)
    if not shared:
        return NewItem(payload, None, topic, tier)
    return NewItem(encode_payload({**shared, **own}, limit), payload, topic, tier)


def parse_stop_after(given: int | float | str) -> tuple[int | None, float | None]:
    """How many failed items stop a batch: 10 or "10" as a number, "10 %" as a share."""
    if isinstance(given, str) and (percent := _PERCENT.fullmatch(given)):
        share = float(percent[1])
        if 0 < share <= 100:
            return None, share
    elif isinstance(given, str) and given.strip().isdecimal():
        return _positive("stop_after", int(given.strip()[:20])), None
    elif type(given) is int:
        return _positive("stop_after", given), None
    raise BadInput(
        f"stop_after must be a number of items, or a share such as '10 %', not {given!r:.60}"
    )


def _limit(
    error_handling: str | None, stop_after: int | float | str | None
) -> tuple[ErrorHandling, int | None, float | None]:
    if stop_after is not None:
        if error_handling == ErrorHandling.CONTINUE:
            raise BadInput("stop_after makes no sense with error_handling 'continue'")
        return ErrorHandling.LIMIT, *parse_stop_after(stop_after)
    given = error_handling or ErrorHandling.CONTINUE
    if given not in (ErrorHandling.CONTINUE, ErrorHandling.STOP):
        raise BadInput(f"error_handling must be 'continue' or 'stop', not {given!r:.60}")
    return ErrorHandling(given), None, None


def _callback(what: str, given: Any) -> str | None:
    """A job that is enqueued when the batch ends: a job type, or (job type, payload[, options])."""
    if given is None:
        return None
    job_type, payload, options = (
        (given, {}, {}) if isinstance(given, str) else (*given, {}, {})[:3]
    )
    for wrong in sorted({"unique_key", "request_id", "at"} & set(options)):
        raise BadInput(f"{what} has no option {wrong!r}")
    try:
        job = new_job(job_type, payload, options, 0, MAX_SHARED)
    except BadInput as error:
        raise BadInput(f"{what}: {error}") from None
    return json.dumps(job._asdict())


def callback_job(stored: str, batch: Mapping[str, Any], now: int) -> NewJob:
    """The job of a stored callback: its argument `batch`, or a command's environment, says which
    batch ended, and how."""
    fields = json.loads(stored)
    payload = json.loads(fields["payload"])
    if fields["job_type"] == EXEC:
        told = {f"JOBD_BATCH_{key.upper()}": str(value) for key, value in batch.items()}
        payload["env"] = payload.get("env", {}) | told
    else:
        payload["batch"] = dict(batch)
    delay = fields.pop("scheduled_at")
    return NewJob(**fields | {"payload": json.dumps(payload)},
                  scheduled_at=None if delay is None else now + delay)


def _positive(what: str, given: int | None) -> int | None:
    if given is None:
        return None
    if type(given) is not int or not 1 <= given <= 1_000_000_000:
        raise BadInput(f"{what} must be a whole number from 1 on, not {given!r:.60}")
    return given


def _label(what: str, given: str | None) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str):
        raise BadInput(f"{what} must be a string")
    return clean_text(given, MAX_TOPIC)


class _Counted(Protocol):
    @property
    def error_handling(self) -> str: ...
    @property
    def stop_after(self) -> int | None: ...
    @property
    def stop_after_percent(self) -> float | None: ...
    @property
    def total_items(self) -> int: ...
    @property
    def failed_items(self) -> int: ...
    @property
    def failed_before(self) -> int: ...
    @property
    def ends_as(self) -> str | None: ...


def stop_reason(batch: _Counted) -> str | None:
    """Why its failed items stop a batch; None when they do not, or it is ending already."""
    failed, total = batch.failed_items - batch.failed_before, batch.total_items
    if batch.ends_as or failed <= 0 or batch.error_handling == ErrorHandling.CONTINUE:
        return None
    share = batch.stop_after_percent
    if share is not None:
        told = f"{failed} of {total} items failed, and {share:g} % stop it"
        return told if failed * 100 >= share * total else None
    limit = batch.stop_after or 1
    told = "an item failed" if failed == 1 else f"{failed} items failed"
    return f"{told}, and {limit} stop{'s' if limit == 1 else ''} it" if failed >= limit else None
