"""`jobd history`: what happened to a job, one line per event, in the order of time."""

import argparse
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from jobd import clock
from jobd.cli.ids import add_ids, job_ids
from jobd.cli.opened import opened
from jobd.cli.options import for_looking
from jobd.cli.streams import complain
from jobd.cli.table import ago, print_json, printable
from jobd.core.shown import absent, shown
from jobd.errors import DONE, FAILED
from jobd.store import reading
from jobd.store.alert_notes import ALERTED
from jobd.store.notes import JOBD

Record = reading.Record

_OUTCOMES = {
    "retrying": "job.retry_scheduled",
    "dead_letter": "job.dead_lettered",
    "failed": "job.failed",
    "timeout": "job.timed_out",
    "zombie": "job.zombified",
    "cancelled": "job.cancelled",
    "released": "job.released",
    "snoozed": "job.snoozed",
    "set_aside": "job.set_aside",
    "late": "job.late_result",
}
_NOW = {"completed": "job.completed", "failed": "job.failed", "cancelled": "job.cancelled"}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; `at` in ms."""

    at: int
    event: str
    attempt: int | None = None
    detail: str | None = None
    actor: str | None = None


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "tell what happened to a job: attempts, outcomes, and what people did"
    parser = verbs.add_parser(
        "history", help=text, description=text, epilog="example:  jobd history 17"
    )
    add_ids(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the events of each job; 1 when one of them does not exist."""
    ids = job_ids(args.ids)
    with opened(for_looking(args)) as database:
        found = {job_id: _events_of(database.connection, job_id) for job_id in ids}
        last = reading.last_id(database.connection)
    if args.json:
        events = [(job_id, each) for job_id, there in found.items() for each in there or ()]
        print_json([shown({"job_id": job_id, **asdict(each)}) | {"at": clock.iso(each.at)}
                    for job_id, each in events])
    else:
        _print(found)
    for job_id in (each for each, there in found.items() if there is None):
        complain(absent(job_id, last))
    return FAILED if None in found.values() else DONE


def events(job: Record, attempts: list[Record], actions: list[Record]) -> list[Event]:
    """Everything that is recorded of a job, oldest first."""
    found = [Event(job["created_at"], "job.enqueued", detail=f"queue {job['queue']}")]
    for attempt in attempts:
        found += _of_attempt(attempt)
    if not attempts or attempts[-1]["attempt"] != job["attempt"]:
        found += _begun(job)
    found += _ending(job, {each.event for each in found})
    found += [
        Event(each["acted_at"], _done(each), detail=each["detail"], actor=each["actor"])
        for each in actions
    ]
    return sorted(found, key=lambda each: each.at)


def _events_of(db: sqlite3.Connection, job_id: int) -> list[Event] | None:
    with reading.snapshot(db):
        job = reading.job(db, job_id)
        if job is None:
            return None
        return events(job, reading.attempts(db, job_id), reading.actions(db, job_id))


def _done(action: Record) -> str:
    """What a person did, or what jobd itself noted."""
    if action["actor"] == JOBD:
        return "alert.raised" if action["verb"] == ALERTED else "handler.changed_process"
    return f"operator.{action['verb'].replace(' ', '_')}"


def _begun(row: Record) -> Iterator[Event]:
    """The claim, the start and the deadline of an attempt, as far as they are recorded."""
    for column, event in (("claimed_at", "job.claimed"), ("started_at", "job.started"),
                          ("timed_out_at", "job.timed_out")):
        if row[column] is not None:
            yield Event(row[column], event, row["attempt"])


def _of_attempt(attempt: Record) -> Iterator[Event]:
    yield from _begun(attempt)
    if attempt["ended_at"] is not None:
        parts = (attempt["failure_type"], attempt["error_message"])
        why = ": ".join(part for part in parts if part)
        event = _OUTCOMES.get(attempt["outcome"], "job.ended")
        yield Event(attempt["ended_at"], event, attempt["attempt"], why or None)


def _ending(job: Record, told: set[str]) -> Iterator[Event]:
    """The end of a job that no attempt or action tells: completed, or ended by another hand."""
    event = _NOW.get(job["status"])
    if event and job["completed_at"] is not None and event not in told:
        yield Event(job["completed_at"], event, job["attempt"] or None)


def _print(found: dict[int, list[Event] | None]) -> None:
    now = clock.now_ms()
    for job_id, there in found.items():
        for each in there or ():
            print(_line(job_id, each, now))


def _line(job_id: int, each: Event, now: int) -> str:
    attempt = f" attempt {each.attempt}" if each.attempt is not None else ""
    actor = f" by {each.actor}" if each.actor else ""
    detail = f": {each.detail}" if each.detail else ""
    when = f"{clock.iso(each.at)} ({ago(each.at, now)})"
    return printable(f"{when}  job {job_id} {each.event}{attempt}{actor}{detail}")
