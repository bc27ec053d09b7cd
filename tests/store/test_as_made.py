"""The quick look at a schema: it says yes to what jobd has made, and to nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd.store.as_made import MADE, checksum, is_as_made
from jobd.store.connection import Database
from jobd.store.opening import open_database

CHANGES = [
    "DROP TRIGGER job_queue_moves", "DROP TABLE schema_migrations", "PRAGMA user_version = 7",
    "PRAGMA application_id = 1", "CREATE TABLE another (x)", "DROP VIEW batch_item_status",
    "ALTER TABLE job_queue ADD COLUMN more TEXT", "CREATE INDEX another ON job_queue (priority)",
    "UPDATE schema_migrations SET rollback_at = 1 WHERE version = 8",
    "DELETE FROM schema_migrations WHERE version = 2",
    "UPDATE schema_migrations SET name = 'another' WHERE version = 1",
    "ALTER TABLE schema_migrations RENAME COLUMN name TO called",
]


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Database]:
    database = open_database(tmp_path / "jobd.db", create=True, now=0)
    yield database
    database.close()


def test_a_new_database_is_as_made(new: Database) -> None:
    """Whoever adds a migration writes the new number into MADE."""
    assert f"{checksum(new.connection):#010X}" == f"{MADE:#010X}"


def test_work_in_it_changes_nothing_of_that(new: Database) -> None:
    """Rows, ids and what ANALYZE keeps are no part of the schema."""
    new.connection.execute("INSERT INTO job_queue (job_type, created_at) VALUES ('x', 1)")
    new.connection.execute("ANALYZE")
    assert is_as_made(new.connection)


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_else_is(new: Database, change: str) -> None:
    """Each of these is for the closer look, which names it."""
    new.connection.execute(change)
    assert not is_as_made(new.connection)
