"""Why an item of a batch waits: that is not sealed, paused, full or ending, or has its turns."""

from jobd.core.facts import Explanation, Facts, Record, at, counted


def why_not_at_all(facts: Facts, lead: str) -> Explanation | None:
    """What its batch has against running this item at any time; None when there is nothing."""
    batch = facts.batch
    if batch is None:
        return None
    name = batch["name"]
    if batch["ends_as"]:
        text = f"The batch is ending ({batch['end_reason']}): the item will be cancelled."
    elif facts.id > batch["sealed_up_to"]:
        text = "Items are still being put into the batch; this one runs once all of them are in."
    elif batch["status"] == "paused":
        by = f" by {batch['paused_by']}" if batch["paused_by"] else ""
        when = f" at {at(facts, batch['paused_at'])}" if batch["paused_at"] else ""
        return _answer(lead, batch, f"The batch was paused{by}{when}.", f"jobd batch resume {name}")
    else:
        return None
    return _answer(lead, batch, text, f"jobd batch show {name}")


def why_not_yet(facts: Facts, lead: str) -> Explanation | None:
    """Whether so many items of its batch run as may; None when they do not."""
    batch = facts.batch
    if batch is None or not _is_full(batch):
        return None
    limit = batch["concurrent_processing"]
    text = f"The batch runs {counted(limit, 'item')} at once, and so many run; {turn(batch)}."
    return _answer(lead, batch, text, f"jobd batch show {batch['name']}")


def turn(batch: Record) -> str:
    """How many items of its batch are before it."""
    if not batch["before"]:
        return "it is the next of its batch"
    more = " or more" if batch["before"] >= COUNTED else ""
    verb = "is" if batch["before"] == 1 else "are"
    return f"{counted(batch['before'], 'item')}{more} of its batch {verb} before it"


COUNTED = 10_000
"""So far the items before one are counted."""


def _is_full(batch: Record) -> bool:
    limit = batch["concurrent_processing"]
    return limit is not None and batch["executing"] >= limit


def _answer(lead: str, batch: Record, text: str, command: str) -> Explanation:
    whose = f"It is item {batch['position']} of batch {batch['name']} (id {batch['id']})."
    return Explanation(f"{lead} {whose} {text}", command)
