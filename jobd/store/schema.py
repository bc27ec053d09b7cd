"""What the schema must be, and every way in which a database differs from it.

Two sources say it and must agree: what the migrations build, and what the enums of the state
machine say. `drift` is asked by the tests, by `jobd migrate verify` and by the daemon's start.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from jobd.core.batch_status import ITEM_STATUS, BatchStatus, ErrorHandling
from jobd.core.lifecycle import FailureType, JobStatus, arrows
from jobd.store.connection import APPLICATION_ID
from jobd.store.create_table import Table, check_in, normal_text, read_trigger
from jobd.store.migrations import MIGRATIONS, Migration
from jobd.store.schema_records import COLUMNS, Record, columns, is_as_made, read_records
from jobd.store.shape import RECORDS_TABLE, Difference, Key, Shape, compare, read_shape

__all__ = ["Difference", "Findings", "birth_trigger_sql", "build", "drift", "examine", "expected",
           "misfit", "move_trigger_sql", "shows"]


@dataclass(frozen=True, slots=True)
class Findings:
    """The version a database stands at, what is wrong with it, and what merely waits.

    `faults` must be mended before the schema can move; `notes` are mended by moving it.
    """

    version: int
    faults: tuple[Difference, ...]
    notes: tuple[Difference, ...] = ()


def drift(
    db: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS
) -> list[Difference]:
    """Every way in which `db` is not what this jobd needs; empty when it fits."""
    found = examine(db, migrations)
    return [*found.faults, *found.notes]


def examine(db: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> Findings:
    """Compare `db` with what the migrations up to its own version make."""
    history = tuple(migrations)
    marked = _pragma(db, "user_version")
    records = read_records(db)
    highest = max([marked, *(v for v, record in records.items() if record.in_force)])
    if highest > len(history):
        return Findings(highest, (_newer(highest, len(history)),))
    actual = read_shape(db)
    version = _standing(marked, records, actual, history)
    faults = (
        *_record_faults(db, records, version, actual, history),
        *_explained(compare(expected(history[:version]), actual), records, version, history),
    )
    return Findings(version, faults, tuple(_notes(db, records, marked, version, history)))


def misfit(db: sqlite3.Connection) -> Difference | None:
    """The quick look of every client: only the version; None when it is the one we need."""
    version, latest = _pragma(db, "user_version"), len(MIGRATIONS)
    if version == latest:
        return None
    return _newer(version, latest) if version > latest else _pending(version, latest)


def shows(shape: Shape, version: int, migrations: Sequence[Migration] = MIGRATIONS) -> bool:
    """Whether what migration `version` makes is there, as it or a later migration left it."""
    history = tuple(migrations)
    keys = _touched(version, history)
    later = (expected(history[:v]) for v in range(version, len(history) + 1))
    return any(all(shape.parts.get(k) == e.parts.get(k) for k in keys) for e in later)


@lru_cache(maxsize=32)
def expected(migrations: tuple[Migration, ...]) -> Shape:
    """The shape that `migrations` build; at the end of the history also what the enums say."""
    db = build(migrations)
    try:
        shape = read_shape(db)
    finally:
        db.close()
    return _as_the_enums_say(shape) if migrations == MIGRATIONS else shape


def build(migrations: Sequence[Migration]) -> sqlite3.Connection:
    """An in-memory database as `migrations` make it."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for migration in migrations:
            migration.up(db)
    except BaseException:
        db.close()
        raise
    return db


def move_trigger_sql() -> str:
    """The trigger that refuses every move which `lifecycle.arrows` does not list."""
    allowed = [f"(OLD.status = '{old}' AND NEW.status = '{new}')" for old, new in arrows()]
    chain = "\n    OR ".join([*allowed, "OLD.status = NEW.status"])
    return (
        "CREATE TRIGGER job_queue_moves AFTER UPDATE OF status ON job_queue\n"
        f"WHEN NOT (\n    {chain}\n)\n"
        "BEGIN SELECT RAISE(ABORT, 'no such move of a job'); END"
    )


def birth_trigger_sql() -> str:
    """The trigger that refuses to insert a job which is anything but pending."""
    return (
        "CREATE TRIGGER job_queue_births BEFORE INSERT ON job_queue\n"
        f"WHEN NEW.status <> '{JobStatus.PENDING}'\n"
        "BEGIN SELECT RAISE(ABORT, 'a job is born pending'); END"
    )


def item_view_sql() -> str:
    """The view that says where each item of a batch is, by the status of its job."""
    cases = "\n        ".join(f"WHEN '{job}' THEN '{ITEM_STATUS[job]}'" for job in JobStatus)
    return f"""
    CREATE VIEW batch_item_status AS
    SELECT i.batch_job_id, i.position, i.job_id, i.topic, i.tier,
        CASE j.status {cases} END AS status,
        j.status AS job_status, j.attempt, j.retry_count, j.failure_type, j.error_message,
        j.dead_letter_reason, coalesce(i.parameters, j.payload) AS parameters, j.result,
        i.progress, i.estimated_time, i.created_at, j.claimed_at, j.started_at,
        coalesce(j.completed_at, j.moved_to_dead_letter_at) AS ended_at
    FROM batch_items AS i JOIN job_queue AS j ON j.id = i.job_id
    """


