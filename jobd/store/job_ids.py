"""Ids of jobs: each is given once, also where the newest jobs have been deleted.

AUTOINCREMENT sees to it with a counter, which is a page of its own to write in every commit; but
SQLite writes nothing where the id that a statement names is not above the counter
(sqlite.org/autoinc.html). So ids are set aside: a counter that is a multiple of SET_ASIDE says that
the next id is the newest job's plus 1, up to there. Any other counter is the last id itself. The
trigger `job_queue_newest_gone` (migration 009) makes it that when the newest job is deleted.
"""

import sqlite3

SET_ASIDE = 256

_COUNTER = f"FROM sqlite_sequence WHERE name = 'job_queue' AND seq % {SET_ASIDE} = 0"
NEXT_ID = f"(SELECT (SELECT max(id) + 1 FROM job_queue) {_COUNTER})"
"""For one INSERT: the next of the ids set aside; NULL, and then SQLite counts, when none are."""
_SET_ASIDE = f"""
    UPDATE sqlite_sequence SET seq = seq + {SET_ASIDE} WHERE name = 'job_queue' AND seq = ?
"""
_GIVE_BACK = f"""
    UPDATE sqlite_sequence SET seq = coalesce((SELECT max(id) FROM job_queue), seq)
    WHERE name = 'job_queue' AND seq % {SET_ASIDE} = 0
"""
_LAST = f"""
    SELECT max(coalesce((SELECT max(id) FROM job_queue), 0), coalesce((
        SELECT seq FROM sqlite_sequence WHERE name = 'job_queue' AND seq % {SET_ASIDE} <> 0
    ), 0))
"""


def given(db: sqlite3.Connection, job_id: int) -> None:
    """After an INSERT with NEXT_ID: set more ids aside when this was the last one."""
    if job_id % SET_ASIDE == 0:
        db.execute(_SET_ASIDE, (job_id,))


def give_back(db: sqlite3.Connection) -> None:
    """Before an INSERT of many jobs, which leaves it to SQLite to count: from the last id on."""
    db.execute(_GIVE_BACK)


def last_id(db: sqlite3.Connection) -> int:
    """The last id that was given to a job, which may be gone; 0 when none was."""
    last: int = db.execute(_LAST).fetchone()[0]
    return last
