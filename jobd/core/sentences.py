"""Each event of the log as a sentence for a person.

A template names keys of its event in braces, with how they are written behind a colon; what stands
in brackets is left out when a key in it has no value. Keys that no template knows, of handlers and
of later releases, follow as key=value.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from jobd.core.durations import format_duration
from jobd.core.log_line import LogEvent, time_of

LONGEST_VALUE = 300

_JOB = "job {job_id}[ ({job_type})]"
_BATCH = "batch {batch}[ (id {batch_id})]"
_ENDED = "[ after {duration_ms:ms}][ in {worker}][, attempt {attempt}]"
_FAILED = "[: {failure_type}][: {error}]"

SENTENCES: Mapping[str, str] = {
    "job.claimed": _JOB + " claimed from queue {queue}[, attempt {attempt}][, {buffered:flag}]",
    "job.given_back": _JOB + " given back to queue {queue} before it was started",
    "job.completed": _JOB + " completed[ in {duration_ms:ms}][ by {worker}][, attempt {attempt}]"
    "[, enqueued {enqueued}]",
    "job.retry_scheduled": _JOB + " failed[, {rescued:flag}]" + _ENDED + _FAILED + "[; next try "
    "{next_retry_at:from}]",
    "job.dead_lettered": _JOB + " parked in dead_letter" + _ENDED + _FAILED + "[ ({reason})]",
    "job.failed": _JOB + " failed for good" + _ENDED + _FAILED + "[ ({reason})]",
    "job.cancelled": _JOB + " cancelled" + _ENDED,
    "job.released": _JOB + " released, pending again" + _ENDED,
    "job.snoozed": _JOB + " snoozed[, comes back {scheduled_at:from}]" + _ENDED,
    "job.timed_out": _JOB + " ran past its deadline[ of {timeout_s:s}] and was told to stop"
    "[, in {worker}][, attempt {attempt}]",
    "job.zombified": _JOB + " does not stop[ ({reason})]: zombie[, in {worker}]"
    "[, attempt {attempt}]",
    "job.late_result": _JOB + " ended after its verdict, which stands[, in {worker}]"
    "[, attempt {attempt}]",
    "job.left_processes": _JOB + " ended well and left processes running: {pids}",
    "job.stray_found": "job {job_id} has no thread that executes it; it is rescued",
    "job.logged": _JOB + " says: {message}",
    "job.output_dropped": _JOB + " wrote {bytes} bytes that could not be kept: {error}",
    "batch.sealed": _BATCH + " sealed: {total_items} items[, run {run}]",
    "batch.started": _BATCH + " started: {total_items} items",
    "batch.paused": _BATCH + " paused[ by {by}] after {completed_items} of {total_items} items",
    "batch.resumed": _BATCH + " resumed after {completed_items} of {total_items} items",
    "batch.stopped": _BATCH + " stopped[: {reason}]; it ends as {status}",
    "batch.finished": _BATCH + " {status}: {successful_items} succeeded, {failed_items} failed, "
    "{cancelled_items} cancelled[, run {run}][ ({reason})][, enqueued {enqueued}]",
    "batch.removed": _BATCH + " removed: it was never sealed",
    "worker.heartbeat": "{worker} {health}[, job {job_id}][, attempt {attempt}]"
    "[, for {busy_ms:ms}][; job {stuck_job_id} is stuck]",
    "worker.child_replaced": "{worker} has a new child process after job {job_id}: {reason}",
    "pool.health": "{busy} of {workers} workers busy, {ready} ready, {dead_letters} dead letters"
    "[, the oldest head waits for {oldest_ready_ms:ms}][, {batch_items:some} items left in batches]"
    "[, {stuck:some} stuck]",
    "pool.exhausted": "the pool is exhausted, the daemon stops to be started afresh"
    "[: {stuck} stuck threads of {max_stuck_threads} allowed]"
    "[: {threads} threads of {max_threads} allowed]"
    "[: {open_files} open files of {max_open_files} allowed]",
    "handler.changed_process": _JOB + " changed what all handlers share: {changed}",
    "alert.raised": "ALERT {cause}: {text}",
    "alert.failed": "the alert command failed on {cause}[ of job {job_id}]: {error}",
    "alert.dropped": "{alerts} alerts did not reach the alert command, which is too slow",
    "daemon.started": "jobd {version} started, pid {pid}, {workers} workers[, on Python {python}]"
    "[ and SQLite {sqlite}]",
    "daemon.ready": "ready, pid {pid}",
    "daemon.stopping": "stopping: {in_hand} jobs in hand may finish within {grace_s:s}",
    "daemon.drained": "drained: {finished} finished, {given_back} given back since the start"
    "[; left running: {left_running}]",
    "daemon.failed": "the daemon failed: {error}",
    "daemon.stopped": "stopped, exit status {exit_status}",
    "configuration.reloaded": "configuration reloaded[; changed: {changed}]"
    "[; needs a restart: {needs_restart}]",
    "configuration.refused": "the new configuration is refused: {problems}",
    "clock.stepped": "the clock was stepped by {moved_ms:ms}",
    "retention.held": "the wall clock leapt ahead by {moved_ms:ms}: no job is deleted for its age "
    "for {for_s:s}",
    "metrics.failed": "measurements could not be written to {file}: {error}",
    "sweep.failed": "the sweep {sweep} failed: {error}",
    "store.locked": "the database is locked[ by pid {holder_pid}], for {waited_s:s} now",
    "store.full": "no room to write: {error}",
    "store.replaced": "the database was replaced by another file[; it is saved as {saved}]"
    "[; it could not be saved: {error}]",
    "store.unreachable": "nobody else can reach the database: a directory lost its permissions",
    "store.recovered": "the database can be written again",
    "store.checkpoint_failed": "the write-ahead log could not be moved into the file: {error}",
    "store.log_held_back": "readers {reader_pids} hold back the write-ahead log of {bytes} bytes",
    "store.row_refused": "the database refused the outcome of job {job_id}: {error}",
    "log.dropped": "{lines} lines of the log were dropped here",
}

_LEFT_OUT = frozenset({
    "timestamp", "level", "event", "v", "claimed_at", "started_at", "next_retry_at",
    "scheduled_at", "queue", "status", "attempt", "worker", "job_type", "daemon", "handlers",
    "traceback", "exception", "stack", "duration_ms", "failure_type", "error", "succeeded",
    "database", "in_hand", "threads", "open_files", "stuck", "stuck_job_id", "job_id", "health",
    "busy_ms", "oldest_ready_ms", "exit_status", "buffered", "interval_s", "rescued", "others",
    "reason", "pid", "age_ms",
})
"""Keys of jobd's own that a sentence need not say; `--json` shows them."""

