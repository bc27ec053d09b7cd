"""Whether attempts are what the side file says: begun once, never two at a time, fenced."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise

from tests.torture.evidence import AttemptRow, Evidence, JobRow, Note
from tests.torture.journal import BEGAN, ENDED, KILLS, RESUMED, RETURNED, SAVED, TWO_AT_ONCE
from tests.torture.plan import SWEEP

SLACK = 0.3
"""Between the start of a deadline and the handler's first line, on a busy machine."""


def a_start_is_an_attempt(e: Evidence) -> Iterator[str]:
    """Each start is an attempt of a job in the database, and there are no more than attempts."""
    starts = Counter(note.job_id for note in e.noted(BEGAN))
    for note in e.noted(BEGAN):
        row = e.jobs.get(note.job_id)
        if row is None:
            yield f"attempt {note.attempt} of job {note.job_id} began, which does not exist"
        elif not 1 <= note.attempt <= row.attempt:
            yield f"attempt {note.attempt} of job {row.id} began, which has had {row.attempt}"
    for row in e.jobs.values():
        if starts[row.id] > row.attempt:
            yield f"job {row.id} began {starts[row.id]} times in {row.attempt} attempts"


def an_attempt_begins_once(e: Evidence) -> Iterator[str]:
    """No attempt is started twice."""
    for (job_id, attempt), count in Counter(note.key for note in e.noted(BEGAN)).items():
        if count > 1:
            yield f"attempt {attempt} of job {job_id} began {count} times"


def completed_means_done(e: Evidence) -> Iterator[str]:
    """What is completed began and returned, in the attempt that the row names."""
    began = {note.key for note in e.noted(BEGAN)}
    returned = {note.key for note in e.noted(ENDED) if note.how == RETURNED}
    for row in e.jobs.values():
        if row.status == "completed" and (row.id, row.attempt) not in began & returned:
            yield f"job {row.id} is completed, but attempt {row.attempt} did not begin and return"


def none_overlap(e: Evidence) -> Iterator[str]:
    """No two attempts of a job execute at the same time: by their locks, and by their times."""
    for note in e.noted(TWO_AT_ONCE):
        yield f"attempt {note.attempt} of job {note.job_id} began while another executed"
    began: dict[int, list[Note]] = defaultdict(list)
    for note in e.noted(BEGAN):
        began[note.job_id].append(note)
    ends, alive = {note.key: note.at for note in e.noted(ENDED)}, alive_until(e)
    for of_one_job in began.values():
        for one, other in pairwise(sorted(of_one_job, key=lambda note: note.at)):
            if other.at < ends.get(one.key, alive.get(one.pid, 0.0)):
                yield (f"attempts {one.attempt} and {other.attempt} of job {one.job_id} "
                       "executed at the same time")


def alive_until(e: Evidence) -> Mapping[int, float]:
    """Until when each process certainly lived: its last line, or the last signal that it got."""
    alive = {note.pid: note.at for note in e.notes}
    for daemon in e.daemons:
        signals = [at for _, at in daemon.signals]
        alive[daemon.pid] = max([*signals, alive.get(daemon.pid, 0.0)])
    return alive


def the_fence_holds(e: Evidence) -> Iterator[str]:
    """A result is that of the last attempt, and only one attempt of a job ever completes it."""
    completed: Counter[int] = Counter()
    for _, line in e.events():
        if line.get("event") == "job.completed":
            completed[line["job_id"]] += 1
            row = e.jobs.get(line["job_id"])
            if row and (row.status, row.attempt) != ("completed", line["attempt"]):
                yield (f"attempt {line['attempt']} completed job {row.id} by the log, which is "
                       f"{row.status} in attempt {row.attempt}")
    yield from (f"job {job_id} completed {n} times by the log"
                for job_id, n in completed.items() if n > 1)
    for row in e.jobs.values():
        told = _attempt_in_result(row)
        if told is not None and told != row.attempt:
            yield f"job {row.id} has the result of attempt {told} in attempt {row.attempt}"


def _attempt_in_result(row: JobRow) -> int | None:
    found = json.loads(row.result) if row.result and row.status == "completed" else None
    return found.get("attempt") if isinstance(found, dict) else None


