"""Going back to an older schema: what it cannot hold, and what the person said about it."""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence

from jobd import errors
from jobd.store import rows, schema_records
from jobd.store.migrations import Loss, Migration

ENDED = ("completed", "failed", "cancelled")


class StepDown:
    """The way from version `start` to version `to`, with a new status for each that goes away."""

    def __init__(
        self,
        history: Sequence[Migration],
        start: int,
        to: int,
        mapping: Mapping[str, str],
        discard: Collection[str],
    ) -> None:
        self.steps = tuple(reversed(history[to:start]))
        self._to = to
        self._mapping = mapping
        self._discard = frozenset(discard)
        self._held = _statuses(history[:to])
        self._known = _statuses(history[:start])
        self._dropped = [table for step in self.steps for table in step.drops]

    def check(self, db: sqlite3.Connection) -> None:
        """Refuse what makes no sense, and rows that the older schema cannot hold."""
        for old, new in self._mapping.items():
            self._check_mapping(old, new)
        for table in sorted(self._discard.difference(self._dropped)):
            dropped = ", ".join(self._dropped) or "none"
            raise errors.BadInput(f"going back drops no table {table}; it drops: {dropped}")
        problems = list(self._problems(db))
        if problems:
            raise errors.Refused(
                f"version {self._to} cannot hold everything; nothing was changed:\n"
                + "\n".join(f"  {problem}" for problem in problems)
            )

    def run(self, db: sqlite3.Connection, now: int) -> None:
        """Run every `down` with its record, having made room."""
        for table in self._discard:
            db.execute(f"DELETE FROM {table}")
        with rows.kept(db):
            for migration in self.steps:
                if migration.statuses:
                    self._move_jobs(db, now)
                migration.down(db)
                schema_records.record_rolled_back(db, migration.version, now)

    def told(self) -> str:
        """The options that were given, for the record."""
        maps = [f"--map {old}={new}" for old, new in self._mapping.items()]
        return " ".join([*maps, *(f"--discard {table}" for table in sorted(self._discard))])

    def _check_mapping(self, old: str, new: str) -> None:
        if old not in self._known:
            raise errors.BadInput(f"there is no status {old!r}; there are: {_list(self._known)}")
        if old in self._held:
            raise errors.BadInput(f"version {self._to} holds {old} jobs: --map {old} has no use")
        if new not in self._held:
            raise errors.BadInput(
                f"version {self._to} has no status {new!r} to map to; it has: "
                + (_list(self._held) or "none")
            )

    def _problems(self, db: sqlite3.Connection) -> Iterator[str]:
        for loss in (loss for step in self.steps for loss in step.losses(db)):
            if loss.status is None:
                if loss.table not in self._discard:
                    yield f"{_count(loss)} of {loss.table} would go: --discard {loss.table}"
            elif self._held and loss.status not in self._mapping:
                yield (
                    f"{_count(loss)} of {loss.table} with the status {loss.status}: "
                    f"--map {loss.status}={_nearest(loss.status)}"
                )

    def _move_jobs(self, db: sqlite3.Connection, now: int) -> None:
        """At this point of the way down the table has no triggers."""
        for old, new in self._mapping.items():
            ended = now if new in ENDED else None
            db.execute(
                "UPDATE job_queue SET status = ?, completed_at = coalesce(completed_at, ?) "
                "WHERE status = ?", (new, ended, old)
            )


def _statuses(history: Sequence[Migration]) -> tuple[str, ...]:
    found: tuple[str, ...] = ()
    for migration in history:
        found = migration.statuses or found
    return found


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


def _count(loss: Loss) -> str:
    return f"{loss.count} row{'s' if loss.count != 1 else ''}"


def _nearest(status: str) -> str:
    """What a job in a status of today was in the first version."""
    return "pending" if status == "retrying" else "failed"
