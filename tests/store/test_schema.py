"""The schema cannot drift unseen: it is changed at every point it has, and each is named."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from jobd.store import schema, schema_records
from jobd.store.connection import APPLICATION_ID, Database
from jobd.store.create_table import Index, Table, normal_tokens
from jobd.store.migrations import MIGRATIONS
from jobd.store.migrator import MigrationManager
from jobd.store.shape import Key

LATEST = MIGRATIONS[-1].version
EXPECTED = schema.expected(MIGRATIONS)
OTHER_TYPE = {"integer": "text", "text": "integer", "real": "text"}


@dataclass(frozen=True)
class Mutation:
    """A database that differs in one point, given as the statements that make it."""

    name: str
    object: str
    statements: dict[Key, str]
    afterwards: tuple[str, ...] = ()


def make(path: Path, statements: dict[Key, str], afterwards: tuple[str, ...] = ()) -> None:
    """A database file at the latest version, made by `statements` instead of the migrations."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA journal_mode = MEMORY")
        db.execute("BEGIN")
        for statement in (schema_records.TABLE, *statements.values()):
            db.execute(statement)
        for migration in MIGRATIONS:
            schema_records.record_applied(db, migration, 1)
        db.execute(f"PRAGMA user_version = {LATEST}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for statement in afterwards:
            db.execute(statement)
        db.execute("COMMIT")


def written(name: str, table: Table) -> str:
    """CREATE TABLE as the comparison understood it."""
    columns = [f"{column} {' '.join(c.values())}" for column, c in table.columns.items()]
    body = ", ".join([*columns, *sorted(table.constraints)])
    return f"CREATE TABLE {name} ({body}) {', '.join(table.options)}"


def index_sql(name: str, index: Index) -> str:
    """CREATE INDEX as the comparison understood it."""
    where = f" WHERE {index.where}" if index.where else ""
    unique = "UNIQUE " if index.unique else ""
    return f"CREATE {unique}INDEX {name} ON {index.table} ({index.columns}){where}"


def changed(key: Key, sql: str | None) -> dict[Key, str]:
    """The expected statements with one replaced, or left out."""
    statements = {**EXPECTED.sql, key: sql or ""}
    return {k: text for k, text in statements.items() if text}


def without_column(table: str, column: str, sql: str) -> dict[Key, str]:
    """The table made by `sql`, and no index, trigger or view that needs the lost column."""
    kept = {("table", table): sql}
    for key, text in EXPECTED.sql.items():
        part = EXPECTED.parts[key]
        about = part.table if isinstance(part, Index) else key[1]
        if key[0] == "table" or about != table or column not in normal_tokens(text):
            kept.setdefault(key, text)
    if column == "status":
        kept = {key: text for key, text in kept.items() if key[0] != "trigger"}
    return kept


def altered_column(name: str, table: Table, column: str, **new: str) -> dict[Key, str]:
    """The expected statements with other clauses in one column; an empty clause is left out."""
    found = {kind: text for kind, text in {**table.columns[column], **new}.items() if text}
    columns = {**table.columns, column: {"type": "", **found}}
    return changed(("table", name), written(name, replace(table, columns=columns)))


def column_mutations(name: str, table: Table) -> Iterator[Mutation]:
    for column, clauses in table.columns.items():
        about, altered = f"{name}.{column}", partial(altered_column, name, table, column)

        yield from lost_column_mutations(name, table, column)
        kind = OTHER_TYPE[clauses["type"]]
        yield Mutation(f"{about} retyped", about, altered(type=kind, autoincrement=""))
        for clause in clauses.keys() - {"type", "primary"}:
            yield Mutation(f"{about} lost its {clause}", about, altered(**{clause: ""}))
        if "primary" in clauses:
            lost = altered(primary="", autoincrement="")
            yield Mutation(f"{about} lost its primary key", about, lost)
            continue
        yield Mutation(f"{about} has another default", about, altered(default="default 77"))
        checks = {"another": f"check ({column} is not 99)"}
        if "'" in (check := clauses.get("check", "")):
            first = re.findall(r"'\w+'", check)[0]
            checks |= {"a narrow": check.replace(f"{first} , ", "", 1),
                       "a wide": check.replace(first, f"'odd' , {first}", 1)}
        for which, text in checks.items():
            yield Mutation(f"{about} has {which} check", about, altered(check=text))
        if "not" not in clauses:
            yield Mutation(f"{about} is not null", about, altered(**{"not": "not null"}))


def lost_column_mutations(name: str, table: Table, column: str) -> Iterator[Mutation]:
    about = f"{name}.{column}"
    bare = replace(table, columns=dict(table.columns), constraints=frozenset(
        c for c in table.constraints if column not in normal_tokens(c)
    ))
    clauses = bare.columns.pop(column)
    if bare.columns:
        lost = without_column(name, column, written(name, bare))
        yield Mutation(f"{about} dropped", about, lost)
    bare.columns["renamed"] = {k: v for k, v in clauses.items() if k != "check"}
    renamed = without_column(name, column, written(name, bare))
    yield Mutation(f"{about} renamed", about, renamed)


def table_mutations(name: str, table: Table) -> Iterator[Mutation]:
    key = ("table", name)
    with_note = {**table.columns, "note": {"type": "text"}}
    swapped = dict(reversed(table.columns.items()))
    gone = {k: s for k, s in EXPECTED.sql.items() if not re.search(rf"\b(TABLE|ON) {name}\b", s)}
    yield Mutation(f"{name} dropped", name, {k: s for k, s in gone.items() if k != key})
    for about, new in {
        f"{name}.note": replace(table, columns=with_note),
        f"{name}": replace(table, columns=swapped),
    }.items():
        yield Mutation(f"{about} changed", about, changed(key, written(name, new)))
    for option in table.options:
        new = replace(table, options=table.options - {option})
        yield Mutation(f"{name} lost {option}", name, changed(key, written(name, new)))
    for constraint in table.constraints:
        new = replace(table, constraints=table.constraints - {constraint})
        yield Mutation(f"{name} lost {constraint}", name, changed(key, written(name, new)))
    more = replace(table, constraints=table.constraints | {"check (1 = 1)"})
    yield Mutation(f"{name} has one more constraint", name, changed(key, written(name, more)))
    column = next(iter(table.columns))
    for kind, made in {
        "index": f"CREATE INDEX odd ON {name} ({column})",
        "trigger": f"CREATE TRIGGER odd AFTER INSERT ON {name} BEGIN SELECT 1; END",
        "view": f"CREATE VIEW odd AS SELECT {column} FROM {name}",
    }.items():
        yield Mutation(f"{name} got a {kind}", "odd", changed((kind, "odd"), made))


def index_mutations(name: str, index: Index) -> Iterator[Mutation]:
    columns = [column.strip() for column in index.columns.split(",")]
    yield Mutation(f"{name} dropped", name, changed(("index", name), None))
    other_table = "queues" if index.table == "job_queue" else "job_queue"
    changes = {
        "unique": replace(index, unique=not index.unique),
        "where": replace(index, where=f"{columns[0].split()[0]} IS NOT NULL AND 1"),
        "all rows": replace(index, where=""),
        "columns": replace(index, columns=f"{index.columns}, 1"),
        "first column": replace(index, columns=f"{columns[0].split()[0]} COLLATE NOCASE"),
        "table": Index(other_table, "paused_at" if other_table == "queues" else "id", False, ""),
    }
    for what, new in changes.items():
        if new == index:
            continue
        sql = {**changed(("index", name), None), ("index", name): index_sql(name, new)}
        yield Mutation(f"{name} has another {what}", name, sql)


def trigger_mutations(name: str) -> Iterator[Mutation]:
    key, text = ("trigger", name), EXPECTED.sql["trigger", name]
    yield Mutation(f"{name} dropped", name, changed(key, None))
    for old, new in (("BEFORE", "AFTER"), ("AFTER", "BEFORE"), ("ABORT", "FAIL"),
                     ("'pending'", "'retrying'"), ("'cancelled'", "'retrying'")):
        if old not in text or (name, new) == ("job_queue_moves", "BEFORE"):
            continue  # this one refuses the same before an update, as it did in older databases
        yield Mutation(f"{name} has {new}", name, changed(key, text.replace(old, new, 1)))


def view_mutations(name: str) -> Iterator[Mutation]:
    key, text = ("view", name), EXPECTED.sql["view", name]
    yield Mutation(f"{name} dropped", name, changed(key, None))
    yield Mutation(f"{name} tells otherwise", name,
                   changed(key, text.replace("THEN 'failed'", "THEN 'completed'", 1)))


def record_mutations() -> Iterator[Mutation]:
    sql = EXPECTED.sql
    for version in range(LATEST):
        yield Mutation(f"user_version is {version}", "user_version", sql,
                       (f"PRAGMA user_version = {version}",))
    for migration in MIGRATIONS:
        v = migration.version
        tables = ("batch_jobs", "operator_actions", "daemons", "job_attempts", "job_queue")
        about = next(t for t in tables if t in migration.drops or t == "job_queue")
        yield Mutation(f"record {v} removed", about, sql,
                       (f"DELETE FROM schema_migrations WHERE version = {v}",))
        for more in ((), (f"PRAGMA user_version = {v - 1}",)):
            yield Mutation(f"record {v} rolled back {more}", about, sql, (
                f"UPDATE schema_migrations SET rollback_at = 9 WHERE version = {v}", *more
            ))
    yield Mutation("application_id lost", "application_id", sql, ("PRAGMA application_id = 0",))
    yield Mutation("records dropped", "schema_migrations", sql, ("DROP TABLE schema_migrations",))
    for column in schema_records.COLUMNS:
        yield Mutation(f"{column} of the records dropped", f"schema_migrations.{column}", sql,
                       (f"ALTER TABLE schema_migrations DROP COLUMN {column}",))


def mutations() -> Iterator[Mutation]:
    for name in EXPECTED.names("table"):
        yield from column_mutations(name, EXPECTED.table(name))
        yield from table_mutations(name, EXPECTED.table(name))
    for (kind, name), part in EXPECTED.parts.items():
        if isinstance(part, Index):
            yield from index_mutations(name, part)
        elif kind == "trigger":
            yield from trigger_mutations(name)
        elif kind == "view":
            yield from view_mutations(name)
    yield from record_mutations()
    table = "CREATE TABLE odd (a TEXT)"
    yield Mutation("a table added", "odd", {**EXPECTED.sql, ("table", "odd"): table})


def mend(database: Database, command: str) -> None:
    """Do what a difference told to type."""
    manager = MigrationManager(database)
    verb, *rest = command.removeprefix("jobd migrate ").split()
    verbs: dict[str, Callable[[], object]] = {
        "repair": lambda: manager.repair(5),
        "up": lambda: manager.up(5),
        "mark-applied": lambda: manager.mark_migration_as_applied(int(rest[0]), 5),
    }
    verbs[verb]()


@pytest.mark.parametrize("mutation", list(mutations()), ids=lambda m: m.name)
def test_every_change_is_named_and_its_mend_mends_it(mutation: Mutation, tmp_path: Path) -> None:
    """A schema that differs in one point is named at that point; doing as told ends the drift."""
    make(tmp_path / "jobd.db", mutation.statements, mutation.afterwards)
    with closing(Database(tmp_path / "jobd.db")) as database:
        database.connection.execute("PRAGMA synchronous = OFF")
        found = schema.drift(database.connection)
        assert mutation.object in ", ".join(each.object for each in found).split(", ")
        while found:
            mend(database, found[0].mend)
            left = schema.drift(database.connection)
            assert len(left) < len(found)
            found = left


def test_what_was_understood_is_what_was_written(tmp_path: Path) -> None:
    """Statements written anew from their parsed form make a database without drift."""
    statements = {
        key: written(key[1], part) if isinstance(part, Table)
        else index_sql(key[1], part) if isinstance(part, Index) else part
        for key, part in EXPECTED.parts.items()
    }
    make(tmp_path / "jobd.db", statements)
    with closing(sqlite3.connect(tmp_path / "jobd.db")) as db:
        assert schema.drift(db) == []


@pytest.mark.parametrize(("check", "problem"), [
    ("status IN ('pending','running','timeout','retrying','completed','failed','dead_letter',"
     "'cancelled')", "its CHECK is too narrow: does not allow 'zombie'"),
    ("status IN ('pending','running','timeout','zombie','retrying','completed','failed',"
     "'dead_letter','cancelled','paused')", "its CHECK is too wide: allows 'paused'"),
])
def test_a_status_check_is_told_by_its_values(check: str, problem: str, tmp_path: Path) -> None:
    """The drift that broke every earlier system is said in its own words."""
    table = EXPECTED.table("job_queue")
    status = {**table.columns["status"], "check": f"CHECK ({check})"}
    sql = written("job_queue", replace(table, columns={**table.columns, "status": status}))
    make(tmp_path / "jobd.db", changed(("table", "job_queue"), sql))
    with closing(sqlite3.connect(tmp_path / "jobd.db")) as db:
        assert schema.drift(db) == [schema.Difference("job_queue.status", problem)]


def test_a_newer_schema_is_left_to_a_newer_jobd(tmp_path: Path) -> None:
    """Nothing but the version is judged, for the rest may be right."""
    make(tmp_path / "jobd.db", {}, ("PRAGMA user_version = 99",))
    with closing(sqlite3.connect(tmp_path / "jobd.db")) as db:
        (found,) = schema.drift(db)
    assert (found.object, found.mend) == ("schema", f"jobd migrate down --to {LATEST}")
    assert "version 99, newer than" in found.problem
