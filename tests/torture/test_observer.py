"""What the observer of a torture cycle takes for lost, and what not."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jobd import Queue
from tests.torture.cycle import look


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Queue(tmp_path / "jobd.db") as queue:
        queue.enqueue("t")
    return tmp_path / "jobd.db"


def test_a_job_that_is_gone_is_seen(path: Path) -> None:
    """Nothing but a check of this kind would find it: it was never acknowledged."""
    before: dict[int, tuple[str, int]] = {}
    assert look(path, before) == []
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM job_queue")
    assert look(path, before) == [{"vanished": 1, "was": ("pending", 0)}]


def test_a_batch_that_was_never_whole_may_go(path: Path) -> None:
    """Its items are on disk before the last of them, and taken away when its maker fails."""
    before: dict[int, tuple[str, int]] = {}
    stored = []

    def payloads() -> Iterator[dict[str, Any]]:
        for number in range(10_000):
            yield {"n": number}
        assert look(path, before) == []
        with closing(sqlite3.connect(path)) as db:
            stored.extend(db.execute("SELECT count(*) FROM job_queue").fetchone())
        raise ZeroDivisionError

    with Queue(path) as queue, pytest.raises(ZeroDivisionError):
        queue.batch("b", "t", payloads())
    assert stored[0] > 1
    assert look(path, before) == []
