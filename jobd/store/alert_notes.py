"""Which alerts were raised: kept beside what was done to jobs, so that none is raised twice."""

import json
import sqlite3
from collections.abc import Iterable

ACTOR, ALERTED = "jobd", "alerted"

Key = tuple[int, str]
"""A job and a cause."""


def note_alerts(db: sqlite3.Connection, keys: Iterable[Key], now: int) -> None:
    """These alerts are raised now."""
    db.execute(
        """
        INSERT INTO operator_actions (acted_at, actor, verb, job_id, detail)
        SELECT ?, ?, ?, json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)
        """,
        (now, ACTOR, ALERTED, json.dumps(list(keys))),
    )


def alerted(db: sqlite3.Connection, keys: Iterable[Key]) -> set[Key]:
    """Which of these were raised before, by this daemon or an earlier one."""
    rows = db.execute(
        """
        SELECT DISTINCT job_id, detail FROM json_each(?) AS asked
        CROSS JOIN operator_actions ON job_id IS NOT NULL
            AND job_id = json_extract(asked.value, '$[0]')
        WHERE verb = ? AND detail = json_extract(asked.value, '$[1]')
        """,
        (json.dumps(list(keys)), ALERTED),
    ).fetchall()
    return set(rows)
