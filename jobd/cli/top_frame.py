"""One frame of `jobd top`: lines that fit the terminal, made of one moment's state."""

from collections.abc import Iterator, Sequence
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
    cut,
    width_of,
)
from jobd.core.durations import age
from jobd.core.health import at_work
from jobd.core.presence import Presence, stands_still
from jobd.core.problem import lasted
from jobd.core.pulse import ASCII_BARS, BARS, Beat, course, rates, share, sparkline
from jobd.store.live import COUNTED, Live
from jobd.store.reading import Record

SPARKS = 45
BAR = 12
COLUMN = 24

Cell = tuple[str, str]
"""Text, and its colour."""
Line = list[Cell]


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything that a frame shows; `trouble` says why it may be old."""

    now: int
    database: str
    seen: Presence
    live: Live
    beats: list[Beat]
    trouble: str | None = None


@dataclass(slots=True)
class Section:
    """A table with its heading."""

    heading: Sequence[str]
    rows: list[list[Cell]]
    right: frozenset[int] = frozenset()
    """Which columns stand to the right."""

    def lines(self, number: int, look: Look) -> Iterator[Line]:
        """The heading and the first `number` rows, aligned."""
        rows = [[(look.safe(text), colour) for text, colour in row] for row in self.rows[:number]]
        heads = [[(text, DIM) for text in self.heading]]
        widths = [max(min(width_of(row[column][0]), COLUMN) for row in [*heads, *rows])
                  for column in range(len(self.heading))]
        last = len(widths) - 1
        for row in [*heads, *rows]:
            line: Line = []
            for column, (text, colour) in enumerate(row):
                fitted = text if column == last else cut(text, widths[column])
                if column in self.right and width_of(text) < widths[column]:
                    fitted = " " * (widths[column] - width_of(text)) + text
                line += [(fitted, colour), ("  ", PLAIN)]
            yield line


def frame(
    moment: Moment, columns: int, lines: int, look: Look, *, foot: str = ""
) -> list[str]:
    """At most `lines` lines of at most `columns` columns, painted."""
    head = [[(look.safe(text), colour) for text, colour in line] for line in _head(moment, look)]
    sections = [each for each in _sections(moment, look) if each.rows]
    room = lines - len(head) - bool(foot)
    body: list[Line] = []
    # A section needs a line above it, its heading, and a row.
    sections = sections[: max(room // 3, 0)]
    given = share(room - 2 * len(sections), [len(each.rows) for each in sections])
    for section, number in zip(sections, given, strict=True):
        body += [[], *section.lines(number, look)]
    if foot:
        body += [[]] * (room - len(body)) + [[(foot, DIM)]]
    return [_painted(line, columns, look) for line in [*head, *body][: max(lines, 1)]]


def _painted(line: Line, columns: int, look: Look) -> str:
    """As much of the line as fits."""
    parts: list[str] = []
    for text, colour in line:
        if columns <= 0:
            break
        fitted = text if width_of(text) <= columns else cut(text, columns)
        columns -= width_of(fitted)
        parts.append(look.paint(fitted, colour))
    return "".join(parts)


def _head(moment: Moment, look: Look) -> Iterator[Line]:
    daemon = moment.live.daemon
    still = list(stands_still(moment.seen, daemon))
    if moment.seen.alive:
        up = f", up {lasted(moment.now - daemon['started_at'])}" if daemon else ""
        pid = f"pid {moment.seen.pid or '?'}"
        state = (f"{pid} STANDS STILL", RED) if still else (f"{pid}{up}", GREEN)
    else:
        state = ("no daemon is active", RED)
    time = f"{datetime.fromtimestamp(moment.now / 1000).astimezone():%H:%M:%S}"
    yield [("jobd", BOLD), (f"  {time}  ", DIM), state, (f"  {moment.database}", DIM)]
    yield _counts(moment)
    yield _throughput(moment, look)
    for each in still:
        yield [(f"{each.next_command}   ", BOLD), (each.text, RED)]
    if moment.trouble:
        yield [(moment.trouble, RED)]


def _counts(moment: Moment) -> Line:
    read = moment.live
    workers = read.workers if moment.seen.alive else []
    ill = sum(worker["health_status"] != "normal" for worker in workers)
    ready = sum(queue["ready"] for queue in read.queues)
    open_end = any(queue["ready"] >= read.counted_to for queue in read.queues)
    line = [(at_work(read.at_work if workers else 0, workers), PLAIN),
            (f"   {ready}{'+' * open_end} ready", PLAIN)]
    if ill:
        line.append((f"   {ill} not well", RED))
    for name, words, colour in (
        ("waiting", "wait for a time", PLAIN), ("retrying", "retrying", PLAIN),
        ("without_handler", "without a handler", YELLOW), ("zombie", "zombies", RED),
        ("dead_letter", "dead letters", YELLOW), ("failed", "failed", PLAIN),
    ):
        number = read.counts.get(name, 0)
        if number:
            line.append((f"   {number}{'+' * (number >= COUNTED)} {words}", colour))
    return line


def _throughput(moment: Moment, look: Look) -> Line:
    second = moment.now // 1000
    found, failing = rates(moment.beats, second), rates(moment.beats, second, failed=True)
    bars = BARS if look.letters else ASCII_BARS
    line = [
        (f"{_rate(found.now)} now  {_rate(found.minute)} 1 min  {_rate(found.quarter)} 15 min  ",
         PLAIN),
        (sparkline(course(moment.beats, second, SPARKS), bars), CYAN),
    ]
    if failing.quarter:
        line.append((f"  {_rate(failing.minute)} fail", YELLOW))
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
        (lasted(now - since), colour), (str(job["worker"] or waits), PLAIN),
        (" ".join([*says, *_progress(job, look)]), colour),
    ]


def _progress(job: Record, look: Look) -> Iterator[str]:
    done, total = job["done"], job["total"]
    if done is not None and total is not None and total > 0:
        part = min(max(done / total, 0.0), 1.0)
        filled = round(BAR * part)
        full, empty = "█░" if look.letters else "#."
        yield f"{full * filled}{empty * (BAR - filled)} {100 * part:3.0f} %"
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
