"""How far commits have filled the write-ahead log, whatever its size."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jobd.store.connection import Database
from jobd.store.log_position import is_filled
from jobd.store.opening import open_database

SIZE = 1_000_000
LARGE = "INSERT INTO operator_actions (acted_at, actor, verb, detail) VALUES (1, 'a', 'x', ?)"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(open_database(tmp_path / "jobd.db", create=True, now=1)) as opened:
        with closing(Database(opened.path)) as second:
            opened.checkpoint_with(second)
        yield opened


def write(database: Database, size: int) -> None:
    with database.transaction() as db:
        db.execute(LARGE, ("y" * size,))


def test_a_log_is_filled_once_commits_have_come_so_far(database: Database) -> None:
    """Not before: a third, two thirds, and then more than all of it."""
    found = []
    for _ in range(4):
        write(database, SIZE // 3)
        found.append(is_filled(database.path, SIZE))
    assert found == [False, False, False, True] or found == [False, False, True, True]


def test_a_log_that_was_made_long_is_not_filled(database: Database) -> None:
    """The zeros behind the commits are none."""
    database.grow_wal(2 * SIZE)
    write(database, SIZE // 2)
    assert not is_filled(database.path, SIZE)


def test_what_came_before_the_log_began_anew_does_not_count(database: Database) -> None:
    """After a checkpoint the next commit begins at the start; the old frames stay behind it."""
    write(database, 2 * SIZE)
    with closing(Database(database.path)) as second:
        database.checkpoint_with(second)
    assert is_filled(database.path, SIZE)
    write(database, 1)
    assert not is_filled(database.path, SIZE)


def test_no_log_is_not_filled(tmp_path: Path) -> None:
    """Nor is an empty one, or one that is a directory."""
    assert not is_filled(tmp_path / "jobd.db", SIZE)
    (tmp_path / "empty.db-wal").touch()
    assert not is_filled(tmp_path / "empty.db", SIZE)
    (tmp_path / "strange.db-wal").mkdir()
    assert not is_filled(tmp_path / "strange.db", SIZE)
