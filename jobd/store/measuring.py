"""Counting jobs for measurements, and the file in which a daemon tells what it counted."""

import sqlite3
from collections import Counter
from pathlib import Path

from jobd.core.gauges import Gauges, Kind
from jobd.core.version import VERSION
from jobd.store import batch_reading, overview, sizes
from jobd.store.files import file_mode, write_atomically

WALKED = 20_000
TOLD_BY = "# daemon "

# In slices, each a read of its own, so that none keeps the write-ahead log from being reused.
_SLICE = """
    SELECT status, queue, job_type, count(*), max(id) FROM (
        SELECT id, status, queue, job_type FROM job_queue WHERE id > ? ORDER BY id LIMIT ?
    ) GROUP BY status, queue, job_type
"""


def count_jobs(db: sqlite3.Connection) -> dict[Kind, int]:
    """How many jobs there are of each status, queue and type: a walk over all of them."""
    counts: Counter[Kind] = Counter()
    after = 0
    while rows := db.execute(_SLICE, (after, WALKED)).fetchall():
        for status, queue, job_type, count, _ in rows:
            counts[status, queue, job_type] += count
        after = max(row[4] for row in rows)
    return counts


def measure(
    db: sqlite3.Connection, database: Path, *, alive: bool, jobs: dict[Kind, int], counted_at: int,
    now: int, moves: bool = True, silent_ms: int | None = None,
) -> Gauges:
    """Everything else, and the jobs as they were counted.

    A daemon that is `alive` may stand still all the same; `silent_ms` is the age of its last sign
    of life, where somebody else measures.
    """
    pages = sizes.pages(db)
    return Gauges(
        now=now, version=VERSION, sqlite=sqlite3.sqlite_version,
        schema_version=db.execute("PRAGMA user_version").fetchone()[0],
        daemon_alive=alive, daemon_moves=alive and moves,
        daemon_silent_ms=silent_ms if alive else None, jobs=jobs, jobs_counted_at=counted_at,
        batches=batch_reading.open_counts(db),
        queues=overview.queues(db), workers=overview.workers(db),
        database_bytes=sizes.bytes_of(database), log_bytes=sizes.log_bytes(database),
        free_bytes=pages.size * pages.free, disk_free_bytes=sizes.disk_free(database.parent),
    )


def counters_file(database: Path) -> Path:
    """Where the daemon tells what it counted."""
    return Path(f"{database}.metrics")


def tell(database: Path, daemon_id: str, text: str) -> None:
    """Write what the daemon `daemon_id` counted, for whoever may read the database."""
    write_atomically(counters_file(database), f"{TOLD_BY}{daemon_id}\n{text}", file_mode(database))


def told(database: Path, daemon_id: str) -> str:
    """What this daemon has told last; empty when that was another one, or none."""
    try:
        text = counters_file(database).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    first, _, rest = text.partition("\n")
    return rest if first == TOLD_BY + daemon_id else ""