def _as_the_enums_say(shape: Shape) -> Shape:
    parts = dict(shape.parts)
    parts["trigger", "job_queue_moves"] = read_trigger(move_trigger_sql())
    parts["trigger", "job_queue_births"] = read_trigger(birth_trigger_sql())
    parts["view", "batch_item_status"] = normal_text(item_view_sql())
    for table, column, values in (
        ("job_queue", "status", list(JobStatus)),
        ("job_queue", "failure_type", list(FailureType)),
        ("job_attempts", "failure_type", list(FailureType)),
        ("batch_jobs", "status", list(BatchStatus)),
        ("batch_jobs", "error_handling", list(ErrorHandling)),
    ):
        parts["table", table] = _with_check(shape.table(table), column, values)
        shape = replace(shape, parts=parts)
    return shape


def _with_check(table: Table, column: str, values: Sequence[str]) -> Table:
    clauses = {**table.columns[column], "check": check_in(column, values)}
    return replace(table, columns={**table.columns, column: clauses})


def _standing(
    marked: int, records: dict[int, Record], actual: Shape, history: tuple[Migration, ...]
) -> int:
    """The version by the mark and the records; beyond them, as far as the tables show more."""
    version = marked
    while version < len(history):
        record = records.get(version + 1)
        if not (record and record.in_force) and not shows(actual, version + 1, history):
            break
        version += 1
    return version


def _touched(version: int, history: tuple[Migration, ...]) -> list[Key]:
    """What migration `version` makes or changes."""
    before, after = expected(history[: version - 1]).parts, expected(history[:version]).parts
    return [key for key, part in after.items() if before.get(key) != part]


def _record_faults(
    db: sqlite3.Connection,
    records: dict[int, Record],
    version: int,
    actual: Shape,
    history: tuple[Migration, ...],
) -> Iterator[Difference]:
    """Where the records do not tell how the database came to stand at `version`."""
    if version and not columns(db):
        yield Difference(RECORDS_TABLE, "the table does not exist")
        return
    for column in sorted(COLUMNS.keys() - columns(db)) if version else ():
        yield Difference(f"{RECORDS_TABLE}.{column}", "the column does not exist")
    for migration in history[:version]:
        record = records.get(migration.version)
        if record is None or not record.in_force:
            there = shows(actual, migration.version, history)
            yield _unrecorded(migration, record, there, history)
    for late, record in records.items():
        if late > version and record.in_force:
            told = f"migration {late:03} ({record.name}) is recorded as applied"
            yield Difference(RECORDS_TABLE, f"{told}, while the schema is version {version}")


def _unrecorded(
    migration: Migration, record: Record | None, there: bool, history: tuple[Migration, ...]
) -> Difference:
    name = f"migration {migration.version:03} ({migration.name})"
    told = f"{name} is recorded as rolled back" if record else f"{name} has no record"
    tables = [name for kind, name in _touched(migration.version, history) if kind == "table"]
    if not there:
        return Difference(RECORDS_TABLE, f"{told}, though the schema is said to be beyond it")
    return Difference(
        ", ".join(tables) or RECORDS_TABLE,
        f"exists as jobd needs it, while {told}",
        f"jobd migrate mark-applied {migration.version}",
    )


def _explained(
    differences: Iterator[Difference],
    records: dict[int, Record],
    version: int,
    history: tuple[Migration, ...],
) -> Iterator[Difference]:
    """Say which migration's record a missing or an early table contradicts."""
    makers = _makers(history)
    for difference in differences:
        maker = makers.get(difference.object)
        if maker and maker.version > version:
            mend = f"jobd migrate mark-applied {maker.version} --force"
            yield replace(difference, problem=_early(maker, records), mend=mend)
        elif maker and difference.problem == "the table does not exist":
            told = f"though migration {maker.version:03} ({maker.name}) is recorded as applied"
            yield replace(difference, problem=f"{difference.problem}, {told}")
        else:
            yield difference


@lru_cache(maxsize=32)
def _makers(history: tuple[Migration, ...]) -> dict[str, Migration]:
    """For each table the migration that first made it."""
    made: dict[str, Migration] = {}
    for migration in history:
        for table in expected(history[: migration.version]).names("table"):
            made.setdefault(table, migration)
    return made


def _early(maker: Migration, records: dict[int, Record]) -> str:
    told = "recorded as rolled back" if maker.version in records else "pending"
    return f"the table exists, while migration {maker.version:03} ({maker.name}) is {told}"


def _notes(
    db: sqlite3.Connection,
    records: dict[int, Record],
    marked: int,
    version: int,
    history: tuple[Migration, ...],
) -> Iterator[Difference]:
    latest = len(history)
    if version and columns(db) and not is_as_made(db):
        yield Difference(RECORDS_TABLE, "the table is not defined as jobd makes it")
    for migration in history:
        record = records.get(migration.version)
        if record is not None and record.name != migration.name:
            told = f"migration {migration.version:03} is called {migration.name}"
            yield Difference(RECORDS_TABLE, f"{told}, but recorded as {record.name!r:.60}")
    if marked != version:
        yield Difference("user_version", f"is {marked}, while the schema is version {version}")
    if version and _pragma(db, "application_id") != APPLICATION_ID:
        yield Difference("application_id", f"must be {APPLICATION_ID:#x}, so that others know us")
    if version < latest:
        yield _pending(version, latest)


def _pending(version: int, latest: int) -> Difference:
    return Difference(
        "schema", f"is version {version}, older than {latest}, which this jobd needs",
        "jobd migrate up",
    )


def _newer(version: int, latest: int) -> Difference:
    return Difference(
        "schema",
        f"is version {version}, newer than {latest}, the latest that this jobd knows: upgrade "
        "jobd, or go back with the newer one",
        f"jobd migrate down --to {latest}",
    )


def _pragma(db: sqlite3.Connection, name: str) -> int:
    value: int = db.execute(f"PRAGMA {name}").fetchone()[0]
    return value


