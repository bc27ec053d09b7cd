"""No look of retention, nor of dead letters, walks over a table that is full of other jobs."""

from collections.abc import Callable
from typing import Any

import pytest

from jobd.core.lifecycle import JobStatus
from jobd.core.retention import Expiry
from jobd.store import retention
from jobd.store.connection import Database
from jobd.store.dead_letters import dead_letters

LOOKS: dict[str, tuple[Callable[[Any], object], str]] = {
    "completed": (
        lambda db: retention.look(db, Expiry(JobStatus.COMPLETED, 1, 1), 0, 1),
        "SEARCH job_queue USING INTEGER PRIMARY KEY (rowid>?)",
    ),
    "failed": (
        lambda db: retention.look(db, Expiry(JobStatus.FAILED, 1, 1), 0, 1),
        "SEARCH job_queue USING INDEX job_queue_uncommon (status=? AND id>?)",
    ),
    "dead letters": (
        lambda db: list(dead_letters(db)),
        "SEARCH job_queue USING INDEX job_queue_uncommon (status=? AND id>?)",
    ),
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_goes_through_its_index(database: Database, name: str) -> None:
    """With statistics and without."""
    call, wanted = LOOKS[name]
    for _ in range(2):
        executed: list[str] = []
        database.connection.set_trace_callback(executed.append)
        call(database.connection)
        database.connection.set_trace_callback(None)
        plan = database.connection.execute(f"EXPLAIN QUERY PLAN {executed[0]}").fetchall()
        assert [row[3] for row in plan if "job_queue" in row[3]] == [wanted]
        database.connection.execute("ANALYZE")
