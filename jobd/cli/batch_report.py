"""`jobd batch report`: what became of a batch, when it has ended or so far."""

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from jobd import clock
from jobd.cli.batch_frame import Moment, counts, state
from jobd.cli.batch_items import pages
from jobd.cli.batch_show import as_json, look_at
from jobd.cli.opened import opened
from jobd.cli.options import for_looking
from jobd.cli.table import print_json
from jobd.cli.terminal import Look, cut, look_of
from jobd.core.batch_progress import bar, per_time
from jobd.core.batch_report import BatchReport, duration_of, failure_of
from jobd.core.durations import format_duration
from jobd.core.shown import shown
from jobd.core.spread import Bucket, Spread
from jobd.errors import DONE
from jobd.store.reading import Record

CSV_COLUMNS = ("position", "topic", "job_id", "status", "attempt", "duration_ms", "failure_type",
               "error_message", "fingerprint")
BAR = 40
WIDE = 100
MOSTLY = 0.8
"""Of a batch that was at work for less of its time than this, both are told."""


def run(args: argparse.Namespace) -> int:
    """Read every item, a page at a time, and print what they come to."""
    found = for_looking(args)
    look = look_of(sys.stdout, "never")
    with opened(found) as database:
        moment = look_at(database.connection, found.db, args.name)
        items = pages(database.connection, moment.batch["id"], brief=True)
        if args.csv:
            _print_csv(items, moment.batch["job_type"], look)
            return DONE
        report = BatchReport()
        for item in items:
            report.add(item, moment.batch["job_type"])
    if args.json:
        print_json(_as_json(moment, report))
    else:
        print("\n".join(_text(moment, report, look)))
    return DONE


def _print_csv(items: Iterable[Record], job_type: str, look: Look) -> None:
    """A row for each item; on a terminal nothing in it drives that."""
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(CSV_COLUMNS)
    on_terminal = sys.stdout.isatty()
    for item in items:
        failed = item["status"] == "failed"
        row = item | {
            "duration_ms": duration_of(item),
            "error_message": item["error_message"] or item["dead_letter_reason"],
            "fingerprint": failure_of(item, job_type).fingerprint if failed else None,
        }
        cells = [row[column] for column in CSV_COLUMNS]
        out.writerow([look.safe(each) if on_terminal and isinstance(each, str) else each
                      for each in cells])


def _as_json(moment: Moment, report: BatchReport) -> dict[str, Any]:
    spread = report.durations
    whole = Moment(moment.now, moment.batch, moment.running, report.failures.largest_first())
    return as_json(whole) | {
        "retried_items": report.retried,
        "durations": {
            "count": spread.count, "least_ms": spread.least, "median_ms": spread.share_below(0.5),
            "mean_ms": spread.mean, "p90_ms": spread.share_below(0.9),
            "p99_ms": spread.share_below(0.99), "most_ms": spread.most,
            "histogram": [{"from_ms": each.least, "below_ms": each.below, "count": each.count}
                          for each in spread.buckets()],
        },
        "slowest": [shown(each) for each in report.slowest],
    }


def _text(moment: Moment, report: BatchReport, look: Look) -> Iterator[str]:
    batch = moment.batch
    yield look.safe(f"batch {batch['name']} (id {batch['id']}): {state(moment)}")
    if batch["end_reason"]:
        yield look.safe(f"  because      {batch['end_reason']}")
    yield f"  items        {', '.join(counts(moment)[:3])}"
    yield f"  took         {_took(moment)}"
    if report.retried:
        yield f"  retried      {report.retried:,} took more than one attempt"
    if report.durations.count:
        yield f"  durations    {_usual(report.durations)}"
        most = max(each.count for each in report.durations.buckets())
        yield from (_bucket(each, most, look) for each in report.durations.buckets())
        yield "  slowest"
        yield from (_slow(each, look) for each in report.slowest)
    groups = report.failures.largest_first()
    if groups:
        yield "  failures by cause"
    for group in groups:
        yield look.safe(f"    {group.count:>7,}  {group.failure_type or 'unknown'}: {group.error}"
                        f"  (as job {group.example_id}; {group.fingerprint})")


def _took(moment: Moment) -> str:
    batch = moment.batch
    if batch["started_at"] is None:
        return "nothing has run"
    ms = max((batch["completed_at"] or clock.now_ms()) - batch["started_at"], 1)
    text = format_duration(ms / 1000)
    # A night's pause, a day before a retry: no rate is to be had from those.
    if 0 < batch["active_ms"] < MOSTLY * ms:
        ms = batch["active_ms"]
        text += f" ({format_duration(ms / 1000)} of it at work)"
    return f"{text}, {per_time(1000 * moment.ended / ms)}"


def _usual(spread: Spread) -> str:
    named = (("median", spread.share_below(0.5)), ("mean", spread.mean),
             ("9 of 10 within", spread.share_below(0.9)), ("longest", spread.most))
    return ", ".join(f"{name} {_short(ms)}" for name, ms in named)


def _short(ms: int | None) -> str:
    return format_duration((ms or 0) / 1000) if ms else "0 ms"


def _bucket(bucket: Bucket, most: int, look: Look) -> str:
    full = bar(bucket.count, 0, most, BAR, letters=look.letters)
    drawn = full.rstrip("·." if bucket.count < most else "")
    return f"    {bucket.label:>20}  {bucket.count:>9,}  {drawn}".rstrip()


def _slow(item: Record, look: Look) -> str:
    topic = look.safe(item["topic"] or f"item {item['position']}")
    return f"    {_short(duration_of(item)):>12}  {cut(topic, WIDE // 2)}  job {item['job_id']}"
