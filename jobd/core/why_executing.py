"""Why a job that was claimed has not ended, and whether anybody still vouches for it."""

from jobd.core.durations import format_duration
from jobd.core.facts import Explanation, Facts, asked_by, at, named, since
from jobd.core.problem import Problem
from jobd.core.why_waiting import no_daemon
from jobd.core.worker_health import NOT_WELL, HealthStatus

_REQUESTS = (
    ("cancel_requested_at", "cancel", "Its cancellation was asked for{by}; it becomes cancelled"),
    ("release_requested_at", "release", "Its release was asked for{by}; it goes back to pending"),
    ("stop_requested_at", "stop", "The daemon told it to stop{by}; it goes back to pending"),
)


def why_running(facts: Facts) -> Explanation:
    """Who runs it, for how long, how far it is, and what was asked of it meanwhile."""
    if not facts.owner_alive:
        return _orphan(facts, f"{named(facts)} was running (attempt {facts.job['attempt']}).")
    asked = requested(facts)
    if facts.trouble is not None:
        return _held_up(facts, f"{named(facts)} is running (attempt {facts.job['attempt']}).",
                        facts.trouble)
    if facts.job["started_at"] is None:
        text = f"{_claimed(facts)}{asked or ' It starts as soon as a worker is free.'}"
        return Explanation(text, "jobd workers")
    text = f"{_runs(facts)}{_progress(facts)}{_deadline(facts)}"
    if asked:
        return Explanation(f"{text}{asked}", f"jobd wait {facts.id}")
    if facts.worker_health != HealthStatus.NORMAL:
        return Explanation(f"{text} Its worker {NOT_WELL[facts.worker_health]}.",
                           f"jobd logs {facts.id}")
    return Explanation(f"{text} Nothing is wrong: it ends when its handler does.",
                       f"jobd wait {facts.id}")


def why_timeout(facts: Facts) -> Explanation:
    """It was told to stop and has not stopped yet."""
    lead = f"{named(facts)} {_passed_deadline(facts)}"
    if not facts.owner_alive:
        return _orphan(facts, f"{lead}.")
    if facts.trouble is not None:
        return _held_up(facts, f"{lead}.", facts.trouble)
    text = f"{lead}; it was told to stop and may still be executing.{_hangs(facts)}"
    after = requested(facts) or (
        " Once it has stopped it is retried or parked; if it does not stop, it becomes zombie."
    )
    return Explanation(f"{text}{after}", f"jobd show {facts.id}")


def why_zombie(facts: Facts) -> Explanation:
    """Nobody vouches for the attempt: its daemon died, or it would not stop."""
    if not facts.owner_alive:
        return _orphan(facts, f"{named(facts)} is a zombie: {_why_left(facts)}.")
    if facts.trouble is not None:
        lead = f"{named(facts)} is a zombie: its attempt would not stop."
        return _held_up(facts, lead, facts.trouble)
    hold = format_duration(facts.zombie_hold_ms / 1000)
    text = (
        f"{named(facts)} is a zombie: its attempt {facts.job['attempt']} would not stop when told "
        f"to and may still be executing.{_hangs(facts)}{requested(facts)} If it is still stuck "
        f"{hold} (timing.zombie_hold) after it became zombie, it is parked as dead_letter; "
        "restarting the daemon ends it for certain."
    )
    return Explanation(text, f"jobd show {facts.id}")


def _why_left(facts: Facts) -> str:
    """Whether it would not stop, or was only running when its daemon ended."""
    if facts.job["timed_out_at"] is None:
        return "its daemon ended while it ran"
    return f"it {_passed_deadline(facts)}, and would not stop when told to"


def requested(facts: Facts) -> str:
    """What was asked of the attempt and is kept until it is over; the first one counts."""
    for column, verb, text in _REQUESTS:
        moment = facts.job[column]
        if moment is not None:
            by = asked_by(facts, verb) or f" at {at(facts, moment)}"
            return f" {text.format(by=by)} as soon as its execution is over."
    return ""


def _orphan(facts: Facts, lead: str) -> Explanation:
    """An attempt whose daemon is gone."""
    kept = requested(facts)
    if facts.trouble is not None:
        text = f"{lead} Its daemon is gone. {facts.trouble.text}{kept}"
        return Explanation(text, facts.trouble.next_command)
    if facts.daemon_alive:
        text = f"{lead} Its daemon is gone; the active one settles it within moments.{kept}"
        return Explanation(text, f"jobd explain {facts.id}")
    text = f"{lead} Its daemon is gone. {no_daemon(facts)} It first settles what was left.{kept}"
    return Explanation(text, facts.start)


def _held_up(facts: Facts, lead: str, trouble: Problem) -> Explanation:
    """An attempt whose daemon lives, and cannot do its part."""
    return Explanation(f"{lead} {trouble.text}{requested(facts)}", trouble.next_command)


def _claimed(facts: Facts) -> str:
    ago = since(facts, facts.job["claimed_at"] or facts.now)
    return (
        f"{named(facts)} is claimed for attempt {facts.job['attempt']} since {ago}, but buffered: "
        "no worker has taken it yet."
    )


def _runs(facts: Facts) -> str:
    record = facts.last_attempt
    worker = record and record["worker"]
    on = f" on {worker}" if worker else ""
    link = "of" if worker else "in"
    daemon = f" {link} daemon pid {facts.daemon['pid']}" if facts.daemon else ""
    return (
        f"{named(facts)} has been running{on}{daemon} for "
        f"{since(facts, facts.job['started_at'])} (attempt {facts.job['attempt']})."
    )


def _progress(facts: Facts) -> str:
    report = facts.progress
    if report is None or report["attempt"] != facts.job["attempt"]:
        return ""
    total = "" if report["total"] is None else f" of {report['total']:g}"
    message = f" ({report['message']})" if report["message"] else ""
    ago = since(facts, report["reported_at"])
    return f" It reported {report['done']:g}{total}{message} {ago} ago."


def _deadline(facts: Facts) -> str:
    if facts.timeout_ms is None:
        return " It has no timeout."
    left = facts.job["started_at"] + facts.timeout_ms - facts.now
    timeout = format_duration(facts.timeout_ms / 1000)
    if left <= 0:
        return f" Its timeout of {timeout} is over; the next sweep tells it to stop."
    return f" Its timeout of {timeout} leaves it {format_duration(left / 1000)}."


def _passed_deadline(facts: Facts) -> str:
    allowed = "" if facts.timeout_ms is None else f" of {format_duration(facts.timeout_ms / 1000)}"
    moment = facts.job["timed_out_at"]
    when = "" if moment is None else f" at {at(facts, moment)}"
    return f"passed its timeout{allowed}{when}"


def _hangs(facts: Facts) -> str:
    """Where the thread was when the verdict fell: the innermost call of the kept stack."""
    record = facts.last_attempt
    lines = [line.strip() for line in ((record and record["stack"]) or "").splitlines()]
    lines = [line for line in lines if line]
    places = [index for index, line in enumerate(lines) if line.startswith("File ")]
    innermost = lines[places[-1] : places[-1] + 2] if places else lines[-1:]
    return f" It hung at: {': '.join(innermost)[:300]}." if innermost else ""
