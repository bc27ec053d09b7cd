"""A migration that is killed with its process is done, or was never begun."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from jobd.store import schema
from jobd.store.connection import Database
from jobd.store.migrations import MIGRATIONS
from jobd.store.migrator import MigrationManager
from jobd.store.opening import open_database

LATEST = len(MIGRATIONS)

KILLED = """
import os, signal, sys
from jobd.store.connection import Database
from jobd.store.migrator import MigrationManager

def run(path, fatal):
    database, seen = Database(path), []
    def trace(statement):
        seen.append(statement)
        if len(seen) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
    database.connection.set_trace_callback(trace)
    MigrationManager(database).up(1)

for number, path in enumerate(sys.argv[1:], start=1):
    child = os.fork()
    if child == 0:
        run(path, number * 8)
        os._exit(0)
    os.waitpid(child, 0)
"""


def jobs(db: sqlite3.Connection) -> list[tuple[int, str]]:
    return db.execute("SELECT id, status FROM job_queue ORDER BY id").fetchall()


def make_old(path: Path, copies: list[Path]) -> list[tuple[int, str]]:
    """Copies of a database at version 2 with a hundred jobs; returns the jobs."""
    with closing(open_database(path, create=True, now=1)) as database:
        database.connection.executemany(
            "INSERT INTO job_queue (job_type, created_at, unique_key) VALUES ('sum', 1, ?)",
            [(str(number),) for number in range(100)],
        )
        MigrationManager(database).down(2, 2)
        for copy in copies:
            with closing(sqlite3.connect(copy)) as target:
                database.connection.backup(target)
        return jobs(database.connection)


def test_a_killed_up_leaves_the_old_schema_or_the_new(tmp_path: Path) -> None:
    """SIGKILL at statement 8, 16, 24, … up to and after the COMMIT: nothing in between is seen."""
    paths = [tmp_path / f"{number}.db" for number in range(30)]
    before, found = make_old(tmp_path / "jobd.db", paths), []
    subprocess.run([sys.executable, "-c", KILLED, *map(str, paths)], check=True)
    for path in paths:
        with closing(Database(path)) as opened:
            version = opened.user_version()
            found.append(version)
            assert schema.examine(opened.connection).faults == ()
            assert jobs(opened.connection) == before
    assert set(found) == {2, LATEST}
    assert found == sorted(found)
