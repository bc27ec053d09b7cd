"""How many items of each batch may stand in line: as few as keep the workers busy.

Items that stand in line go before whatever was enqueued after their batch was made. So those who
wait behind them, single jobs and other batches of the same priority, share each claim with them
in equal parts, and are held up by no more than what was let go before they came.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

WINDOW = 512
"""At most so many items of a batch stand in line."""


@dataclass(frozen=True, slots=True)
class Hungry:
    """A batch that may let items go: how many stand in line, and how many more may run at once
    where that is limited, those in line included."""

    id: int
    priority: int
    ready: int
    places: int | None = None


@dataclass(frozen=True, slots=True)
class Portion:
    """Let so many items of this batch go; `cut` when it would have been more but for others."""

    batch_id: int
    items: int
    cut: bool = False


def portions(
    batches: Iterable[Hungry], claimable: int, singles: Collection[int], turn: int
) -> list[Portion]:
    """What each batch may let go before `claimable` jobs are claimed.

    `singles` are the priorities at which single jobs wait; `turn` counts the calls, so that what
    cannot be divided goes round.
    """
    by_priority: dict[int, list[Hungry]] = {}
    for batch in batches:
        by_priority.setdefault(batch.priority, []).append(batch)
    found = []
    for priority, members in by_priority.items():
        parties = len(members) + (priority in singles)
        if parties == 1:
            found += _alone(members[0], claimable)
        else:
            found += _together(members, claimable, parties, turn)
    return found


def _alone(batch: Hungry, claimable: int) -> list[Portion]:
    """Twice what can be claimed, and no more before half of it is gone: fewer statements."""
    window = min(WINDOW, 2 * claimable)
    if batch.places is None and batch.ready >= claimable:
        return []
    return _portion(batch, window - batch.ready)


def _together(
    members: Sequence[Hungry], claimable: int, parties: int, turn: int
) -> list[Portion]:
    share, rest = divmod(min(claimable, WINDOW), parties)
    found = []
    for place, batch in enumerate(members):
        items = share + ((place + turn) % parties < rest) - batch.ready
        wanted = _limited(batch, min(WINDOW, claimable) - batch.ready)
        given = _limited(batch, items)
        # When the others cannot be claimed after all, the next turn gives more; it must come.
        if given > 0 or (wanted > 0 and batch.ready == 0):
            found.append(Portion(batch.id, max(0, given), cut=given < wanted))
    return found


def _portion(batch: Hungry, items: int) -> list[Portion]:
    items = _limited(batch, items)
    return [Portion(batch.id, items)] if items > 0 else []


def _limited(batch: Hungry, items: int) -> int:
    return items if batch.places is None else min(items, batch.places)
