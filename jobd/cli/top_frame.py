"""One frame of `jobd top`: lines that fit the terminal, made of one moment's state."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from jobd.cli.terminal import (
    BOLD,
    CYAN,
    DIM,
    GREEN,
    PLAIN,
    RED,
    YELLOW,
    Look,
    width_of,
)
from jobd.cli.top_layout import Cell, Line, Section, ending, painted, words, wrapped
from jobd.core.durations import age
from jobd.core.health import at_work
from jobd.core.presence import Presence, of_itself, stands_still
from jobd.core.problem import lasted
from jobd.core.pulse import ASCII_BARS, BARS, Beat, course, rates, share, sparkline
from jobd.store.live import COUNTED, Live
from jobd.store.reading import Record

SPARKS, LEAST_SPARKS = 45, 8
BAR = 12
LEAST_PATH = 8


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything that a frame shows; `trouble` says why it may be old."""

    now: int
    database: str
    seen: Presence
    live: Live
    beats: list[Beat]
    trouble: str | None = None


def frame(
    moment: Moment, columns: int, lines: int, look: Look, *, foot: str = ""
) -> list[str]:
    """At most `lines` lines of at most `columns` columns, painted."""
    safe = [[(look.safe(text), colour) for text, colour in line]
            for line in _head(moment, columns, look)]
    head = [part for line in safe for part in wrapped(line, columns)]
    head = head[: max(lines // 2, 3)][: max(lines - bool(foot), 1)]
    sections = [each for each in _sections(moment, look) if each.rows]
    room = lines - len(head) - bool(foot)
    body: list[Line] = []
    # A section needs a line above it, its heading, and a row.
    sections = sections[: max(room // 3, 0)]
    given = share(room - 2 * len(sections), [len(each.rows) for each in sections])
    for section, number in zip(sections, given, strict=True):
        body += [[], *section.lines(number, columns, look)]
    if foot:
        body += [[]] * (room - len(body)) + [[(foot, DIM)]]
    return [painted(line, columns, look) for line in [*head, *body][: max(lines, 1)]]


def _head(moment: Moment, columns: int, look: Look) -> Iterator[Line]:
    daemon = moment.live.daemon
    still = list(stands_still(moment.seen, daemon))
    if moment.seen.alive:
        up = f", up {lasted(moment.now - daemon['started_at'])}" if daemon else ""
        pid = f"pid {moment.seen.pid or '?'}"
        state = (f"{pid} STANDS STILL", RED) if still else (f"{pid}{up}", GREEN)
    else:
        state = ("no daemon is active", RED)
    time = f"{datetime.fromtimestamp(moment.now / 1000).astimezone():%H:%M:%S}"
    line = [("jobd", BOLD), (f"  {time}", DIM), (f"  {state[0]}", state[1])]
    room = columns - 2 - sum(width_of(text) for text, _ in line)
    path = ending(look.safe(moment.database), room, look)
    yield [*line, (f"  {path}", DIM)] if room >= LEAST_PATH else line
    for each in [*still, *of_itself(moment.seen)]:
        yield [(f"{each.next_command}  ", BOLD), *words(f" {each.text}", RED)]
    if moment.trouble:
        yield words(moment.trouble, RED)
    yield _counts(moment)
    yield _throughput(moment, columns, look)


def _counts(moment: Moment) -> Line:
    read = moment.live
    workers = read.workers if moment.seen.alive else []
    ill = sum(worker["health_status"] != "normal" for worker in workers)
    ready = sum(queue["ready"] for queue in read.queues)
    open_end = any(queue["ready"] >= read.counted_to for queue in read.queues)
    line = [(at_work(read.at_work if workers else 0, workers), PLAIN),
            (f"   {ready}{'+' * open_end} ready", PLAIN)]
    if read.batch_items:
        line.append((f"   {read.batch_items} left in batches", PLAIN))
    if ill:
        line.append((f"   {ill} not well", RED))
    for name, what, colour in (
        ("waiting", "wait for a time", PLAIN), ("retrying", "retrying", PLAIN),
        ("without_handler", "without a handler", YELLOW), ("zombie", "zombies", RED),
        ("dead_letter", "dead letters", YELLOW), ("failed", "failed", PLAIN),
    ):
        number = read.counts.get(name, 0)
        if number:
            line.append((f"   {number}{'+' * (number >= COUNTED)} {what}", colour))
    return line


def _throughput(moment: Moment, columns: int, look: Look) -> Line:
    """The rates, and behind them the course of a quarter of an hour, as wide as there is room."""
    second = moment.now // 1000
    found, failing = rates(moment.beats, second), rates(moment.beats, second, failed=True)
    line = [(f"{_rate(found.now)} now", PLAIN), (f"  {_rate(found.minute)} 1 min", PLAIN),
            (f"  {_rate(found.quarter)} 15 min", PLAIN)]
    if failing.quarter:
        line.append((f"  {_rate(failing.minute)} fail", YELLOW))
    *_, last = wrapped(line, columns)
    room = min(columns - 2 - sum(width_of(text) for text, _ in last), SPARKS)
    if room >= LEAST_SPARKS:
        bars = BARS if look.letters else ASCII_BARS
        line.append((f"  {sparkline(course(moment.beats, second, room), bars)}", CYAN))
    return line


def _rate(number: float) -> str:
    return f"{number:.0f}/s" if number >= 100 or number == 0 else f"{number:.2g}/s"


def _sections(moment: Moment, look: Look) -> list[Section]:
    read, now = moment.live, moment.now
    return [
        Section(
            (_executing(moment), "TYPE", "QUEUE", "FOR", "WORKER", "PROGRESS"),
            [_running(job, moment, look) for job in read.running], frozenset({0, 3}),
        ),
        Section(
            ("QUEUE", "READY", "RUNNING", "LIMIT", "OLDEST", ""),
            [_queue(queue, now, read.counted_to) for queue in _deepest(read.queues)],
            frozenset({1, 2, 3, 4}),
        ),
        Section(
            ("NEXT DUE", "TYPE", "QUEUE", "WHEN", "WHY"),
            [_due(job, now) for job in read.due], frozenset({0}),
        ),
        Section(
            ("FAILED", "TYPE", "QUEUE", "WHEN", "NOW", "WHY"),
            [_failure(each, now) for each in read.failures], frozenset({0}),
        ),
    ]


def _deepest(queues: list[Record]) -> list[Record]:
    """Those with work first."""
    return sorted(queues, key=lambda each: (-each["ready"] - each["running"], str(each["name"])))


def _executing(moment: Moment) -> str:
    """What the jobs do whose execution is not over."""
    if not moment.seen.alive:
        return "LEFT"
    return "RUNNING" if moment.seen.moves(moment.live.daemon) else "FROZEN"


def _running(job: Record, moment: Moment, look: Look) -> list[Cell]:
    now, daemon = moment.now, moment.live.daemon
    since = job["started_at"] or job["claimed_at"] or now
    orphan = not moment.seen.alive or daemon is None or job["worker_id"] != daemon["id"]
    ill = job["health_status"] not in (None, "normal") or job["status"] != "running" or orphan
    colour = RED if job["status"] != "running" or orphan else YELLOW if ill else PLAIN
    waits = "" if job["started_at"] else "buffered"
    state = job["status"] if job["status"] != "running" else (job["health_status"] or "")
    says = ["its daemon is gone"] if orphan else [state] if ill else []
    return [
        (str(job["id"]), colour), (str(job["job_type"]), colour), (str(job["queue"]), PLAIN),
        (lasted(now - since), colour),
        (str(job["worker"] or waits).removeprefix("JobWorker-"), PLAIN),
        (" ".join([*says, *_progress(job, look)]), colour),
    ]


def _progress(job: Record, look: Look) -> Iterator[str]:
    done, total = job["done"], job["total"]
    if done is not None and total is not None and total > 0:
        part = min(max(done / total, 0.0), 1.0)
        filled = round(BAR * part)
        full, empty = "█░" if look.letters else "#."
        yield f"{100 * part:3.0f} % {full * filled}{empty * (BAR - filled)}"
    elif done is not None:
        yield f"{done:g} done"
    if job["message"]:
        yield str(job["message"])


def _queue(queue: Record, now: int, counted_to: int) -> list[Cell]:
    ready = f"{queue['ready']}{'+' * (queue['ready'] >= counted_to)}"
    oldest = queue["oldest_ready_at"]
    by = f" by {queue['paused_by']}" if queue["paused_by"] else ""
    paused = queue["paused_at"]
    return [
        (str(queue["name"]), PLAIN), (ready, PLAIN), (str(queue["running"]), PLAIN),
        (str(queue["concurrency"] or "-"), PLAIN),
        ("-" if oldest is None else lasted(now - oldest), PLAIN),
        ("" if paused is None else f"paused {age(now, paused)}{by}", YELLOW),
    ]


def _due(job: Record, now: int) -> list[Cell]:
    why = "scheduled"
    if job["status"] == "retrying":
        why = f"retry {job['retry_count']} after {job['failure_type']}"
    return [(str(job["id"]), PLAIN), (str(job["job_type"]), PLAIN), (str(job["queue"]), PLAIN),
            (age(now, job["due_at"]), PLAIN), (why, PLAIN)]


def _failure(each: Record, now: int) -> list[Cell]:
    when = "" if each["ended_at"] is None else age(now, each["ended_at"])
    why = ": ".join(str(part) for part in (each["failure_type"], each["error_message"]) if part)
    colour = YELLOW if each["outcome"] == "retrying" else RED
    return [(str(each["id"]), PLAIN), (str(each["job_type"]), PLAIN), (str(each["queue"]), PLAIN),
            (when, PLAIN), (str(each["outcome"]), colour), (why, PLAIN)]
