"""The shape of a database: its tables, indexes, triggers and views, and how two shapes differ."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from jobd.store.create_table import (
    Index,
    Table,
    allowed_values,
    normal_text,
    read_index,
    read_table,
    read_trigger,
)

REPAIR = "jobd migrate repair"
RECORDS_TABLE = "schema_migrations"

Key = tuple[str, str]
"""A kind ("table", "index", "trigger", "view") and a name in lower case."""

Part = Table | Index | str


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not what this jobd needs, and the command that mends it."""

    object: str
    problem: str
    mend: str = REPAIR

    def __str__(self) -> str:
        return f"{self.object}: {self.problem} (`{self.mend}`)"


@dataclass(frozen=True, slots=True)
class Shape:
    """Everything in `sqlite_schema` but SQLite's own tables and the table of records."""

    parts: dict[Key, Part]
    sql: dict[Key, str]

    def names(self, kind: str) -> list[str]:
        return [name for found, name in self.parts if found == kind]

    def table(self, name: str) -> Table:
        """The table `name`; one without columns when its definition could not be read."""
        part = self.parts.get(("table", name))
        return part if isinstance(part, Table) else Table({}, frozenset(), frozenset())


def read_shape(db: sqlite3.Connection) -> Shape:
    """The shape of the main database of `db`."""
    rows = db.execute(
        "SELECT type, lower(name), sql FROM sqlite_schema "
        "WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY rowid"
    ).fetchall()
    sql = {(kind, name): text for kind, name, text in rows if name != RECORDS_TABLE}
    return Shape({key: _read(key[0], text) for key, text in sql.items()}, sql)


@lru_cache(maxsize=512)
def _read(kind: str, sql: str) -> Part:
    try:
        if kind == "table":
            return read_table(sql)
        if kind == "trigger":
            return read_trigger(sql)
        return read_index(sql) if kind == "index" else normal_text(sql)
    except (ValueError, IndexError):
        return normal_text(sql)


def compare(expected: Shape, actual: Shape) -> Iterator[Difference]:
    """Every way in which `actual` is not `expected`."""
    for kind, name in expected.parts:
        if (kind, name) not in actual.parts:
            yield Difference(name, f"the {kind} does not exist")
    for key, part in actual.parts.items():
        wanted = expected.parts.get(key)
        if wanted is None:
            yield Difference(key[1], f"is {_a(key[0])} that jobd does not know")
        elif part != wanted or _order(part) != _order(wanted):
            yield from _compare_parts(key, wanted, part)


def _compare_parts(key: Key, wanted: Part, part: Part) -> Iterator[Difference]:
    kind, name = key
    if isinstance(wanted, Table) and isinstance(part, Table):
        yield from _compare_tables(name, wanted, part)
    elif isinstance(wanted, Index) and isinstance(part, Index):
        yield from _compare_indexes(name, wanted, part)
    else:
        yield Difference(name, f"the {kind} is not the one that jobd makes")


def _compare_tables(table: str, wanted: Table, found: Table) -> Iterator[Difference]:
    for column, clauses in wanted.columns.items():
        if column not in found.columns:
            yield Difference(f"{table}.{column}", "the column does not exist")
        else:
            for problem in _compare_clauses(clauses, found.columns[column]):
                yield Difference(f"{table}.{column}", problem)
    for column in found.columns.keys() - wanted.columns.keys():
        yield Difference(f"{table}.{column}", "is a column that jobd does not know")
    for missing in sorted(wanted.constraints - found.constraints):
        yield Difference(table, f"lacks the constraint {missing}")
    for added in sorted(found.constraints - wanted.constraints):
        yield Difference(table, f"has a constraint that jobd does not know: {added}")
    for option in sorted(wanted.options ^ found.options):
        verb = "is not" if option in wanted.options else "must not be"
        yield Difference(table, f"{verb} {option.upper()}")
    if wanted.columns.keys() == found.columns.keys() and _order(wanted) != _order(found):
        yield Difference(table, "its columns stand in another order")


def _compare_clauses(wanted: dict[str, str], found: dict[str, str]) -> Iterator[str]:
    for kind in sorted(wanted.keys() | found.keys()):
        want, have = wanted.get(kind, ""), found.get(kind, "")
        if want == have:
            continue
        if kind == "check":
            yield from _compare_checks(want, have)
        elif kind == "type":
            yield f"its type is {have.upper() or 'missing'}, must be {want.upper() or 'missing'}"
        elif not have:
            yield f"lacks {_loud(want)}"
        elif not want:
            yield f"must not have {_loud(have)}"
        else:
            yield f"has {_loud(have)}, must have {_loud(want)}"


def _compare_checks(want: str, have: str) -> Iterator[str]:
    wanted, allowed = allowed_values(want), allowed_values(have)
    if wanted is not None and allowed is not None:
        for value in sorted(wanted - allowed):
            yield f"its CHECK is too narrow: does not allow '{value}'"
        for value in sorted(allowed - wanted):
            yield f"its CHECK is too wide: allows '{value}'"
    elif not have:
        yield f"its CHECK is too wide: allows anything, must be {_loud(want)}"
    elif not want:
        yield f"must not have {_loud(have)}"
    else:
        yield f"has {_loud(have)}, must have {_loud(want)}"


def _compare_indexes(name: str, wanted: Index, found: Index) -> Iterator[Difference]:
    if wanted.table != found.table:
        yield Difference(name, f"the index is on {found.table}, must be on {wanted.table}")
    if wanted.columns != found.columns:
        yield Difference(
            name, f"the index is over ({found.columns}), must be over ({wanted.columns})"
        )
    if wanted.unique != found.unique:
        yield Difference(name, f"the index must {'' if wanted.unique else 'not '}be UNIQUE")
    if wanted.where != found.where:
        have, want = found.where or "all rows", wanted.where or "all rows"
        yield Difference(name, f"the index covers {have}, must cover {want}")


def _order(part: Part) -> list[str]:
    return list(part.columns) if isinstance(part, Table) else []


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "index" else f"a {kind}"


def _loud(clause: str) -> str:
    """A clause as people write it: its leading words in capitals."""
    head, parenthesis, rest = clause.partition(" ( ")
    words = head.split(" ", 1) if head.startswith(("default", "references")) else [head]
    return " ".join([words[0].upper(), *words[1:]]) + parenthesis + rest