_KEY = re.compile(r"\{(\w+)(?::(\w+))?\}")
_OPTION = re.compile(r"\[([^\[\]]*)\]")


def sentence(event: LogEvent) -> str:
    """What the event says, in one line but for what its values hold: escape it before printing."""
    template = SENTENCES.get(event["event"])
    if template is None:
        return " ".join([event["event"], *_others(event, set(_HEAD))])
    used = {found[1] for found in _KEY.finditer(template)}
    return " ".join([_told(template, event), *_others(event, used | _LEFT_OUT)])


def _told(template: str, event: LogEvent) -> str:
    """The template filled in, part by part: what a value holds is not read as a template."""
    parts, end = [], 0
    for option in _OPTION.finditer(template):
        parts.append(_filled(template[end : option.start()], event, "?"))
        parts.append(_filled(option[1], event))
        end = option.end()
    parts.append(_filled(template[end:], event, "?"))
    return "".join(part for part in parts if part)


_HEAD = ("timestamp", "level", "event", "v")


def _filled(template: str, event: LogEvent, otherwise: str | None = None) -> str | None:
    """The template with the event's values; None when one is missing and nothing stands for it."""
    parts: list[str] = []
    end = 0
    for found in _KEY.finditer(template):
        text = _written(found[1], found[2], event)
        if text is None:
            text = otherwise
        if text is None:
            return None
        parts += [template[end : found.start()], text]
        end = found.end()
    return "".join([*parts, template[end:]])


def _written(key: str, how: str | None, event: LogEvent) -> str | None:
    value = event.get(key)
    if value is None or value == []:
        return None
    if how == "flag":
        return key if value else None
    writer = _WRITERS.get(how or "")
    if writer is None:
        return _plain(value)
    try:
        return writer(key, value, event)
    except (TypeError, ValueError, OverflowError):
        return _plain(value)


def _from(key: str, value: Any, event: LogEvent) -> str:
    """A time as seen from the event: "in 5 s"."""
    then, now = time_of(event, key), time_of(event)
    if then is None or now is None:
        return _plain(value)
    return f"in {format_duration((then - now) / 1000)}" if then > now else "now"


_WRITERS: Mapping[str, Callable[[str, Any, LogEvent], str | None]] = {
    "ms": lambda _key, value, _event: format_duration(value / 1000),
    "s": lambda _key, value, _event: format_duration(value),
    "some": lambda _key, value, _event: str(value) if value else None,
    "from": _from,
}


def _others(event: LogEvent, said: set[str] | frozenset[str]) -> list[str]:
    """The rest as key=value."""
    return [f"{key}={_quoted(value)}" for key, value in event.items()
            if key not in said and value is not None]


def _quoted(value: Any) -> str:
    text = _plain(value)
    plain = isinstance(value, str) and text and not re.search(r'[\s"=]', text)
    return text if plain or not isinstance(value, str) else json.dumps(text, ensure_ascii=False)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        text = ", ".join(map(str, value))
    else:
        text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."
