"""`operator_actions`: the record of what was done by hand, and of what the daemon notes itself."""

import sqlite3


def record_action(
    db: sqlite3.Connection,
    now: int,
    actor: str,
    verb: str,
    *,
    job_id: int | None = None,
    detail: str | None = None,
) -> None:
    """Who did what, when."""
    db.execute(
        """INSERT INTO operator_actions (acted_at, actor, verb, job_id, detail)
        VALUES (?, ?, ?, ?, ?)""",
        (now, actor, verb, job_id, detail),
    )
