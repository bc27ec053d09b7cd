"""Why a job ended as it did, and whether it can be brought back."""

from jobd.core.durations import format_duration
from jobd.core.facts import (
    Explanation,
    Facts,
    asked_by,
    at,
    counted,
    failure,
    first_line,
    named,
)
from jobd.core.why_waiting import no_daemon

STILL_EXECUTING = "still executing"
"""How the reason begins when a job was parked while its thread or program went on."""

_MENDED = "Once the cause is mended, retry it."


def why_completed(facts: Facts) -> Explanation:
    """When, and how long it took."""
    started, ended = facts.job["started_at"], facts.job["completed_at"]
    took = "" if started is None or ended is None else (
        f", after {format_duration(max(0, ended - started) / 1000)}"
    )
    when = "" if ended is None else f" at {at(facts, ended)}"
    tries = f" on attempt {facts.job['attempt']}"
    return Explanation(f"{named(facts)} completed{when}{took}{tries}.", f"jobd show {facts.id}")


def why_failed(facts: Facts) -> Explanation:
    """It failed, and its policy asked for nothing more."""
    ended = facts.job["completed_at"]
    when = "" if ended is None else f" at {at(facts, ended)}"
    lead = (
        f"{named(facts)} failed{when} with {failure(facts)}. {_tries(facts)}, and its policy asks "
        "for no further retry and no person."
    )
    return _bring_back(facts, lead, _MENDED)


def why_dead(facts: Facts) -> Explanation:
    """Parked for a person: the reason, the last failure, and whether retry is possible."""
    moment = facts.job["moved_to_dead_letter_at"]
    when = "" if moment is None else f" at {at(facts, moment)}"
    reason = first_line(facts.job["dead_letter_reason"] or "no reason was kept")
    lead = (
        f"{named(facts)} was parked as dead_letter{when}: {reason}. "
        f"Its last failure: {failure(facts)}. {_tries(facts)}."
    )
    if reason.startswith(STILL_EXECUTING) and facts.job["execution_over"]:
        lead += " That execution has ended since."
    return _bring_back(facts, lead, _MENDED)


def why_cancelled(facts: Facts) -> Explanation:
    """Who cancelled it and when."""
    moment = facts.job["completed_at"] or facts.job["cancel_requested_at"]
    by = asked_by(facts, "cancel") or ("" if moment is None else f" at {at(facts, moment)}")
    ran = counted(facts.job["attempt"], "attempt")
    before = f" after {ran}" if facts.job["attempt"] else " before it ever ran"
    lead = f"{named(facts)} was cancelled{by}{before}."
    return _bring_back(facts, lead, "To run it after all, retry it.")


def _tries(facts: Facts) -> str:
    made = counted(facts.job["attempt"], "attempt")
    return f"{made} {'was' if facts.job['attempt'] == 1 else 'were'} made"


def _bring_back(facts: Facts, lead: str, way_on: str) -> Explanation:
    """Retry brings it back, unless its execution or its key stands in the way."""
    if not facts.job["execution_over"]:
        return _still_executing(facts, lead)
    if facts.key_holder is not None:
        text = f"Its unique key is held by job {facts.key_holder}, so it cannot be retried now."
        return Explanation(f"{lead} {text}", f"jobd explain {facts.key_holder}")
    return Explanation(f"{lead} {way_on}", f"jobd retry {facts.id}")


def _still_executing(facts: Facts, lead: str) -> Explanation:
    text = "Its last attempt may still be executing, so it cannot be retried yet"
    if not facts.daemon_alive:
        return Explanation(f"{lead} {text}. {no_daemon(facts)}", facts.start)
    if facts.trouble is not None:
        return Explanation(f"{lead} {text}. {facts.trouble.text}", facts.trouble.next_command)
    return Explanation(f"{lead} {text}: restart the daemon, which proves the execution over.",
                       facts.restarter)
