"""Ids of jobs: set aside 256 at a time, given in order, and never given twice."""

import random
import sqlite3

import pytest

from jobd.core.new_job import NewJob
from jobd.store.connection import Database
from jobd.store.enqueue import enqueue, enqueue_many
from jobd.store.job_ids import SET_ASIDE, last_id
from jobd.store.migrations import MIGRATIONS
from jobd.store.migrations.m009_set_ids_aside import NEWEST_GONE, SetIdsAside
from jobd.store.migrator import MigrationManager
from tests.store.conftest import NOW

NEW = NewJob("t", "{}")


def counter(db: sqlite3.Connection) -> int:
    seq: int = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'job_queue'").fetchone()[0]
    return seq


def one_by_one(db: sqlite3.Connection, number: int) -> list[int]:
    return [int(enqueue(db, NEW, NOW)) for _ in range(number)]


def test_ids_follow_each_other(db: sqlite3.Connection) -> None:
    """However jobs are put in, and across the ends of what is set aside."""
    given = one_by_one(db, 300)
    given += map(int, enqueue_many(db, [NEW] * 30, NOW))
    given += one_by_one(db, 300)
    given += map(int, enqueue_many(db, [NEW, NEW._replace(priority=1)] * 100, NOW))
    given += [enqueue(db, NEW._replace(request_id=str(n)), NOW) for n in range(300)]
    assert given == list(range(1, len(given) + 1))


def test_the_counter_is_not_written_for_each_job(db: sqlite3.Connection) -> None:
    """It would be one page more in every commit."""
    one_by_one(db, SET_ASIDE)
    seen = set()
    for _ in range(SET_ASIDE - 1):
        one_by_one(db, 1)
        seen.add(counter(db))
    assert seen == {2 * SET_ASIDE}


@pytest.mark.parametrize("given", [SET_ASIDE - 1, SET_ASIDE, SET_ASIDE + 1, 2 * SET_ASIDE])
@pytest.mark.parametrize("order", ["ASC", "DESC"])
@pytest.mark.parametrize("left", [0, 1, 200])
def test_no_deleted_id_is_given_again(
    db: sqlite3.Connection, given: int, order: str, left: int
) -> None:
    """Whether all go or the newest, and in whichever order SQLite takes them."""
    one_by_one(db, given)
    gone = db.execute(f"SELECT id FROM job_queue WHERE id > ? ORDER BY id {order}", (left,))
    for row in gone.fetchall():
        db.execute("DELETE FROM job_queue WHERE id = ?", row)
    assert last_id(db) in (given, given + 1)
    following = one_by_one(db, 2 * SET_ASIDE)
    assert following[0] in (given + 1, given + 2)
    assert following == list(range(following[0], following[0] + len(following)))


def test_one_statement_may_delete_them_all(db: sqlite3.Connection) -> None:
    """Also one without a condition, for which SQLite has a short cut."""
    one_by_one(db, SET_ASIDE + 10)
    db.execute("DELETE FROM job_queue")
    assert one_by_one(db, 1) == [SET_ASIDE + 11]


def test_another_program_may_insert_and_delete(db: sqlite3.Connection) -> None:
    """Plain SQL that knows nothing of this is given an id beyond those set aside."""
    one_by_one(db, SET_ASIDE + 10)
    db.execute("INSERT INTO job_queue (job_type, created_at) VALUES ('t', 1)")
    assert last_id(db) == 2 * SET_ASIDE + 1
    assert one_by_one(db, 2) == [2 * SET_ASIDE + 2, 2 * SET_ASIDE + 3]


def test_a_database_from_before_gives_none_again(database: Database) -> None:
    """Its counter may look like ids set aside while the newest job is gone."""
    db, manager = database.connection, MigrationManager(database)
    manager.down(NOW, to=SetIdsAside.version - 1)
    db.executemany("INSERT INTO job_queue (job_type, created_at) VALUES ('t', ?)",
                   [(1,)] * SET_ASIDE)
    db.execute("DELETE FROM job_queue WHERE id > 10")
    manager.up(NOW)
    assert one_by_one(db, 1) == [SET_ASIDE + 2]


def test_the_way_down_leaves_the_last_id(database: Database) -> None:
    """A jobd from before counts on from there."""
    db = database.connection
    one_by_one(db, SET_ASIDE + 10)
    MigrationManager(database).down(NOW, to=SetIdsAside.version - 1)
    assert counter(db) == SET_ASIDE + 10


@pytest.mark.parametrize("seed", range(10))
def test_whatever_happens_no_id_is_given_twice(database: Database, seed: int) -> None:
    """Jobs come in every way and go in every way, between ways up and down of the schema."""
    db, manager, chance = database.connection, MigrationManager(database), random.Random(seed)
    given: set[int] = set()
    for _ in range(150):
        size = chance.choice([1, 2, 30, SET_ASIDE - 1, SET_ASIDE])
        match chance.randrange(8):
            case 0 | 1 | 2:
                new = one_by_one(db, size)
            case 3:
                new = [int(each) for each in enqueue_many(db, [NEW] * size, NOW)]
            case 4:
                insert = "INSERT INTO job_queue (job_type, created_at) VALUES ('t', 1) RETURNING id"
                new = db.execute(insert).fetchone()[:1]
            case 5:
                db.execute("DELETE FROM job_queue WHERE id > ?", (last_id(db) - size,))
                continue
            case 6:
                db.execute("DELETE FROM job_queue WHERE id IN (SELECT id FROM job_queue "
                           "ORDER BY random() LIMIT ?)", (size,))
                continue
            case _:
                manager.down(NOW, to=SetIdsAside.version - 1)
                manager.up(NOW)
                continue
        assert len(set(new)) == len(new)
        assert given.isdisjoint(new)
        assert max(given, default=0) < min(new)
        given.update(new)
        assert last_id(db) == max(given)


def test_the_frozen_trigger_knows_how_many_are_set_aside() -> None:
    """It tells a counter that is the last id from one that is not by this number."""
    assert NEWEST_GONE.count(f"% {SET_ASIDE} = 0") == 2
    assert MIGRATIONS[SetIdsAside.version - 1].name == SetIdsAside.name
