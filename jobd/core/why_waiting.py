"""Why a job that waits is not running."""


from jobd.core.durations import age
from jobd.core.facts import (
    Explanation,
    Facts,
    at,
    counted,
    failure,
    listed,
    named,
)
from jobd.core.lifecycle import FailureType
from jobd.core.names import nearest
from jobd.core.problem import lasted
from jobd.core.why_in_batch import turn, why_not_at_all, why_not_yet
from jobd.errors import CONFIGURATION

TAKEN_WITHIN = 0.6
"""Seconds in which the daemon takes a job that nothing stands in the way of."""
LONG_READY_MS = 2_000


def why_pending(facts: Facts) -> Explanation:
    """What keeps a pending job from being claimed."""
    return _blocked(facts, _scheduled(facts) if _is_later(facts) else _waits(facts))


def why_retrying(facts: Facts) -> Explanation:
    """What failed, when the next attempt is due, and what else stands in its way."""
    due = facts.job["next_retry_at"]
    retry = f"{_which_retry(facts)} is due"
    when = f" at {at(facts, due)}" if due is not None and due > facts.now else " now"
    return _blocked(facts, f"{_what_failed(facts)} {retry}{when}.")


def _waits(facts: Facts) -> str:
    return f"{named(facts)} waits in queue {facts.job['queue']}."


def _is_later(facts: Facts) -> bool:
    due = facts.job["due_at"]
    return due is not None and due > facts.now


def _scheduled(facts: Facts) -> str:
    due = at(facts, facts.job["due_at"])
    if facts.job["snooze_count"]:
        return f"{named(facts)} sleeps until {due}: its handler asked to be called again then."
    return f"{named(facts)} is scheduled for {due}."


def _what_failed(facts: Facts) -> str:
    return f"Attempt {facts.job['attempt']} of job {facts.id} ({facts.job['job_type']}) failed " \
           f"with {failure(facts)}."


def _which_retry(facts: Facts) -> str:
    lost = facts.job["failure_type"] == FailureType.WORKER_LOST
    number = facts.job["rescue_count" if lost else "retry_count"]
    noun = "Rescue" if lost else "Retry"
    return f"{noun} {number}" + (f" of {facts.retry_limit}" if facts.retry_limit else "")


def _blocked(facts: Facts, lead: str) -> Explanation:
    """The lead, then the first thing that stands in the way, then what to type."""
    queue = facts.job["queue"]
    if not facts.daemon_alive:
        return Explanation(f"{lead} {no_daemon(facts)}", facts.start)
    if facts.trouble is not None:
        return Explanation(f"{lead} {facts.trouble.text}", facts.trouble.next_command)
    if not facts.handled:
        return Explanation(f"{lead} {_no_handler(facts)}", "jobd check")
    if facts.paused_at is not None:
        return Explanation(f"{lead} {_paused(facts)}", f"jobd queue resume {queue}")
    never = why_not_at_all(facts, lead)
    if never is not None:
        return never
    if _is_later(facts):
        return _in_time(facts, lead)
    if facts.concurrency is not None and len(facts.executing) >= facts.concurrency:
        return Explanation(f"{lead} {_full(facts)}", f"jobd explain {facts.executing[0]}")
    batch_full = why_not_yet(facts, lead)
    if batch_full is not None:
        return batch_full
    if facts.suspect is not None:
        return Explanation(f"{lead} {_suspected(facts)}", f"jobd explain {facts.suspect}")
    if facts.workers and facts.busy >= facts.workers:
        return Explanation(f"{lead} {_busy(facts)}", "jobd workers")
    return Explanation(f"{lead} {_in_line(facts)}", f"jobd wait {facts.id}")


def no_daemon(facts: Facts) -> str:
    """No daemon is active; when the last one went, where that is known."""
    last = facts.daemon
    refused = " once that is mended" if f"exit status {CONFIGURATION}," in facts.last_words else ""
    start = f"start one{refused}" if facts.obstacle is None else \
        f"none can start. {facts.obstacle.text}"
    if last is None:
        tried = f" ({facts.last_words})" if facts.last_words else ""
        return f"No daemon has run on this database yet{tried}: {start.rstrip('.')}."
    seen = last["stopped_at"] or last["seen_at"]
    was = f"the last one, pid {last['pid']}, was last seen {age(facts.now, seen)}"
    if facts.last_words:
        was += f"; {facts.last_words}"
    return f"No daemon is active ({was}): {start.rstrip('.')}."


def _no_handler(facts: Facts) -> str:
    job_type = facts.job["job_type"]
    near = nearest(job_type, list(facts.job_types))
    guess = f"It has one for {' and '.join(near)}. " if near else ""
    return (
        f"It was set aside, because the active daemon has no handler for job type {job_type}. "
        f"{guess}Name the handler's module in pool.handlers and restart the daemon, or cancel "
        "the job and enqueue it under the right name."
    )


def _paused(facts: Facts) -> str:
    by = f" by {facts.paused_by}" if facts.paused_by else ""
    return f"Queue {facts.job['queue']} was paused{by} at {at(facts, facts.paused_at or 0)}."


def _in_time(facts: Facts, lead: str) -> Explanation:
    if facts.job["status"] == "retrying":
        return Explanation(f"{lead} To try at once, retry it by hand.", f"jobd retry {facts.id}")
    return Explanation(f"{lead} The daemon is active and takes it then.", f"jobd wait {facts.id}")


def _full(facts: Facts) -> str:
    return (
        f"Queue {facts.job['queue']} is at its concurrency limit of {facts.concurrency}, "
        f"held by {listed(facts.executing)}; {_place(facts)}."
    )


def _suspected(facts: Facts) -> str:
    return (
        f"It was lost with its daemon {facts.job['rescue_count']} times, and so was job "
        f"{facts.suspect}, whose execution is not over: of such jobs only one runs at a time, so "
        "that the one which ends daemons takes no other with it."
    )


def _busy(facts: Facts) -> str:
    workers = "The one worker is" if facts.workers == 1 else f"All {facts.workers} workers are"
    return f"{workers} busy; {_place(facts)}."


def _in_line(facts: Facts) -> str:
    if facts.overlooked:
        return (
            f"It has been ready for {lasted(facts.ready_ms)}, nothing is before it and a worker is "
            "free, but the daemon does not take it: its dispatcher hangs, or a handler that "
            "computes lets no other thread have Python's global lock (isolation = \"process\" "
            "keeps such a handler apart)."
        )
    return f"The daemon is active and takes it in its turn; {_place(facts)}."


def is_next(facts: Facts) -> bool:
    """Whether the daemon should have taken it by now; who has to know looks once more a moment
    later, for it may have become ready just now."""
    full = facts.concurrency is not None and len(facts.executing) >= facts.concurrency
    free = facts.busy < facts.workers and not facts.ahead and not full
    return facts.daemon_alive and facts.trouble is None and facts.handled and free \
        and facts.batch is None \
        and facts.paused_at is None and facts.ready_ms > LONG_READY_MS \
        and facts.suspect is None


def _place(facts: Facts) -> str:
    queue = facts.job["queue"]
    if facts.batch is not None:
        return turn(facts.batch)
    if not facts.ahead:
        return f"it is first in queue {queue}"
    verb = "is" if facts.ahead == 1 else "are"
    return f"{counted(facts.ahead, 'job')} {verb} before it in queue {queue}"
