"""What the daemon itself notes about jobs, in the table of what was done to them."""

import sqlite3

from jobd.store.actions import record_action
from jobd.store.reading import MANY, Record, records

JOBD = "jobd"
CHANGED = "changed the process"


def note_change(db: sqlite3.Connection, job_id: int, detail: str, now: int) -> None:
    """After this job something was different that all handlers in threads share."""
    record_action(db, now, JOBD, CHANGED, job_id=job_id, detail=detail)


def changes(db: sqlite3.Connection, job_id: int) -> list[Record]:
    """When a change was found after this job, and what it was: `noticed_at` and `change`."""
    return records(
        db,
        f"""SELECT acted_at AS noticed_at, detail AS change FROM operator_actions
        WHERE job_id IS NOT NULL AND job_id = ? AND actor = ? AND verb = ?
        ORDER BY id LIMIT {MANY}""",
        (job_id, JOBD, CHANGED),
    )
