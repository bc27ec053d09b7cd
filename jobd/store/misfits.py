"""Rows that their own table would refuse: another hand has written them past SQLite's checks."""

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache

from jobd.errors import JobdError, SchemaError
from jobd.store import schema
from jobd.store.create_table import Table, allowed_values
from jobd.store.migrations import MIGRATIONS
from jobd.store.shape import Difference

TOLD = 20
"""At most so many rows of a table are named."""


def misfits(db: sqlite3.Connection) -> list[Difference]:
    """Each column of each row that the definition of its table does not allow.

    It reads every table to the end, so it is for `migrate verify`, and for when something has
    failed already. A table that is not what it must be is left to `schema.drift`.
    """
    found: list[Difference] = []
    for kind, name in schema.expected(MIGRATIONS).parts:
        if kind == "table":
            with suppress(sqlite3.Error):
                found += _misfits_of(db, name)
    return found


def has_misfits(db: sqlite3.Connection, table: str) -> bool:
    """Whether the table holds a row that it should not."""
    with suppress(sqlite3.Error):
        return any(True for _ in _misfits_of(db, table))
    return False


def explained(db: sqlite3.Connection, error: BaseException) -> BaseException:
    """What to say in the place of `error`, when the schema or a row that another hand has changed
    explains it; else `error` itself. Reads much, and never raises."""
    if isinstance(error, JobdError):
        return error
    with suppress(Exception):
        found = schema.drift(db) or misfits(db)
        if found:
            several = f", and {len(found) - 1} more like it" if len(found) > 1 else ""
            raw = "" if isinstance(error, sqlite3.Error) else f": {type(error).__name__}: {error}"
            return SchemaError(f"{found[0]}{several}; `jobd migrate verify` names all that "
                               f"another hand has changed{raw}")
    return error


def _misfits_of(db: sqlite3.Connection, table: str) -> Iterator[Difference]:
    rules = _rules(table)
    tests = ", ".join(f"({broken})" for _, broken, _ in rules)
    where = " OR ".join(f"({broken})" for _, broken, _ in rules)
    query = f"SELECT rowid, {tests} FROM {table} WHERE {where} LIMIT {TOLD}"
    for rowid, *broken in db.execute(query).fetchall():
        for (column, _, problem), is_broken in zip(rules, broken, strict=True):
            if is_broken:
                yield Difference(
                    f"row {rowid} of {table}", _told(db, table, rowid, column, problem)
                )


def _told(db: sqlite3.Connection, table: str, rowid: int, column: str, problem: str) -> str:
    if not column:
        return problem
    query = f"SELECT substr(quote({column}), 1, 60) FROM {table} WHERE rowid = ?"
    value = db.execute(query, (rowid,)).fetchone()[0]
    return f"{column} is {value}, {problem}"


@lru_cache(maxsize=32)
def _rules(table: str) -> list[tuple[str, str, str]]:
    """(column, an expression that is true of a row that breaks the rule, what is wrong then)."""
    found = schema.expected(MIGRATIONS).table(table)
    of_columns = [rule for column in found.columns for rule in _column_rules(found, column)]
    of_rows = [("", f"NOT {_condition(each)}", f"it is not {_condition(each)}")
               for each in sorted(found.constraints) if each.startswith("check")]
    return of_columns + of_rows


def _column_rules(table: Table, column: str) -> Iterator[tuple[str, str, str]]:
    clauses = table.columns[column]
    kind = clauses["type"]
    if kind:
        yield column, f"typeof({column}) NOT IN ('{kind}', 'null')", f"not {kind.upper()}"
    if "not" in clauses:
        # SQLite takes IS NULL of such a column for false without looking.
        yield column, f"typeof({column}) = 'null'", "which it must not be"
    check = clauses.get("check", "")
    if check and " and check " not in check:
        allowed = allowed_values(check)
        problem = f"none of {', '.join(sorted(allowed))}" if allowed else f"not {_condition(check)}"
        yield column, f"NOT {_condition(check)}", problem


def _condition(check: str) -> str:
    return check.removeprefix("check ")
