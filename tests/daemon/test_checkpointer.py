"""When the write-ahead log moves into the file: when it is full, and not too often."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jobd.daemon.checkpointer import FULL_LOG, SHORTEST_BETWEEN, Checkpointer
from jobd.daemon.report import Report
from jobd.store.connection import Database
from jobd.store.log_position import is_filled
from jobd.store.opening import open_database

LARGE = "INSERT INTO operator_actions (acted_at, actor, verb, detail) VALUES (1, 'a', ?, ?)"


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Database]:
    with closing(open_database(tmp_path / "jobd.db", create=True, now=1)) as database:
        yield database


@pytest.fixture
def checkpointer(writer: Database) -> Iterator[Checkpointer]:
    with closing(open_database(writer.path, now=1)) as second:
        yield Checkpointer(writer, second, Report())


def write(writer: Database, size: int) -> None:
    with writer.transaction() as db:
        db.execute(LARGE, ("x", "y" * size))


def is_moved(writer: Database) -> bool:
    """Whether the log can begin anew: then the next commit is at its start."""
    write(writer, 1)
    return not is_filled(writer.path, FULL_LOG // 4)


def test_a_full_log_is_moved_however_few_rows_filled_it(
    writer: Database, checkpointer: Checkpointer
) -> None:
    """One row of a large payload is enough."""
    write(writer, FULL_LOG)
    checkpointer.after_commit(1.0)
    assert is_moved(writer)


def test_a_full_log_is_not_moved_all_the_time(
    writer: Database, checkpointer: Checkpointer
) -> None:
    """A reader may hold it back, and then every try would be in vain."""
    write(writer, FULL_LOG)
    checkpointer.after_commit(SHORTEST_BETWEEN / 2)
    assert not is_moved(writer)


def test_a_short_log_waits_for_more(writer: Database, checkpointer: Checkpointer) -> None:
    """Moving it costs two syncs."""
    write(writer, FULL_LOG // 2)
    checkpointer.after_commit(1.0)
    assert not is_moved(writer)


def test_a_log_that_was_made_long_beforehand_is_not_full(
    writer: Database, checkpointer: Checkpointer
) -> None:
    """What counts is how far commits have come in it, not its size."""
    writer.grow_wal(FULL_LOG + 1)
    write(writer, FULL_LOG // 2)
    checkpointer.after_commit(1.0)
    assert not is_moved(writer)
