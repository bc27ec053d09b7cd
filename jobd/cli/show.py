"""`jobd show`: everything about one job, or several."""

import argparse
import sqlite3
from typing import Any

from jobd import clock
from jobd.cli.ids import add_ids, job_ids
from jobd.cli.opened import opened
from jobd.cli.options import for_looking
from jobd.cli.streams import complain
from jobd.cli.table import ago, print_json, printable
from jobd.core.shown import absent, shown
from jobd.errors import DONE, FAILED
from jobd.store import reading
from jobd.store.notes import changes

_HIDDEN = {"id", "status", "ready", "due_at", "last_error_traceback", "attempts", "progress",
           "checkpoint", "process_changes"}
_LISTED = ("attempts", "process_changes")
_ZEROS = {"priority", "retry_count", "rescue_count", "snooze_count"}


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "show everything about a job: its columns, its failed attempts, its progress"
    parser = verbs.add_parser("show", help=text, description=text, epilog="example:  jobd show 17")
    add_ids(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a card for each job; 1 when one of them does not exist."""
    ids = job_ids(args.ids)
    with opened(for_looking(args)) as database:
        found = {job_id: card(database.connection, job_id) for job_id in ids}
        last = reading.last_id(database.connection)
    cards = [each for each in found.values() if each is not None]
    if args.json and cards:
        print_json(_as_json(cards[0]) if len(ids) == 1 else [_as_json(each) for each in cards])
    elif not args.json:
        print("\n\n".join(_text(each) for each in cards), end="\n" * bool(cards))
    for job_id in (each for each, there in found.items() if there is None):
        complain(absent(job_id, last))
    return DONE if len(cards) == len(ids) else FAILED


def card(db: sqlite3.Connection, job_id: int) -> reading.Record | None:
    """A job with its attempts, progress and checkpoint, read in one snapshot."""
    with reading.snapshot(db):
        job = reading.job(db, job_id)
        return job and {
            **job,
            "attempts": reading.attempts(db, job_id),
            "progress": reading.progress(db, job_id),
            "checkpoint": reading.checkpoint(db, job_id),
            "process_changes": changes(db, job_id),
        }


def _as_json(found: reading.Record) -> dict[str, Any]:
    inner = {name: found[name] and shown(found[name]) for name in ("progress", "checkpoint")}
    listed = {name: [shown(each) for each in found[name]] for name in _LISTED}
    return shown(found) | inner | listed


def _text(found: reading.Record) -> str:
    now = clock.now_ms()
    lines = [f"job {found['id']}: {found['status']}"]
    lines += [
        f"  {name:<24}{_value(name, value, now)}"
        for name, value in found.items()
        if name not in _HIDDEN and value is not None and not (name in _ZEROS and value == 0)
    ]
    lines += _progress(found["progress"], now)
    if found["checkpoint"]:
        lines.append(f"  {'checkpoint':<24}{printable(found['checkpoint']['state'])}")
    lines += [
        f"  {'changed the process':<24}{printable(each['change'])} ({ago(each['noticed_at'], now)})"
        for each in found["process_changes"]
    ]
    told = [each["traceback"] for each in found["attempts"]]
    if found["last_error_traceback"] not in told:
        lines += _block("traceback", found["last_error_traceback"])
    for attempt in found["attempts"]:
        lines += _attempt(attempt, now)
    return "\n".join(lines)


def _value(name: str, value: Any, now: int) -> str:
    if name.endswith("_at") and isinstance(value, int):
        return f"{clock.iso(value)} ({ago(value, now)})"
    if name == "execution_over":
        return "yes" if value else "no"
    return printable(str(value))


def _progress(report: reading.Record | None, now: int) -> list[str]:
    if report is None:
        return []
    total = "" if report["total"] is None else f" of {report['total']:g}"
    message = f", {report['message']}" if report["message"] else ""
    text = f"{report['done']:g}{total}{message} ({ago(report['reported_at'], now)})"
    return [f"  {'progress':<24}{printable(text)}"]


def _attempt(attempt: reading.Record, now: int) -> list[str]:
    """An attempt that did not complete: its outcome, why, and where it was."""
    why = ": ".join(attempt[name] for name in ("failure_type", "error_message") if attempt[name])
    ended = attempt["ended_at"] or attempt["timed_out_at"] or attempt["claimed_at"]
    when = "" if ended is None else f" {clock.iso(ended)} ({ago(ended, now)})"
    head = f"  attempt {attempt['attempt']}: {attempt['outcome']}{when}"
    return [
        *(printable(line) for line in [head]),
        *_block("why", why, 4),
        *_block("stack", attempt["stack"], 4),
        *_block("traceback", attempt["traceback"], 4),
    ]


def _block(name: str, text: str | None, depth: int = 2) -> list[str]:
    """A text of several lines beneath its name; each line is escaped for itself."""
    if not text:
        return []
    indent, lines = " " * depth, text.rstrip().split("\n")
    return [f"{indent}{name}:", *(f"{indent}  {printable(line)}" for line in lines)]
