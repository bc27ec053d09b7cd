"""Repair keeps every row that fits, and asks before it throws anything away."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jobd import errors
from jobd.core.batch import NewItem, new_batch
from jobd.store import batch_reading, batches
from jobd.store.connection import Database
from jobd.store.migrations.m003_allow_nine_statuses import COLUMNS as OLD_COLUMNS
from jobd.store.migrations.m003_allow_nine_statuses import TABLE as OLD_TABLE
from jobd.store.migrations.m004_fence_attempts import INDEXES, TABLE
from jobd.store.migrations.migration import rebuild
from jobd.store.migrator import MigrationManager
from jobd.store.opening import open_database

NOW = 1_700_000_000_000


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[MigrationManager]:
    """A manager of a new database with two pending jobs."""
    with closing(open_database(tmp_path / "jobd.db", create=True, now=NOW)) as opened:
        for number in (1, 2):
            opened.connection.execute(
                "INSERT INTO job_queue (job_type, created_at, ready) VALUES (?, 5, 1)",
                (f"type{number}",),
            )
        yield MigrationManager(opened)


def columns(db: sqlite3.Connection) -> list[str]:
    return [row[1] for row in db.execute("PRAGMA table_info(job_queue)")]


def loosen(database: Database, old: str, new: str) -> None:
    """Change the definition of job_queue, as a person with the sqlite3 shell does."""
    db = database.connection
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute("DROP VIEW batch_item_status")
    assert old in TABLE
    rebuild(db, "job_queue", TABLE.replace(old, new), columns(db), [])
    db.execute("PRAGMA foreign_keys = ON")


def test_values_of_an_added_column_are_asked_about(manager: MigrationManager) -> None:
    """A column with values goes only when it is named; the rows stay."""
    db = manager.database.connection
    db.execute("ALTER TABLE job_queue ADD COLUMN note TEXT")
    db.execute("UPDATE job_queue SET note = 'x' WHERE id = 1")
    with pytest.raises(errors.Refused, match=r"note: 1 value.*: --discard job_queue\.note"):
        manager.repair(NOW)
    assert "note" in columns(db)
    change = manager.repair(NOW, ["job_queue.note"])
    assert change.backup is not None
    assert manager.verify() == []
    assert db.execute("SELECT job_type FROM job_queue").fetchall() == [("type1",), ("type2",)]


def test_an_unknown_table_with_rows_is_asked_about(manager: MigrationManager) -> None:
    """A table that holds something goes only when it is named; an empty one goes."""
    db = manager.database.connection
    db.execute("CREATE TABLE mine (a TEXT)")
    db.execute("CREATE TABLE empty (a TEXT)")
    db.execute("INSERT INTO mine VALUES ('x')")
    with pytest.raises(errors.Refused, match="mine: 1 row: --discard mine"):
        manager.repair(NOW)
    assert "dropped table mine with 1 row" in manager.repair(NOW, ["mine"]).deeds
    assert manager.verify() == []


def test_what_is_replaced_is_said_to_be_made_again(database: Database) -> None:
    """Or it would seem as if the guard of the statuses were gone."""
    db = database.connection
    db.execute("DROP TRIGGER job_queue_moves")
    db.execute("CREATE TRIGGER job_queue_moves AFTER UPDATE ON job_queue BEGIN SELECT 1; END")
    deeds = MigrationManager(database).repair(NOW).deeds
    assert list(deeds[:2]) == ["dropped trigger job_queue_moves", "made trigger job_queue_moves"]


def test_jobs_in_an_unknown_status_are_mapped_or_discarded(manager: MigrationManager) -> None:
    """A wide CHECK let 'paused' in: its jobs are named, and become what was asked for."""
    db = manager.database.connection
    loosen(manager.database, "'dead_letter', 'cancelled'\n        )",
           "'dead_letter', 'cancelled', 'paused'\n        )")
    db.execute("UPDATE job_queue SET status = 'paused', ready = 0 WHERE id = 2")
    with pytest.raises(errors.Refused, match=r"1 row: CHECK .*: --map paused=STATUS or --discard"):
        manager.repair(NOW)
    manager.repair(NOW, mapping={"paused": "pending"})
    assert manager.verify() == []
    rows = db.execute("SELECT id, status, ready FROM job_queue").fetchall()
    assert rows == [(1, "pending", 1), (2, "pending", 1)]


def test_rows_that_do_not_fit_go_only_when_named(manager: MigrationManager) -> None:
    """Each reason has its count, children of a row that goes are counted too."""
    db = manager.database.connection
    loosen(manager.database, ") STRICT", ")")
    db.execute("UPDATE job_queue SET scheduled_at = 'soon' WHERE id = 1")
    db.execute("INSERT INTO job_attempts (job_id, attempt, outcome) VALUES (1, 1, 'failed')")
    with pytest.raises(errors.Refused) as refusal:
        manager.repair(NOW)
    assert [line.strip() for line in str(refusal.value).splitlines()[1:]] == [
        "job_queue: 1 row: cannot store TEXT value in INTEGER column job_queue.scheduled_at: "
        "--discard job_queue",
        "job_attempts: 1 row without a parent: --discard job_attempts",
    ]
    manager.repair(NOW, ["job_queue", "job_attempts"])
    assert manager.verify() == []
    assert db.execute("SELECT id FROM job_queue").fetchall() == [(2,)]


def test_duplicates_of_a_key_are_found(manager: MigrationManager) -> None:
    """An index that makes rows unique can be missing long enough for two of them."""
    db = manager.database.connection
    db.execute("DROP INDEX job_queue_unique_key")
    db.execute("UPDATE job_queue SET unique_key = 'one'")
    with pytest.raises(errors.Refused, match=r"1 row: UNIQUE .*unique_key: --discard job_queue"):
        manager.repair(NOW)
    db.execute("UPDATE job_queue SET unique_key = 'two' WHERE id = 2")
    manager.repair(NOW)
    assert manager.verify() == []
    assert any("job_queue_unique_key" in sql for sql in INDEXES)


def test_lost_columns_are_derived_where_they_follow_from_others(manager: MigrationManager) -> None:
    """A pending job can be claimed after the repair of a table without `ready`."""
    db = manager.database.connection
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute("DROP VIEW batch_item_status")
    rebuild(db, "job_queue", OLD_TABLE, OLD_COLUMNS, [])
    manager.repair(NOW)
    assert manager.verify() == []
    rows = db.execute("SELECT id, ready, execution_over FROM job_queue").fetchall()
    assert rows == [(1, 1, 1), (2, 1, 1)]


def test_ids_go_on_after_a_repair(manager: MigrationManager) -> None:
    """A table that lost AUTOINCREMENT counts on from the largest id it has."""
    db = manager.database.connection
    loosen(manager.database, "PRIMARY KEY AUTOINCREMENT", "PRIMARY KEY")
    db.execute("INSERT INTO job_queue (id, job_type, created_at) VALUES (70, 'late', 5)")
    manager.repair(NOW)
    db.execute("DELETE FROM job_queue WHERE id = 70")
    db.execute("INSERT INTO job_queue (job_type, created_at) VALUES ('next', 5)")
    assert db.execute("SELECT max(id) FROM job_queue").fetchone() == (71,)


def test_a_table_of_a_later_version_is_not_thrown_away(manager: MigrationManager) -> None:
    """Repair stops at a table whose migration has no record: the record comes first."""
    db = manager.database.connection
    manager.down(NOW, 5)
    db.execute("CREATE TABLE queues (name TEXT PRIMARY KEY, note TEXT)")
    with pytest.raises(errors.SchemaError, match="mark-applied 6 --force"):
        manager.repair(NOW)
    manager.mark_migration_as_applied(6, NOW, force=True)
    manager.repair(NOW)
    manager.up(NOW)
    assert manager.verify() == []


@pytest.mark.parametrize(("discard", "mapping", "problem"), [
    (["job_queue.nothing"], {}, r"no table or column job_queue\.nothing"),
    ((), {"zombie": "failed"}, "--map zombie=failed"),
    ((), {"paused": "sleeping"}, "--map paused=sleeping"),
])
def test_options_that_fit_nothing_are_told(
    discard: list[str], mapping: dict[str, str], problem: str, manager: MigrationManager
) -> None:
    """A mistyped name changes nothing."""
    manager.database.connection.execute("DROP INDEX job_queue_ready")
    with pytest.raises(errors.BadInput, match=problem):
        manager.repair(NOW, discard, mapping)


def test_a_repair_counts_the_items_of_batches_anew(manager: MigrationManager) -> None:
    """What the lost triggers did not count is counted, and lost batches leave single jobs."""
    db = manager.database.connection
    batch = batches.create(db, new_batch("b", "t"), NOW, "ann")
    batches.add(db, batch, [NewItem("{}")] * 3, NOW)
    batches.seal(db, batch, NOW)
    db.execute("DROP TRIGGER job_queue_batch_counts")
    db.execute("UPDATE job_queue SET status = 'cancelled', ready = 0 WHERE batch_id = ?", (batch,))
    db.execute("UPDATE job_queue SET batch_id = 77 WHERE id = 1")
    assert "counted the items of 1 batch" in manager.repair(NOW).deeds
    row = batch_reading.get(db, batch)
    assert (row["total_items"], row["cancelled_items"]) == (3, 3)
    assert db.execute("SELECT batch_id FROM job_queue WHERE id = 1").fetchone() == (None,)
    assert manager.verify() == []