def a_verdict_stands(e: Evidence) -> Iterator[str]:
    """An attempt that was judged does not complete its job afterwards."""
    kept = {row.key: row for row in e.attempts}
    for job in e.jobs.values():
        row = kept.get((job.id, job.attempt))
        if job.status == "completed" and row is not None:
            yield f"attempt {job.attempt} of job {job.id} completed after it was {row.outcome}"


def no_success_is_dropped(e: Evidence) -> Iterator[str]:
    """When a handler returned, and its daemon lived to write it and gave no verdict, it counts."""
    judged = {row.key for row in e.attempts if row.timed_out_at is not None} | {
        (line.get("job_id"), line.get("attempt")) for _, line in e.events()
        if line.get("event") in ("job.timed_out", "job.zombified")
    }
    for note in e.noted(ENDED):
        row = e.jobs.get(note.job_id)
        if row is None or note.how != RETURNED or note.key in judged:
            continue
        order = e.order_of(row)
        won = row.status == "completed" and row.attempt == note.attempt
        if order and order.steady and not won and _lived_on(e, note):
            yield (f"attempt {note.attempt} of job {row.id} returned, and the job is {row.status} "
                   f"in attempt {row.attempt}")


def _lived_on(e: Evidence, note: Note) -> bool:
    """Whether the daemon was neither killed, nor told to stop before the attempt had ended."""
    daemon = e.daemon(note.pid)
    killed = any(each.pid == note.pid for each in e.noted(KILLS))
    return (daemon is not None and not killed and daemon.status in (0, 75)
            and not any(at <= note.at for _, at in daemon.signals))


def deadlines_are_true(e: Evidence) -> Iterator[str]:
    """No attempt times out that did not run so long; being frozen does not count, nor a clock."""
    began = {note.key: note for note in e.noted(BEGAN)}
    ended = {note.key: note.at for note in e.noted(ENDED)}
    for row in e.attempts:
        job = e.jobs.get(row.job_id)
        start, end = began.get(row.key), ended.get(row.key)
        if row.timed_out_at is None or not (job and job.timeout_ms and start and end):
            continue
        ran = end - start.at + SLACK - _frozen(e, row, start.at, end)
        if ran < job.timeout_ms / 1000:
            yield (f"attempt {row.attempt} of job {row.job_id} timed out after {ran:.2f} s of "
                   f"{job.timeout_ms / 1000:g} s")


def _frozen(e: Evidence, row: AttemptRow, start: float, end: float) -> float:
    """Seconds in which the daemon was stopped, beyond what a step of its clock may count."""
    daemon = e.daemon(row.pid)
    frozen, until = 0.0, start
    for a, b in sorted(daemon.frozen) if daemon else []:
        # Whoever is stopped twice goes on once: two such times may overlap.
        frozen += max(0.0, min(b, end) - max(a, until) - 2 * SWEEP)
        until = max(until, b)
    return frozen


def checkpoints_are_durable(e: Evidence) -> Iterator[str]:
    """An attempt goes on from what the last `checkpoint` returned from."""
    retried = {line["id"] for line in e.told("asking") if line["verb"] == "retry"}
    saved: dict[int, int] = {}
    for note in e.notes:
        if note.kind == SAVED:
            saved[note.job_id] = int(note.how)
        elif (note.kind == RESUMED and note.job_id not in retried
                and int(note.how) < saved.get(note.job_id, 0)):
            yield (f"attempt {note.attempt} of job {note.job_id} resumed at {note.how}, "
                   f"after {saved[note.job_id]} was saved")


def a_narrow_queue_runs_one(e: Evidence) -> Iterator[str]:
    """Of a queue with a concurrency of 1 no two attempts overlap."""
    narrow = {row.id for row in e.jobs.values() if row.queue == "narrow"}
    ends = {note.key: note.at for note in e.noted(ENDED)}
    spans = sorted((note.at, ends[note.key], note.key) for note in e.noted(BEGAN)
                   if note.job_id in narrow and note.key in ends)
    for one, other in pairwise(spans):
        if other[0] < one[1]:
            yield f"attempts {one[2]} and {other[2]} of the narrow queue overlapped"


CHECKS = (
    a_start_is_an_attempt, an_attempt_begins_once, completed_means_done, none_overlap,
    the_fence_holds, a_verdict_stands, no_success_is_dropped, deadlines_are_true,
    checkpoints_are_durable, a_narrow_queue_runs_one,
)
