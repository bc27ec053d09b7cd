"""A record of the database as every face shows it."""

import json
import math
from collections.abc import Mapping
from typing import Any

from jobd import clock

_JSON_COLUMNS = ("payload", "result", "late_result", "old_payload", "state", "parameters",
                 "shared_parameters", "on_success", "on_failure", "on_end", "pace")


def shown(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as JSON shows it: times in ISO 8601, payload and result as values."""
    return {column: _shown(column, value) for column, value in record.items()}


def _shown(column: str, value: Any) -> Any:
    if value is None:
        return None
    if column.endswith("_at") and isinstance(value, int):
        return clock.iso(value)
    if column in _JSON_COLUMNS:
        return _parsed(value)
    if isinstance(value, bytes) or (isinstance(value, float) and not math.isfinite(value)):
        # Written by another hand: JSON cannot hold it.
        return str(value)
    return bool(value) if column == "execution_over" else value


def _parsed(text: Any) -> Any:
    """The value that JSON text means; text that is none, from another hand, stays as it is."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (TypeError, ValueError, RecursionError):
        return text


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def absent(job_id: int, last_id: int) -> str:
    """What to say of a job that is not there, when `last_id` was the last that was given out."""
    if job_id <= last_id:
        return (f"no job {job_id} any more: ids up to {last_id} were given out, and this one has "
                "ended and been removed, by retention or `jobd prune`")
    newest = f"the last id is {last_id}" if last_id else "none was ever put in here"
    return f"no job {job_id}: {newest}"
