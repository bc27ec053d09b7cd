"""Statistics that SQLite made while there was next to nothing must not slow the daemon later."""

from contextlib import closing

import pytest

from jobd.core.lifecycle import JobStatus
from jobd.store import sizes
from jobd.store.connection import Database
from jobd.store.opening import open_database
from tests.house.test_claim_cost import STATEMENTS, plans
from tests.store.conftest import Rows


def all_plans(database: Database) -> dict[str, list[str]]:
    return {name: plans(database.connection, call) for name, call in STATEMENTS.items()}


@pytest.mark.parametrize("by_hand", [False, True], ids=["by jobd", "by hand"])
def test_statistics_of_an_almost_empty_file_change_no_plan(
    database: Database, rows: Rows, by_hand: bool
) -> None:
    """A million jobs may come before they are made again; ANALYZE by hand is made good."""
    for status in JobStatus:
        rows.put(status)
    before = all_plans(database)
    if by_hand:
        database.connection.execute("ANALYZE")
        assert all_plans(database) != before
    with database.transaction() as db:
        sizes.optimize(db)
    assert all_plans(database) == before
    with closing(open_database(database.path, now=1)) as another:
        assert all_plans(another) == before


def test_other_tables_keep_their_statistics(database: Database, rows: Rows) -> None:
    """Only what is claimed from is left without."""
    database.connection.execute(
        "INSERT INTO job_attempts (job_id, attempt, outcome) VALUES (?, 1, 'failed')",
        (rows.put("failed"),),
    )
    database.connection.execute("ANALYZE")
    with database.transaction() as db:
        sizes.optimize(db)
    tables = {row["tbl"] for row in rows.all("SELECT tbl FROM sqlite_stat1")}
    assert "job_attempts" in tables
    assert "job_queue" not in tables


def test_statistics_are_made_of_small_files_only(
    database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a larger one they would hold up every writer."""
    for _ in range(50):
        rows.put("failed")
    executed: list[str] = []
    database.connection.set_trace_callback(executed.append)
    for largest, made in ((1, False), (sizes.LARGEST_ANALYZED, True)):
        monkeypatch.setattr(sizes, "LARGEST_ANALYZED", largest)
        executed.clear()
        with database.transaction() as db:
            sizes.optimize(db)
        assert ("PRAGMA optimize" in executed) is made
