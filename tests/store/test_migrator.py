"""Moving between versions loses no row, leaves no half, and asks before it throws away."""

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jobd import errors
from jobd.core.batch import NewItem, new_batch
from jobd.core.lifecycle import JobStatus
from jobd.store import batches, claims, schema
from jobd.store.connection import Database
from jobd.store.migrations import MIGRATIONS, Migration
from jobd.store.migrator import MigrationManager
from jobd.store.opening import open_database
from jobd.store.shape import read_shape

NOW = 1_700_000_000_000
LATEST = len(MIGRATIONS)
GONE = {"timeout": "failed", "zombie": "failed", "retrying": "pending", "dead_letter": "failed"}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A new database at the latest version."""
    with closing(open_database(tmp_path / "jobd.db", create=True, now=NOW)) as opened:
        yield opened


def fill(db: sqlite3.Connection) -> None:
    """One job in each status, with an attempt kept of each that executes."""
    db.execute("DROP TRIGGER job_queue_births")
    for number, status in enumerate(JobStatus, start=1):
        over = status not in ("running", "timeout", "zombie")
        db.execute(
            "INSERT INTO job_queue (id, job_type, status, payload, created_at, execution_over) "
            "VALUES (?, 'sum', ?, ?, 5, ?)", (number, status, f'{{"n": {number}}}', over)
        )
        if not over:
            db.execute("INSERT INTO job_attempts (job_id, attempt, outcome) "
                       "VALUES (?, 1, 'zombie')", (number,))
    db.execute(schema.birth_trigger_sql())


def jobs(db: sqlite3.Connection) -> list[tuple[int, str, str]]:
    return db.execute("SELECT id, status, payload FROM job_queue ORDER BY id").fetchall()


def state(db: sqlite3.Connection) -> list[str]:
    """Everything in the database, as text."""
    return [*db.iterdump(), str(db.execute("PRAGMA user_version").fetchone())]


@pytest.mark.parametrize("version", range(LATEST))
def test_down_and_up_again_leaves_the_same_schema(version: int, database: Database) -> None:
    """Each version is reached exactly, and the way back ends where it began."""
    manager, before = MigrationManager(database), read_shape(database.connection)
    manager.down(NOW, version)
    assert read_shape(database.connection).parts == schema.expected(MIGRATIONS[:version]).parts
    assert [d.mend for d in manager.verify()] == ["jobd migrate up"]
    for step in range(version + 1, LATEST + 1):
        assert manager.up(NOW, step).version == step
    assert read_shape(database.connection).parts == before.parts
    assert manager.verify() == []


def test_rows_survive_the_way_to_the_first_version_and_back(database: Database) -> None:
    """Jobs keep ids and payloads; statuses that go away become what was asked for."""
    db, manager = database.connection, MigrationManager(database)
    fill(db)
    before = jobs(db)
    manager.down(NOW, 1, GONE, ["job_attempts"])
    manager.up(NOW)
    assert jobs(db) == [(n, GONE.get(status, status), payload) for n, status, payload in before]
    ready = db.execute("SELECT count(*) FROM job_queue WHERE ready = 1").fetchone()[0]
    assert ready == len([status for _, status, _ in jobs(db) if status == "pending"])
    ended = db.execute("SELECT DISTINCT completed_at FROM job_queue WHERE status = 'failed'")
    assert (NOW,) in ended.fetchall()


def test_ids_are_not_reused_after_a_rebuild(database: Database) -> None:
    """The sequence goes on after the largest id ever given, pruned or not."""
    db, manager = database.connection, MigrationManager(database)
    fill(db)
    db.execute("DELETE FROM job_attempts")
    db.execute("DELETE FROM job_queue")
    for _ in range(2):
        manager.down(NOW, 2)
        manager.up(NOW)
    db.execute("INSERT INTO job_queue (job_type, created_at) VALUES ('next', 1)")
    assert db.execute("SELECT id FROM job_queue").fetchone() == (len(JobStatus) + 1,)


def test_down_names_what_it_cannot_hold_and_the_options(database: Database) -> None:
    """Every status and table is named at once with its count and what to pass; nothing changes."""
    db, manager = database.connection, MigrationManager(database)
    fill(db)
    before = state(db)
    with pytest.raises(errors.Refused) as refusal:
        manager.down(NOW, 2, {"zombie": "failed"})
    lines = str(refusal.value).splitlines()[1:]
    assert [line.strip() for line in lines] == [
        "3 rows of job_attempts would go: --discard job_attempts",
        "1 row of job_queue with the status dead_letter: --map dead_letter=failed",
        "1 row of job_queue with the status retrying: --map retrying=pending",
        "1 row of job_queue with the status timeout: --map timeout=failed",
    ]
    assert state(db) == before


@pytest.mark.parametrize(("to", "mapping", "discard", "problem"), [
    (2, {"zombie": "dead_letter"}, (), "version 2 has no status 'dead_letter'"),
    (2, {"zonbie": "failed"}, (), "there is no status 'zonbie'"),
    (2, {"running": "failed"}, (), "version 2 holds running jobs"),
    (5, {"zombie": "failed"}, (), "version 5 holds zombie jobs"),
    (6, {}, ["job_attempts"], "going back drops no table job_attempts"),
    (LATEST, {}, (), "nothing to go back to"),
    (-1, {}, (), "there is no version -1"),
])
def test_down_refuses_what_makes_no_sense(
    to: int, mapping: dict[str, str], discard: list[str], problem: str, database: Database
) -> None:
    """Mistyped options are told, not passed over."""
    with pytest.raises(errors.BadInput, match=problem):
        MigrationManager(database).down(NOW, to, mapping, discard)


def test_down_to_nothing_wants_the_jobs_named(database: Database) -> None:
    """Version 0 has no job_queue: its rows go only when they were named."""
    manager = MigrationManager(database)
    fill(database.connection)
    with pytest.raises(errors.Refused, match="9 rows of job_queue would go: --discard job_queue"):
        manager.down(NOW, 0, discard=["job_attempts"])
    manager.down(NOW, 0, discard=["job_attempts", "job_queue"])
    assert read_shape(database.connection).parts == {}


def test_down_of_a_drifted_schema_is_refused(database: Database) -> None:
    """What was changed by hand is told before anything is built on it."""
    database.connection.execute("ALTER TABLE job_queue ADD COLUMN note TEXT")
    with pytest.raises(errors.SchemaError, match=r"job_queue\.note: .*`jobd migrate repair`"):
        MigrationManager(database).down(NOW, 3)


class Bad(Migration):
    """Does something, and then goes wrong over the rows it meets; a subclass says how."""

    version = LATEST + 1
    name = "bad"

    def up(self, db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE half_made (id INTEGER CHECK (id < 5))")
        self.go_wrong(db)

    def go_wrong(self, db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO half_made SELECT id FROM job_queue")


class Lossy(Bad):
    def go_wrong(self, db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM job_queue WHERE id = 1")


class Orphaning(Bad):
    def go_wrong(self, db: sqlite3.Connection) -> None:
        db.execute("UPDATE job_attempts SET job_id = 999, attempt = job_id")


@pytest.mark.parametrize(("migration", "error"), [
    (Bad(), "CHECK constraint failed: id < 5"),
    (Lossy(), "job_queue had 9 rows and would have 8"),
    (Orphaning(), "row 1 of job_attempts refers to a row that job_queue does not have"),
])
def test_a_failing_migration_leaves_no_trace(
    migration: Migration, error: str, database: Database, tmp_path: Path
) -> None:
    """Neither table nor record nor version nor backup; foreign keys are on again."""
    fill(database.connection)
    before = state(database.connection)
    with pytest.raises((sqlite3.IntegrityError, errors.SchemaError), match=error):
        MigrationManager(database, (*MIGRATIONS, migration)).up(NOW)
    assert state(database.connection) == before
    assert database.connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
    assert list(tmp_path.glob("*.backup*")) == []


def test_a_backup_holds_what_was_before(database: Database, tmp_path: Path) -> None:
    """Before data is moved a copy with a tight mode is left, and its path is returned."""
    fill(database.connection)
    before = jobs(database.connection)
    change = MigrationManager(database).down(NOW, 6)
    assert change.backup == tmp_path / f"jobd.db.backup-v{LATEST}-20231114T221320Z"
    assert stat.S_IMODE(change.backup.stat().st_mode) == 0o600
    with closing(open_database(change.backup, now=NOW, check="drift")) as copy:
        assert jobs(copy.connection) == before
    second = MigrationManager(database).up(NOW).backup
    assert second == tmp_path / "jobd.db.backup-v6-20231114T221320Z"


def test_without_data_there_is_no_backup(database: Database, tmp_path: Path) -> None:
    """A database without rows has nothing to save, and one that needs nothing is not copied."""
    manager = MigrationManager(database)
    assert manager.down(NOW, 3).backup is None
    assert manager.up(NOW).backup is None
    fill(database.connection)
    assert manager.up(NOW).backup is None
    assert manager.repair(NOW).backup is None


def test_a_rolled_back_migration_keeps_its_row_and_is_pending(database: Database) -> None:
    """The history stays readable: one row for each time a version was applied."""
    manager = MigrationManager(database)
    manager.down(NOW + 1, LATEST - 1)
    last = manager.status()[-1]
    assert (last.status, last.applied_at, last.rollback_at) == ("pending", NOW, NOW + 1)
    manager.up(NOW + 2)
    last = manager.status()[-1]
    assert (last.status, last.applied_at, last.rollback_at) == ("applied", NOW + 2, None)
    rows = database.connection.execute(
        "SELECT applied_at, rollback_at FROM schema_migrations WHERE version = ? ORDER BY id",
        (LATEST,)).fetchall()
    assert rows == [(NOW, NOW + 1), (NOW + 2, None)]


def test_records_of_other_hands_are_read(database: Database) -> None:
    """Times as text, versions as text, rows twice and rows of nothing do no harm."""
    db = database.connection
    db.execute("DROP TABLE schema_migrations")
    db.execute("CREATE TABLE schema_migrations (version TEXT, name, applied_at, rollback_at)")
    db.executemany("INSERT INTO schema_migrations VALUES (?, ?, ?, ?)", [
        *((f"{m.version:03}", m.name, "2024-01-01 10:00:00", "2024-01-02") for m in MIGRATIONS),
        *((f"{m.version:03}", m.name, "2024-01-03 10:00:00", None) for m in MIGRATIONS),
        ("what", None, None, None), (None, None, None, None),
    ])
    manager = MigrationManager(database)
    (difference,) = manager.verify()
    assert difference.object == "schema_migrations"
    assert {(s.status, s.applied_at) for s in manager.status()} == {
        ("applied", "2024-01-03 10:00:00")
    }
    manager.down(NOW, 3)
    manager.up(NOW)
    manager.repair(NOW)
    assert manager.verify() == []
    assert [s.status for s in manager.status()] == ["applied"] * len(MIGRATIONS)


def test_actions_are_recorded_with_their_actor(database: Database) -> None:
    """What a person did to the schema stands in operator_actions, and does not keep them in it."""
    manager = MigrationManager(database)
    manager.down(NOW, 6, actor="ann")
    manager.up(NOW, actor="ann")
    rows = database.connection.execute("SELECT actor, verb, migration FROM operator_actions")
    assert rows.fetchall() == [("ann", "migrate up", LATEST)]
    manager.down(NOW, 6, actor="ann")


def test_mark_applied_wants_to_see_the_tables(database: Database) -> None:
    """A record for what is not there is refused; force makes it; what is there is believed."""
    manager = MigrationManager(database)
    manager.down(NOW, 6)
    with pytest.raises(errors.SchemaError, match="operator_actions: the table does not exist"):
        manager.mark_migration_as_applied(7, NOW)
    assert manager.mark_migration_as_applied(7, NOW, force=True).version == 7
    found = [(d.object, d.problem) for d in manager.verify()]
    assert found[0][0] == "operator_actions"
    assert "though migration 007 (record_operators) is recorded as applied" in found[0][1]
    with pytest.raises(errors.BadInput, match=f"no version {LATEST + 1}"):
        manager.mark_migration_as_applied(LATEST + 1, NOW)


def test_a_table_whose_migration_is_said_to_be_rolled_back(database: Database) -> None:
    """The contradiction is told with the way out, and up does not run into it."""
    db, manager = database.connection, MigrationManager(database)
    db.execute("UPDATE schema_migrations SET rollback_at = 1 WHERE version = 3")
    (found,) = manager.verify()
    assert str(found) == (
        "job_queue: exists as jobd needs it, while migration 003 (allow_nine_statuses) is "
        "recorded as rolled back (`jobd migrate mark-applied 3`)"
    )
    with pytest.raises(errors.SchemaError, match="mark-applied 3"):
        manager.up(NOW)
    manager.mark_migration_as_applied(3, NOW)
    assert manager.verify() == []


def test_items_live_on_as_single_jobs_when_batches_go(database: Database) -> None:
    """Going back asks about batches; with them gone, the next daemon runs what was left of them."""
    db, manager = database.connection, MigrationManager(database)
    batch = batches.create(db, new_batch("b", "t"), NOW, "ann")
    batches.add(db, batch, [NewItem("{}")] * 3, NOW)
    batches.seal(db, batch, NOW)
    with pytest.raises(errors.Refused, match="3 rows of batch_items would go"):
        manager.down(NOW, 7)
    manager.down(NOW, 7, discard=["batch_jobs", "batch_items"])
    manager.up(NOW)
    assert manager.verify() == []
    assert db.execute("SELECT DISTINCT batch_id FROM job_queue").fetchall() == [(None,)]
    assert claims.bring_back_handled(db, ["t"]) == 3
