"""Whether daemons lived, logged and ended as promised, and the database is sound."""

import signal
from collections import Counter
from collections.abc import Iterator

from tests.torture.evidence import Evidence, parsed
from tests.torture.journal import KILLS
from tests.torture.processes import Incarnation

NEVER = ("daemon.failed", "store.row_refused", "store.replaced", "sweep.failed", "job.stray_found",
         "store.full", "store.checkpoint_failed")
OUTCOMES = ("job.completed", "job.retry_scheduled", "job.dead_lettered", "job.failed",
            "job.cancelled", "job.released", "job.snoozed")


def daemons_end_as_documented(e: Evidence) -> Iterator[str]:
    """0 after a signal, 75 when too many threads are stuck; death only by what killed it."""
    suicides = {note.pid for note in e.noted(KILLS)}
    for each in e.daemons:
        if each.status == -signal.SIGKILL:
            if not each.got(signal.SIGKILL) and each.pid not in suicides:
                yield f"daemon {each.pid} was killed, and not by us"
        elif not _ended_well(e, each):
            yield (f"daemon {each.pid} ended with {each.status}: "
                   f"{e.errors.get(each.pid, '')[-300:]!r}")


def _ended_well(e: Evidence, each: Incarnation) -> bool:
    lines = e.logs.get(each.pid, [])
    told = bool(each.got(signal.SIGTERM))
    if each.status == 75:
        return any('"pool.exhausted"' in line for line in lines)
    # Before it has the lock and listens, a SIGTERM ends it as any program.
    listened = any('"daemon.started"' in line for line in lines)
    return told and (each.status == 0 or (each.status == -signal.SIGTERM and not listened))


def the_log_is_whole(e: Evidence) -> Iterator[str]:
    """Each line is one JSON object, but for the last one of a daemon that was killed."""
    for each in e.daemons:
        lines = e.logs.get(each.pid, [])
        lines = lines[:-1] if each.status == -signal.SIGKILL else lines
        for line in lines:
            if parsed(line) is None:
                yield f"daemon {each.pid} logged {line[:200]!r}"


def nothing_is_wrong_by_the_log(e: Evidence) -> Iterator[str]:
    """No event that tells of a fault of jobd's own, and no traceback."""
    for pid, line in e.events():
        if line.get("event") in NEVER:
            yield f"daemon {pid} logged {str(line)[:600]}"
    for pid, text in e.errors.items():
        if "Traceback" in text:
            yield f"process {pid} wrote {text[-1500:]}"


def an_attempt_has_one_outcome(e: Evidence) -> Iterator[str]:
    """No attempt has two outcome lines, in whatever daemon's log."""
    told = Counter((line.get("job_id"), line.get("attempt")) for _, line in e.events()
                   if line.get("event") in OUTCOMES)
    for (job_id, attempt), count in told.items():
        if count > 1:
            yield f"attempt {attempt} of job {job_id} has {count} outcomes in the log"


def what_is_logged_is_durable(e: Evidence) -> Iterator[str]:
    """An outcome that was logged is in the database: the job has gone at least as far."""
    for pid, line in e.events():
        if line.get("event") in OUTCOMES:
            row = e.jobs.get(line["job_id"])
            if row is None or row.attempt < line["attempt"]:
                yield f"daemon {pid} logged {line['event']} of what is not there: {line}"


def the_database_is_sound(e: Evidence) -> Iterator[str]:
    """integrity_check and foreign_key_check find nothing."""
    yield from e.integrity


def the_schema_fits(e: Evidence) -> Iterator[str]:
    """`jobd migrate verify` finds nothing."""
    if e.schema:
        yield e.schema


def nobody_is_left(e: Evidence) -> Iterator[str]:
    """No process carries an attempt's marker once all have ended, none is left after the stop."""
    yield from e.leftovers


def producers_are_served(e: Evidence) -> Iterator[str]:
    """No call of a producer failed."""
    for line in e.told("error"):
        yield f"{line['verb']}: {line['error']}"


CHECKS = (
    daemons_end_as_documented, the_log_is_whole, nothing_is_wrong_by_the_log,
    an_attempt_has_one_outcome, what_is_logged_is_durable, the_database_is_sound,
    the_schema_fits, nobody_is_left, producers_are_served,
)
