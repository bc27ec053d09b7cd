"""Reading for people: jobs, attempts, counts. Plain values come back, in the words of DESIGN."""

import sqlite3
from typing import Any

Record = dict[str, Any]


def job(db: sqlite3.Connection, job_id: int) -> Record | None:
    """One job with all its columns, or None."""
    cursor = db.execute("SELECT * FROM job_queue WHERE id = ?", (job_id,))
    row = cursor.fetchone()
    return None if row is None else dict(zip([c[0] for c in cursor.description], row, strict=True))
