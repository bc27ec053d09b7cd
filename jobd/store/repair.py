"""Making a drifted database what its version must be, keeping every row that it can hold."""

import re
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from jobd import errors
from jobd.store import rows, schema, schema_records
from jobd.store.batch_moves import recount
from jobd.store.create_table import Index, allowed_values
from jobd.store.migrations import Migration
from jobd.store.migrations.m004_fence_attempts import DERIVED
from jobd.store.migrations.migration import rebuild
from jobd.store.misfits import has_misfits
from jobd.store.shape import Key, Shape, read_shape


def repair(
    db: sqlite3.Connection,
    history: tuple[Migration, ...],
    discard: Collection[str],
    mapping: Mapping[str, str],
    now: int,
) -> list[str]:
    """Mend everything inside the caller's transaction; returns what was done, in sentences.

    Raises:
        Refused: rows or values would be lost; names each with its count and the option to pass.
        BadInput: a name in `discard` or `mapping` fits nothing that is to be mended.
    """
    mending = _Mending(db, schema.expected(history), frozenset(discard), mapping)
    mending.run()
    _mend_records(db, history, now)
    return [*mending.deeds, "records and version set"]


class _Mending:
    """One repair: what is, what must be, what was done, and what would be lost."""

    def __init__(
        self,
        db: sqlite3.Connection,
        wanted: Shape,
        discard: frozenset[str],
        mapping: Mapping[str, str],
    ) -> None:
        self.db = db
        self.wanted = wanted
        self.actual = read_shape(db)
        self.discard = discard
        self.mapping = mapping
        self.deeds: list[str] = []
        self.losses: list[str] = []

    def run(self) -> None:
        self._check_options()
        tables = [name for name in self.wanted.names("table") if self._is_drifted(name)]
        self._drop_what_stands_in_the_way()
        for table in self.actual.names("table"):
            if ("table", table) not in self.wanted.parts:
                self._drop_table(table)
        for table in tables:
            self._replace(table)
        self._make_what_is_missing()
        self._drop_orphans()
        self._count_items()
        if self.losses:
            raise errors.Refused(
                "repairing would throw something away; nothing was changed:\n"
                + "\n".join(f"  {loss}" for loss in self.losses)
            )

    def _check_options(self) -> None:
        known = set(self.actual.names("table"))
        known |= {f"{t}.{column}" for t in known for column in self.actual.table(t).columns}
        for name in sorted(self.discard - known):
            raise errors.BadInput(f"there is no table or column {name} to discard")
        statuses = self._statuses()
        for old, new in self.mapping.items():
            if old in statuses or new not in statuses:
                raise errors.BadInput(
                    f"--map {old}={new}: the first must be a status that does not exist, the "
                    f"second one of {', '.join(sorted(statuses))}"
                )

    def _statuses(self) -> frozenset[str]:
        check = self.wanted.table("job_queue").columns.get("status", {}).get("check", "")
        return allowed_values(check) or frozenset()

    def _is_drifted(self, table: str) -> bool:
        """Whether `table` must be rebuilt: it, its columns' order, its rows, what makes them
        unique."""
        if has_misfits(self.db, table):
            return True
        wanted, actual = self.wanted.table(table), self.actual.table(table)
        if wanted != actual or list(wanted.columns) != list(actual.columns):
            return True
        return any(self.actual.parts.get(key) != index for key, index in self._unique(table))

    def _unique(self, table: str) -> list[tuple[Key, Index]]:
        return [
            (key, part) for key, part in self.wanted.parts.items()
            if isinstance(part, Index) and part.unique and part.table == table
        ]

    def _drop_what_stands_in_the_way(self) -> None:
        """Indexes that are not ours; all triggers and views, for renaming a table reads them."""
        for kind, name in reversed(self.actual.parts):
            if kind == "table":
                continue
            fits = self.actual.parts[kind, name] == self.wanted.parts.get((kind, name))
            if kind != "index" or not fits:
                self.db.execute(f'DROP {kind} IF EXISTS "{name}"')
            if not fits:
                self.deeds.append(f"dropped {kind} {name}")

    def _drop_table(self, table: str) -> None:
        if table not in rows.counts(self.db):  # a virtual table takes its own tables with it
            return
        found = rows.count(self.db, table)
        if found and table not in self.discard:
            self.losses.append(f"{table}: {_rows(found)}: --discard {table}")
        self.db.execute(f'DROP TABLE "{table}"')
        self.deeds.append(f"dropped table {table}" + (f" with {_rows(found)}" if found else ""))

    def _replace(self, table: str) -> None:
        if ("table", table) not in self.actual.parts:
            self.db.execute(self._create(table))
            self.deeds.append(f"made table {table}")
            return
        self._count_values(table)
        self.db.execute("SAVEPOINT replacing")
        try:
            self._rebuild(table)
        except sqlite3.IntegrityError:
            self.db.execute("ROLLBACK TO replacing")
            self._drop_unfit(table)
            self._rebuild(table)
        self.db.execute("RELEASE replacing")
        self.deeds.append(f"rebuilt table {table}")

    def _rebuild(self, table: str) -> None:
        indexes = [self.wanted.sql[key] for key, _ in self._unique(table)]
        rebuild(self.db, table, self._create(table), self._sources(table), indexes)

    def _create(self, table: str) -> str:
        text = self.wanted.sql["table", table]
        return re.sub(r'^CREATE TABLE\s+"?\w+"?', f"CREATE TABLE {table}", text)

    def _sources(self, table: str) -> dict[str, str]:
        """For each column what fills it: itself, what it follows from, or else its default."""
        have, want = self.actual.table(table).columns, self.wanted.table(table).columns
        sources = {column: column for column in want if column in have}
        if table == "job_queue":
            sources |= {c: text for c, text in DERIVED.items() if c in want and c not in have}
            sources |= {c: self._mapped(c, text) for c, text in sources.items()}
        key = [c for c, clauses in want.items() if "primary" in clauses and c not in have]
        integer = [c for c in key if want[c]["type"] == "integer"]
        return sources | dict.fromkeys(integer, "rowid")

    def _mapped(self, column: str, source: str) -> str:
        """`source`, and for jobs in a mapped status what follows from the new one."""
        follows = {"status": "status", **DERIVED}
        if not self.mapping or column not in follows or column == "attempt":
            return source
        whens = " ".join(
            f"WHEN {_literal(old)} THEN ({follows[column].replace('status', _literal(new))})"
            for old, new in self.mapping.items()
        )
        return f"CASE status {whens} ELSE {source} END"

    def _count_values(self, table: str) -> None:
        """Values in columns that go away are a loss unless they were named."""
        gone = self.actual.table(table).columns.keys() - self.wanted.table(table).columns.keys()
        for column in sorted(gone):
            found = rows.count(self.db, table, f'"{column}" IS NOT NULL')
            name = f"{table}.{column}"
            if found and name not in self.discard:
                values = f"{found} value{'s' if found != 1 else ''}"
                self.losses.append(f"{name}: {values}: --discard {name}")

    def _drop_unfit(self, table: str) -> None:
        """Rows that the table as it must be refuses are a loss unless the table was named."""
        unfit = dict(self._unfit(table))
        if table not in self.discard:
            for reason, found in Counter(unfit.values()).items():
                self.losses.append(f"{table}: {_rows(found)}: {reason}: {self._way_out(table)}")
        self.db.executemany(
            f"DELETE FROM {table} WHERE rowid = ?", [(rowid,) for rowid in unfit]
        )
        self.deeds.append(f"dropped {_rows(len(unfit))} of {table}")

    def _way_out(self, table: str) -> str:
        ways = [f"--map {status}=STATUS" for status in self._unknown_statuses(table)]
        return " or ".join([*ways, f"--discard {table}"])

    def _unknown_statuses(self, table: str) -> list[str]:
        if table != "job_queue" or "status" not in self.actual.table(table).columns:
            return []
        found = self.db.execute("SELECT DISTINCT status FROM job_queue WHERE status IS NOT NULL")
        return sorted({status for (status,) in found} - self._statuses() - self.mapping.keys())

    def _unfit(self, table: str) -> Iterator[tuple[int, str]]:
        """(rowid, reason) of each row that the new table would refuse, found by asking it."""
        sources = self._sources(table)
        self.db.execute(self._create(table).replace(table, f"probed_{table}", 1))
        for number, (_, index) in enumerate(self._unique(table)):
            self.db.execute(
                f"CREATE UNIQUE INDEX probed_{number} ON probed_{table} ({index.columns})"
                + (f" WHERE {index.where}" if index.where else "")
            )
        insert = (
            f"INSERT INTO probed_{table} ({', '.join(sources)}) "
            f"SELECT {', '.join(sources.values())} FROM {table} WHERE rowid = ?"
        )
        for (rowid,) in self.db.execute(f"SELECT rowid FROM {table}").fetchall():
            try:
                self.db.execute(insert, (rowid,))
            except sqlite3.IntegrityError as error:
                yield rowid, " ".join(str(error).replace("probed_", "").split())
        self.db.execute(f"DROP TABLE probed_{table}")

    def _make_what_is_missing(self) -> None:
        there = read_shape(self.db).parts
        for (kind, name), sql in self.wanted.sql.items():
            if (kind, name) not in there:
                self.db.execute(sql)
            stood = self.actual.parts.get((kind, name)) == self.wanted.parts[kind, name]
            if kind != "table" and not stood:
                self.deeds.append(f"made {kind} {name}")

    def _drop_orphans(self) -> None:
        """Rows that refer to a job which does not exist (any more)."""
        found = rows.orphans(self.db)
        for table, number in Counter(table for table, _, _ in found).items():
            if table not in self.discard:
                self.losses.append(f"{table}: {_rows(number)} without a parent: --discard {table}")
            self.deeds.append(f"dropped {_rows(number)} of {table}")
        for table, rowid, _ in found:
            self.db.execute(f'DELETE FROM "{table}" WHERE rowid = ?', (rowid,))


    def _count_items(self) -> None:
        """The triggers that count what becomes of items did not see what was done here."""
        if ("table", "batch_jobs") in self.wanted.parts:
            wrong = recount(self.db)
            if wrong:
                self.deeds.append(f"counted the items of {wrong} batch{'es' if wrong > 1 else ''}")


def _mend_records(db: sqlite3.Connection, history: Sequence[Migration], now: int) -> None:
    """Each migration of the version is in force, and no later one."""
    if not schema_records.is_as_made(db):
        schema_records.make_anew(db)
    records = schema_records.read_records(db)
    for migration in history:
        schema_records.name_rightly(db, migration)
        if migration.version not in records or not records[migration.version].in_force:
            schema_records.record_in_force(db, migration, now)
    for version, record in records.items():
        if version > len(history) and record.in_force:
            schema_records.record_rolled_back(db, version, now)


def _rows(number: int) -> str:
    return f"{number} row{'s' if number != 1 else ''}"


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
