"""The two sources of the schema agree: the frozen migrations and the enums of today."""

import re
from contextlib import closing
from enum import StrEnum

import pytest

from jobd.core.batch_status import BatchStatus, ErrorHandling
from jobd.core.lifecycle import LIVE, FailureType, JobStatus
from jobd.store import schema
from jobd.store.create_table import normal_text, read_index, read_table, read_trigger
from jobd.store.migrations import MIGRATIONS
from jobd.store.migrations.m004_fence_attempts import BIRTHS, INDEXES, MOVES
from jobd.store.migrations.m008_add_batches import ITEM_STATUS

LATEST = len(MIGRATIONS)
ENUMS: dict[tuple[str, str], type[StrEnum]] = {
    ("", "status"): JobStatus,
    ("", "failure_type"): FailureType,
    ("batch_jobs", "status"): BatchStatus,
    ("batch_jobs", "error_handling"): ErrorHandling,
}


def test_versions_count_from_one() -> None:
    """A migration's version is its place in the history."""
    assert [migration.version for migration in MIGRATIONS] == list(range(1, LATEST + 1))


@pytest.mark.parametrize("version", range(LATEST + 1))
def test_a_version_is_only_what_its_migrations_make(version: int) -> None:
    """Every version's shape differs from its neighbour's, and each is found to be itself."""
    shape = schema.expected(MIGRATIONS[:version])
    shown = [v for v in range(1, LATEST + 1) if schema.shows(shape, v)]
    assert shown == list(range(1, version + 1))


def test_the_frozen_triggers_are_those_of_the_state_machine() -> None:
    """The texts in migrations 004 and 008 are what the tables of moves and statuses generate."""
    assert normal_text(MOVES) == normal_text(schema.move_trigger_sql())
    assert normal_text(BIRTHS) == normal_text(schema.birth_trigger_sql())
    assert normal_text(ITEM_STATUS) == normal_text(schema.item_view_sql())


def test_the_frozen_checks_are_the_enums() -> None:
    """Migrations alone allow exactly the statuses and failure types of the enums."""
    with closing(schema.build(MIGRATIONS)) as db:
        tables = "SELECT name, sql FROM sqlite_schema WHERE type = 'table'"
        for name, sql in db.execute(tables).fetchall():
            for column, clauses in read_table(sql).columns.items():
                enum = ENUMS.get((name, column), ENUMS.get(("", column)))
                if enum:
                    assert set(re.findall(r"'(\w+)'", clauses["check"])) == set(enum)


def test_a_unique_key_is_held_by_live_jobs() -> None:
    """The partial index on unique_key covers exactly the statuses that are not an end."""
    where = next(read_index(sql).where for sql in INDEXES if "_unique_key" in sql)
    assert set(re.findall(r"'(\w+)'", where)) == set(LIVE)


@pytest.mark.parametrize("sql", [
    "CREATE  TABLE\n\"T\" ( [A] Integer NOT\tNULL /* x */ DEFAULT 'B', -- y\n `c` TEXT)STRICT",
    "create table t (a INTEGER CONSTRAINT odd not null default 'B', c text) strict",
])
def test_spelling_makes_no_difference(sql: str) -> None:
    """Case, white space, comments, quoting and constraint names do not matter; literals do."""
    wanted = read_table("CREATE TABLE t (a INTEGER NOT NULL DEFAULT 'B', c TEXT) STRICT")
    assert read_table(sql) == wanted
    assert read_table(sql.replace("'B'", "'b'")) != wanted


def test_values_named_before_their_list_make_no_difference() -> None:
    """`a = 'x' OR a IN ('x', 'y')` allows what the list does; a value that is not in it, more."""
    lists = "CREATE TABLE t (a TEXT CHECK (a IN ('x', 'y')), CHECK (b = 1 OR a IN ('x', 'y')))"
    quick = lists.replace("a IN", "a = 'y' OR a = 'x' OR a IN")
    assert read_table(quick) == read_table(lists)
    assert read_table(quick.replace("a = 'y'", "a = 'z'")) != read_table(lists)


def test_a_trigger_that_only_refuses_an_update_may_come_before_it_or_after() -> None:
    """What it refuses is the same; one that does something else is another one."""
    refuses = "BEGIN SELECT RAISE(ABORT, 'x'); END"
    before = f"CREATE TRIGGER t BEFORE UPDATE OF a ON b WHEN a = 1 {refuses}"
    assert read_trigger(before) == read_trigger(before.replace("BEFORE", "AFTER"))
    assert read_trigger(before) != read_trigger(before.replace("a = 1", "a = 2"))
    acts = before.replace("SELECT RAISE(ABORT, 'x')", "DELETE FROM c")
    assert read_trigger(acts) != read_trigger(acts.replace("BEFORE", "AFTER"))
