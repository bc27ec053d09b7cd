"""When the write-ahead log moves into the file: when it is full or long, and not too often."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jobd.daemon.checkpointer import FULL_LOG, LONG_LOG, SEVERAL, SHORTEST_BETWEEN, Checkpointer
from jobd.daemon.report import Report
from jobd.store import sizes
from jobd.store.connection import WAL_LIMIT, Database
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


def commit(checkpointer: Checkpointer, now: float, times: int = SEVERAL) -> None:
    """So many, the last of them now and those before at the beginning of time."""
    for _ in range(times - 1):
        checkpointer.after_commit(0.0)
    checkpointer.after_commit(now)


def test_a_full_log_is_moved(writer: Database, checkpointer: Checkpointer) -> None:
    """Before it has to grow, which makes each sync dearer."""
    write(writer, FULL_LOG)
    commit(checkpointer, 1.0)
    assert is_moved(writer)


def test_a_long_log_is_moved_however_few_rows_filled_it(
    writer: Database, checkpointer: Checkpointer
) -> None:
    """One row of a large payload is enough."""
    write(writer, LONG_LOG)
    commit(checkpointer, 1.0, 1)
    assert is_moved(writer)
    assert sizes.log_bytes(writer.path) <= WAL_LIMIT


def test_a_log_that_few_commits_have_filled_may_grow(
    writer: Database, checkpointer: Checkpointer
) -> None:
    """Large payloads; but not for ever."""
    write(writer, FULL_LOG)
    commit(checkpointer, 1.0, SEVERAL - 1)
    assert not is_moved(writer)
    write(writer, LONG_LOG)
    commit(checkpointer, 2.0, 1)
    assert is_moved(writer)


def test_a_full_log_is_not_moved_all_the_time(
    writer: Database, checkpointer: Checkpointer
) -> None:
    """A reader may hold it back, and then every try would be in vain."""
    write(writer, FULL_LOG)
    commit(checkpointer, SHORTEST_BETWEEN / 2)
    assert not is_moved(writer)


def test_a_short_log_waits_for_more(writer: Database, checkpointer: Checkpointer) -> None:
    """Moving it costs two syncs."""
    write(writer, FULL_LOG // 2)
    commit(checkpointer, 1.0)
    assert not is_moved(writer)


def test_a_log_that_was_made_long_beforehand_is_not_full(
    writer: Database, checkpointer: Checkpointer
) -> None:
    """What counts is how far commits have come in it, not its size."""
    writer.grow_wal(FULL_LOG + 1)
    write(writer, FULL_LOG // 2)
    commit(checkpointer, 1.0)
    assert not is_moved(writer)
