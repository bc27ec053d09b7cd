"""Moving the schema between versions: each change and its record in one transaction."""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobd import errors
from jobd.store import rows, schema, schema_records
from jobd.store.backup import back_up, backup_path
from jobd.store.connection import APPLICATION_ID, Database
from jobd.store.migrations import MIGRATIONS, Migration
from jobd.store.misfits import misfits
from jobd.store.repair import repair
from jobd.store.shape import compare, read_shape
from jobd.store.step_down import StepDown


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """One line of `jobd migrate status`: "applied" or "pending"; times as they were recorded."""

    version: int
    name: str
    status: str
    applied_at: int | str | None
    rollback_at: int | str | None


@dataclass(frozen=True, slots=True)
class Change:
    """What a verb did: the version it left, the migrations it ran, what it mended, the backup."""

    version: int
    migrations: tuple[Migration, ...] = ()
    deeds: tuple[str, ...] = ()
    backup: Path | None = None


class MigrationManager:
    """Moves one database through the history of the schema.

    Its caller holds the daemon's lock, except while a new file is made. Every verb that writes
    is one transaction, begins with a backup when there is data, and leaves no trace when it
    fails. `actor` is the person whom `operator_actions` names; None for jobd itself.

    Raises:
        SchemaError: the database does not stand where the verb may begin; says what is wrong.
        Refused: the verb would throw something away, or is not needed; says what to pass.
        BadInput: there is no such version, status or table.
    """

    def __init__(self, database: Database, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        self.database = database
        self.migrations = tuple(migrations)

    def status(self) -> list[MigrationStatus]:
        """Every migration that this jobd or the database knows, in order."""
        records = schema_records.read_records(self.database.connection)
        names = {version: record.name for version, record in records.items()}
        names |= {migration.version: migration.name for migration in self.migrations}
        return [_status(v, names[v], records.get(v)) for v in sorted(names)]

    def verify(self) -> list[schema.Difference]:
        """Every way in which the database is not what this jobd needs, row by row too."""
        db = self.database.connection
        return [*schema.drift(db, self.migrations), *misfits(db)]

    def up(self, now: int, to: int | None = None, *, actor: str | None = None) -> Change:
        """Apply what is pending, up to version `to`; a new file gets everything at once."""
        with self._change() as db:
            version = self._sound_version(db)
            target = self._target(to, lowest=version)
            steps = self.migrations[version:target]
            with self._safely(db, version, now if steps else None) as backup:
                self._run_up(db, steps, now)
                self._finish(db, target)
                if steps:
                    self._tell(db, actor, "migrate up", target, f"from version {version}", now)
            return Change(target, steps, backup=backup)

    def down(
        self,
        now: int,
        to: int,
        mapping: Mapping[str, str] | None = None,
        discard: Collection[str] = (),
        *,
        actor: str | None = None,
    ) -> Change:
        """Go back to version `to`: jobs in a status that it lacks get the one in `mapping`.

        Tables named in `discard` may lose their rows.
        """
        with self._change() as db:
            version = self._sound_version(db)
            self._target(to, highest=version)
            step = StepDown(self.migrations, version, to, mapping or {}, discard)
            step.check(db)
            with self._safely(db, version, now) as backup:
                step.run(db, now)
                self._finish(db, to)
                detail = f"from version {version} {step.told()}".strip()
                self._tell(db, actor, "migrate down", to, detail, now)
            return Change(to, step.steps, backup=backup)

    def mark_migration_as_applied(
        self, version: int, now: int, force: bool = False, *, actor: str | None = None
    ) -> Change:
        """Record `version` as applied without running it; only when its work is there or forced."""
        self._target(version, lowest=1)
        migration = self.migrations[version - 1]
        with self._change() as db:
            self._refuse_newer(db)
            if not force:
                self._refuse_unseen(db, migration)
            schema_records.prepare(db)
            schema_records.record_in_force(db, migration, now)
            self._finish(db, max(self.database.user_version(), _unbroken(db)))
            self._tell(db, actor, "migrate mark-applied", version, "forced" if force else "", now)
            return Change(self.database.user_version(), (migration,))

    def repair(
        self,
        now: int,
        discard: Collection[str] = (),
        mapping: Mapping[str, str] | None = None,
        *,
        actor: str | None = None,
    ) -> Change:
        """Make the database what its version must be, keeping every row that it can hold.

        `discard` names added columns and unknown tables ("job_queue.note", "notes") whose values
        may go, and tables of ours whose unfit rows may go; `mapping` moves jobs out of statuses
        that do not exist.
        """
        with self._change() as db:
            self._refuse_newer(db)
            found = schema.examine(db, self.migrations)
            if not (found.faults or found.notes or misfits(db)):
                return Change(found.version)
            _refuse_early(found.faults)
            with self._safely(db, found.version, now) as backup:
                history = self.migrations[: found.version]
                deeds = repair(db, history, discard, mapping or {}, now)
                self._finish(db, found.version)
                self._sound_version(db)
                self._tell(db, actor, "migrate repair", found.version, "; ".join(deeds), now)
            return Change(found.version, deeds=tuple(deeds), backup=backup)

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """One transaction in which tables that others refer to may be replaced."""
        db = self.database.connection
        db.execute("PRAGMA foreign_keys = OFF")
        if db.execute("PRAGMA foreign_keys").fetchone()[0]:
            raise errors.SchemaError("foreign keys stay on: a transaction is open already")
        try:
            with self.database.transaction():
                yield db
        finally:
            db.execute("PRAGMA foreign_keys = ON")
        if self.database.schema_version is not None:
            self.database.schema_version = self.database.user_version()

    @contextmanager
    def _safely(
        self, db: sqlite3.Connection, version: int, now: int | None
    ) -> Iterator[Path | None]:
        """Back up first when there is data; afterwards no reference may dangle."""
        backup = None
        if now is not None and any(rows.counts(db).values()):
            backup = backup_path(self.database.path, version, now)
            back_up(self.database.path, backup)
        try:
            yield backup
            rows.refuse_orphans(db)
        except BaseException:
            if backup:
                backup.unlink(missing_ok=True)
            raise

    def _run_up(self, db: sqlite3.Connection, steps: Sequence[Migration], now: int) -> None:
        schema_records.prepare(db)
        with rows.kept(db):
            for migration in steps:
                migration.up(db)
                schema_records.record_applied(db, migration, now)

    def _finish(self, db: sqlite3.Connection, version: int) -> None:
        db.execute(f"PRAGMA user_version = {version}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    def _tell(
        self, db: sqlite3.Connection, actor: str | None, verb: str, version: int, detail: str,
        now: int,
    ) -> None:
        if actor is not None:
            schema_records.record_action(db, actor, verb, version, detail, now)

    def _sound_version(self, db: sqlite3.Connection) -> int:
        """The version `db` stands at, when it is what that version must be."""
        self._refuse_newer(db)
        found = schema.examine(db, self.migrations)
        if found.faults:
            raise errors.SchemaError(
                f"the schema of {self.database.path} is not what version {found.version} must be:"
                "\n" + "\n".join(f"  {fault}" for fault in found.faults)
            )
        return found.version

    def _refuse_newer(self, db: sqlite3.Connection) -> None:
        found = schema.examine(db, self.migrations)
        if found.version > len(self.migrations):
            raise errors.SchemaError(str(found.faults[0]))

    def _refuse_unseen(self, db: sqlite3.Connection, migration: Migration) -> None:
        actual = read_shape(db)
        if schema.shows(actual, migration.version, self.migrations):
            return
        version = max(migration.version, schema.examine(db, self.migrations).version)
        wanted = schema.expected(self.migrations[:version])
        missing = "\n".join(f"  {d.object}: {d.problem}" for d in compare(wanted, actual))
        raise errors.SchemaError(
            f"the schema does not show what migration {migration.version:03} ({migration.name}) "
            f"makes; `jobd migrate up` runs it, --force records it all the same:\n{missing}"
        )

    def _target(self, to: int | None, lowest: int = 0, highest: int | None = None) -> int:
        latest = len(self.migrations)
        target = latest if to is None else to
        if not 0 <= target <= latest:
            raise errors.BadInput(f"there is no version {target}; this jobd knows 1 to {latest}")
        if target < lowest:
            raise errors.BadInput(
                f"the schema is version {lowest} already; `jobd migrate down --to {target}` goes "
                "back" if lowest > 1 or target else "there is no migration 0"
            )
        if highest is not None and target >= highest:
            raise errors.BadInput(f"the schema is version {highest}: nothing to go back to")
        return target


def _status(
    version: int, name: str, record: schema_records.Record | None
) -> MigrationStatus:
    if record is None:
        return MigrationStatus(version, name, "pending", None, None)
    status = "applied" if record.in_force else "pending"
    return MigrationStatus(version, name, status, record.applied_at, record.rollback_at)


def _refuse_early(faults: Sequence[schema.Difference]) -> None:
    """A table of a later version is no rubbish: its record comes first."""
    early = [fault for fault in faults if fault.mend.endswith("--force")]
    if early:
        raise errors.SchemaError("\n".join(str(fault) for fault in early))


def _unbroken(db: sqlite3.Connection) -> int:
    """The version up to which every migration is recorded as applied."""
    records, version = schema_records.read_records(db), 0
    while (record := records.get(version + 1)) and record.in_force:
        version += 1
    return version
