"""What a person sees of one batch: the lines that `batch show` prints and `batch watch` draws."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from jobd.cli.table import ago
from jobd.cli.terminal import BOLD, CYAN, DIM, GREEN, PLAIN, RED, YELLOW, Look, cut, width_of
from jobd.core.batch_progress import per_time, progress_line, said
from jobd.core.batch_status import OPEN, BatchStatus
from jobd.core.durations import format_duration

if TYPE_CHECKING:
    from jobd.core.fingerprint import Group

COLOURS = {
    BatchStatus.QUEUED: PLAIN, BatchStatus.PROCESSING: CYAN, BatchStatus.PAUSED: YELLOW,
    BatchStatus.COMPLETED: GREEN, BatchStatus.FAILED: RED, BatchStatus.CANCELLED: YELLOW,
}
TOPIC = 50


class Moment(NamedTuple):
    """Everything about a batch that is shown, as of `now` in ms."""

    now: int
    batch: dict[str, Any]
    """Its row, with `per_second` and `estimated_time_remaining`; None when nobody can tell."""
    running: Sequence[dict[str, Any]] = ()
    failures: Sequence["Group"] = ()
    looked_at: int | None = None
    """So many of its failed items the groups were made of, when not of all."""
    topics: Mapping[int, str] = MappingProxyType({})
    """What the items are called that are examples of a failure, by the ids of their jobs."""
    trouble: str | None = None
    """Why it does not go on, where the batch itself is not the reason."""

    @property
    def ended(self) -> int:
        return int(self.batch["completed_items"] + self.batch["cancelled_items"])

    @property
    def done(self) -> int:
        """Items that have succeeded or failed."""
        return int(self.batch["completed_items"])

    @property
    def is_open(self) -> bool:
        return self.batch["status"] in OPEN


def counts(moment: Moment) -> list[str]:
    """The words behind the bar, the most important first."""
    batch = moment.batch
    words = [f"{moment.done:,} of {batch['total_items']:,}"]
    if batch["failed_items"]:
        words.append(f"{batch['failed_items']:,} failed")
    if batch["cancelled_items"]:
        words.append(f"{batch['cancelled_items']:,} cancelled")
    if batch["status"] == BatchStatus.PROCESSING:
        if batch["per_second"]:
            words.append(per_time(batch["per_second"]))
        left = said(_seconds_left(batch))
        words.append("time left unknown" if left == "unknown" else f"{left} left")
    return words


def state(moment: Moment) -> str:
    """How the batch is, in words."""
    batch = moment.batch
    text = str(batch["status"])
    if batch["status"] == BatchStatus.PAUSED:
        by = f" by {batch['paused_by']}" if batch["paused_by"] else ""
        text += f" {_when(batch['paused_at'], moment)}{by}"
    if moment.is_open and batch["ends_as"]:
        text += ", being stopped" if batch["ends_as"] == "failed" else ", being cancelled"
    elif moment.is_open and batch["sealed_at"] is None:
        text += ", items are being added"
    elif not moment.is_open:
        text += f" {_when(batch['completed_at'], moment)}"
        if batch["status"] == BatchStatus.COMPLETED and batch["failed_items"]:
            many = "s" if batch["failed_items"] > 1 else ""
            text += f", with {batch['failed_items']:,} failed item{many}"
    return text + (f" (run {batch['run']})" if batch["run"] > 1 else "")


def _when(at: int | None, moment: Moment) -> str:
    said = ago(at, moment.now)
    return "just now" if said in (None, "now") else str(said)


def frame(moment: Moment, columns: int, lines: int | None, look: Look, foot: str = "") -> list[str]:
    """Lines of at most `columns` columns, at most `lines` of them, painted."""
    found = [_fitted(text, colour, columns, look) for text, colour in _head(moment, columns, look)]
    sections = [list(_running(moment, columns, look)), list(_failures(moment))]
    room = None if lines is None else max(lines - len(found) - bool(foot), 0)
    for section in filter(None, sections):
        if room is not None and len(section) + 1 > room:
            section = section[: max(room - 1, 0)]
        found += ["", *(_fitted(text, colour, columns, look) for text, colour in section)]
        room = None if room is None else max(room - len(section) - 1, 0)
    if foot:
        found += [""] * max((lines or 0) - len(found) - 1, 0) + [_fitted(foot, DIM, columns, look)]
    return found if lines is None else found[: max(lines, 1)]


def _fitted(text: str, colour: str, columns: int, look: Look) -> str:
    """One line, cut where the terminal ends, with nothing in it that drives it."""
    text = look.safe(text)
    return look.paint(text if width_of(text) <= columns else cut(text, columns), colour)


def _head(moment: Moment, columns: int, look: Look) -> Iterator[tuple[str, str]]:
    batch = moment.batch
    yield f"batch {batch['name']} (id {batch['id']}): {state(moment)}", BOLD
    if batch["end_reason"]:
        yield f"because: {batch['end_reason']}", YELLOW
    yield (
        progress_line(
            moment.done, batch["failed_items"], batch["total_items"], columns,
            words=counts(moment), letters=look.letters,
        ),
        COLOURS[BatchStatus(batch["status"])],
    )
    if moment.trouble:
        yield moment.trouble, RED
    yield "  ".join(_about(batch)), DIM
    yield "  ".join(_times(moment)), DIM


def _about(batch: dict[str, Any]) -> Iterator[str]:
    yield f"type {batch['job_type']}, queue {batch['queue']}"
    if batch["concurrent_processing"]:
        yield f"{batch['concurrent_processing']} at once"
    if batch["error_handling"] == "stop":
        yield "stops at the first failure"
    elif batch["stop_after"]:
        yield f"stops after {batch['stop_after']} failures"
    elif batch["stop_after_percent"]:
        yield f"stops after {batch['stop_after_percent']:g} % failures"


def _times(moment: Moment) -> Iterator[str]:
    batch = moment.batch
    by = f" by {batch['created_by']}" if batch["created_by"] else ""
    yield f"created {_when(batch['created_at'], moment)}{by}"
    if batch["started_at"]:
        end = batch["completed_at"] or moment.now
        took = "took" if batch["completed_at"] else "runs for"
        yield f"{took} {format_duration(max(end - batch['started_at'], 0) / 1000)}"


def _running(moment: Moment, columns: int, look: Look) -> Iterator[tuple[str, str]]:
    if moment.running:
        yield "running", DIM
    room = max(min(TOPIC, columns - 40), 10)
    for item in moment.running:
        topic = look.safe(item["topic"] or f"item {item['position']}")
        since = item["started_at"] or item["claimed_at"] or moment.now
        took = format_duration(max(moment.now - since, 0) // 1000)
        text = f"  {cut(topic, room)}  job {item['job_id']:<8} {took if took != '0 s' else '':<10}"
        if item["progress"] is not None:
            text += f" {100 * item['progress']:3.0f} %"
        yield text.rstrip(), PLAIN


def _failures(moment: Moment) -> Iterator[tuple[str, str]]:
    if moment.failures:
        some = "" if moment.looked_at is None else f" (of the latest {moment.looked_at:,})"
        yield f"failures by cause{some}", DIM
    for group in moment.failures:
        yield (f"  {group.count:>7,}  {group.failure_type or 'unknown'}: {group.error}"
               f"  (as job {group.example_id}{_called(moment, group.example_id)})"), RED


def _called(moment: Moment, job_id: int) -> str:
    topic = moment.topics.get(job_id)
    return f", {topic[:TOPIC]}" if topic else ""


def _seconds_left(batch: dict[str, Any]) -> float | None:
    left = batch["estimated_time_remaining"]
    return None if left is None else left / 1000
