"""Reading dead letters a page at a time, however many there are."""

import sqlite3
from collections.abc import Iterator

from jobd.core.fingerprint import READ_AT_MOST, DeadLetter, Groups
from jobd.store.verbs import UNCOMMON

PAGE = 1_000

# The second condition is the index's own, without which it would not be taken.
_PAGE = f"""
    SELECT id, job_type, queue, failure_type,
        substr(coalesce(error_message, dead_letter_reason), 1, :read),
        coalesce(moved_to_dead_letter_at, created_at), execution_over
    FROM job_queue
    WHERE status = 'dead_letter' AND {UNCOMMON}
        AND id > :after AND (:queue IS NULL OR queue = :queue)
        AND (:job_type IS NULL OR job_type = :job_type)
    ORDER BY id LIMIT :page
"""


def dead_letters(
    db: sqlite3.Connection, *, queue: str | None = None, job_type: str | None = None
) -> Iterator[DeadLetter]:
    """Every dead letter in the order of ids; each page is a read of its own."""
    after: int | None = 0
    while after is not None:
        values = {"read": READ_AT_MOST, "after": after, "page": PAGE,
                  "queue": queue, "job_type": job_type}
        rows = db.execute(_PAGE, values).fetchall()
        yield from (DeadLetter(*row) for row in rows)
        after = rows[-1][0] if len(rows) == PAGE else None


def grouped(
    db: sqlite3.Connection, *, queue: str | None = None, job_type: str | None = None
) -> Groups:
    """All of them by fingerprint."""
    groups = Groups()
    for letter in dead_letters(db, queue=queue, job_type=job_type):
        groups.add(letter)
    return groups
