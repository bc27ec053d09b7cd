"""Which jobs may run now, and taking them: a constant number of statements for any number of jobs.

`ready` is 1 exactly for rows that may be claimed. Rows that wait for a time have `due_at` and are
promoted when it comes; rows whose job type has no handler have neither and wait for a daemon that
has one. So a claim never walks over jobs that it cannot take. Items of batches are never `ready`:
they are claimed by what their batch says (`store/batch_feed.py`).
"""

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence

from jobd.core.claiming import SUSPECT
from jobd.core.job import Claimed, Job, jobs_of
from jobd.core.lifecycle import CLAIM
from jobd.store.reading import MANY, Record, records
from jobd.store.verbs import UNCOMMON, WITHOUT_HANDLER, quoted

PROMOTED_AT_ONCE = 1_000


_OPEN_QUEUES = """
    WITH RECURSIVE named(name) AS (
        -- A queue that is NULL, by another hand, must not hide the rest.
        SELECT min(queue) FROM job_queue WHERE ready = 1 AND queue >= ''
        UNION ALL
        SELECT (SELECT min(queue) FROM job_queue WHERE ready = 1 AND queue > named.name)
        FROM named WHERE named.name IS NOT NULL
    ),
    open_queue(name) AS (
        SELECT name FROM named
        WHERE name IS NOT NULL
            AND name NOT IN (SELECT key FROM json_each(:room) WHERE value <= 0)
            AND NOT EXISTS (
                SELECT 1 FROM queues WHERE queues.name = named.name AND paused_at IS NOT NULL
            )
    )
"""

SHORT_PAYLOAD = 4_096
ATTEMPTS_COUNTED = 20
"""Of a job with more, whose counters an operator's retry has set back, they are not counted."""
_EXPRESSIONS = {
    "attempt": "head.attempt + 1",
    "payload": f"CASE WHEN length(head.payload) <= {SHORT_PAYLOAD} THEN head.payload ELSE '' END",
    "bufferable": f"""CASE WHEN head.rescue_count > 0 THEN 0
        WHEN head.attempt = head.retry_count + head.snooze_count THEN 1
        WHEN head.attempt > {ATTEMPTS_COUNTED} THEN 0
        ELSE head.attempt = (
            SELECT count(*) FROM job_attempts AS kept
            WHERE kept.job_id = head.id AND kept.ended_at IS NOT NULL
                AND kept.failure_type IS NOT 'worker_lost'
        ) END""",
    "ready_at": """CASE WHEN head.attempt = 0
        THEN max(head.created_at, coalesce(head.scheduled_at, 0))
        ELSE coalesce(head.next_retry_at, head.scheduled_at) END""",
}
# Always so, unless another hand wrote the row: it must not stand in front of the line for ever.
CLAIMABLE = f"""execution_over = 1 AND attempt BETWEEN 0 AND 1000000000
    AND status IN ({quoted(CLAIM.sources)})"""
HEAD = ", ".join(_EXPRESSIONS.get(column, f"head.{column}") for column in Job._fields)
READ = ", ".join(
    (*Job._fields[:-2], "snooze_count", "created_at", "scheduled_at", "next_retry_at")
)
"""The columns of which `HEAD` is made: a subquery with a limit copies all that it names."""
_WAITS = f"SELECT id FROM job_queue WHERE ready = 1 AND {CLAIMABLE}"
_IN_ONE_QUEUE = f"""
    SELECT json_group_array(json_array({HEAD})) FROM (
        SELECT {READ} FROM job_queue
        WHERE ready = 1 AND queue = json_extract(names, '$[0]') AND {CLAIMABLE}
        ORDER BY priority DESC, id LIMIT :limit
    ) AS head
"""
# The line begins with the first job of each queue, and whoever leaves it lets in the next of his
# queue, if that has room: no more is read than is wanted. Suspects take no room, for they may be
# passed over. SQLite takes the rows of a recursion out in the order asked for
# (sqlite.org/lang_with.html).
_IN_LINE = f"""
    {_OPEN_QUEUES},
    line(id, queue, priority, room) AS (
        SELECT id, queue, priority,
            coalesce((SELECT value FROM json_each(:room) WHERE key = queue), :limit)
                - (rescue_count < {SUSPECT})
        FROM open_queue CROSS JOIN job_queue ON id = (
            {_WAITS} AND queue = open_queue.name ORDER BY priority DESC, id LIMIT 1
        )
        UNION ALL
        SELECT next.id, next.queue, next.priority, room - (next.rescue_count < {SUSPECT})
        FROM line CROSS JOIN job_queue AS next ON room > 0 AND next.id = coalesce(
            ({_WAITS} AND queue = line.queue AND priority = line.priority AND id > line.id
                ORDER BY id LIMIT 1),
            ({_WAITS} AND queue = line.queue AND priority < line.priority
                ORDER BY priority DESC, id LIMIT 1)
        )
        ORDER BY 3 DESC, 1 LIMIT :limit
    )
    SELECT json_group_array(json_array({HEAD}))
    FROM line CROSS JOIN job_queue AS head ON head.id = line.id
"""
# Of a single queue the index alone has the order, so nothing is sorted; unless it has room for few.
# One value with all of them: each step of a statement gives the interpreter's lock away, and a
# busy handler keeps it for milliseconds.
_HEADS = f"""
    {_OPEN_QUEUES}, first(names) AS MATERIALIZED (
        SELECT json_group_array(name) FROM (SELECT name FROM open_queue LIMIT 2)
    )
    SELECT CASE
        WHEN names = '[]' THEN names
        WHEN json_array_length(names) = 1 AND coalesce((
            SELECT 2 * value >= :limit FROM json_each(:room) WHERE key = json_extract(names, '$[0]')
        ), 1) THEN ({_IN_ONE_QUEUE})
        ELSE ({_IN_LINE})
    END FROM first
"""

_CLAIM = f"""
    UPDATE job_queue SET
        status = '{CLAIM.target}', attempt = attempt + 1, worker_id = :worker_id,
        claimed_at = :now, started_at = :started_at, completed_at = NULL,
        ready = 0, due_at = NULL, execution_over = 0
    WHERE id IN (SELECT value FROM json_each(:chosen)) AND (+ready = 1 OR batch_id IS NOT NULL)
        AND execution_over = 1 AND status IN ({quoted(CLAIM.sources)})
"""
_TAKEN = f"""
    SELECT j.id FROM json_each(:chosen) AS head JOIN job_queue AS j
        ON j.id = json_extract(head.value, '$[0]')
    WHERE j.attempt = json_extract(head.value, '$[1]') AND j.worker_id = :worker_id
        AND j.claimed_at = :now AND j.status = '{CLAIM.target}'
"""


def heads(db: sqlite3.Connection, limit: int, room: Mapping[str, int]) -> list[Job]:
    """Up to `limit` jobs that may be claimed now, best first, of queues that are not paused.

    Of a queue that has `room` for so many only these are found, and suspects between them; of the
    only queue perhaps more, when that is half of `limit` or above.
    """
    values = {"limit": limit, "room": json.dumps(dict(room))}
    return jobs_of(db.execute(_HEADS, values).fetchone()[0])


def claim(
    db: sqlite3.Connection,
    direct: Sequence[Job],
    buffered: Sequence[Job],
    worker_id: str,
    now: int,
) -> Claimed:
    """Take these jobs for `worker_id`; those in `direct` count as started at once.

    Returns what was really taken.
    """
    started = _take(db, direct, worker_id, now, now)
    waiting = _take(db, buffered, worker_id, now, None)
    return Claimed([*started, *waiting], len(started), now)


def _take(
    db: sqlite3.Connection, chosen: Sequence[Job], worker_id: str, now: int, started_at: int | None
) -> Sequence[Job]:
    if not chosen:
        return chosen
    values = {"chosen": json.dumps([job.id for job in chosen]), "worker_id": worker_id,
              "now": now, "started_at": started_at}
    if db.execute(_CLAIM, values).rowcount != len(chosen):
        pairs = json.dumps([(job.id, job.attempt) for job in chosen])
        ids = {job_id for (job_id,) in db.execute(_TAKEN, values | {"chosen": pairs})}
        chosen = [job for job in chosen if job.id in ids]
    long = _long_payloads(db, [job.id for job in chosen if not job.payload])
    if not long:
        return chosen
    return [job._replace(payload=long.get(job.id, job.payload)) for job in chosen]


def _long_payloads(db: sqlite3.Connection, ids: Sequence[int]) -> dict[int, str]:
    if not ids:
        return {}
    return dict(db.execute(
        "SELECT id, payload FROM job_queue WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(ids),),
    ).fetchall())


def promote_due(db: sqlite3.Connection, now: int) -> int:
    """Let up to 1,000 rows be claimed whose time has come: `ready`, unless they are items; returns
    how many."""
    rows = db.execute(
        """
        UPDATE job_queue SET ready = batch_id IS NULL, due_at = NULL WHERE id IN (
            SELECT id FROM job_queue WHERE ready = 0 AND due_at <= ?
                AND status IN ('pending', 'retrying')
            ORDER BY due_at LIMIT ?
        ) RETURNING id
        """,
        (now, PROMOTED_AT_ONCE),
    ).fetchall()
    return len(rows)


def set_aside_without_handler(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Take jobs whose type nobody here can run out of the line, without changing their status."""
    db.execute(
        """UPDATE job_queue SET ready = 0
        WHERE ready = 1 AND id IN (SELECT value FROM json_each(?))""",
        (json.dumps(list(ids)),),
    )


def bring_back_handled(db: sqlite3.Connection, job_types: Collection[str]) -> int:
    """Put jobs back in line whose type has a handler now; returns how many."""
    rows = db.execute(
        f"""
        UPDATE job_queue SET ready = 1
        WHERE {WITHOUT_HANDLER} AND job_type IN (SELECT value FROM json_each(?))
        RETURNING id
        """,
        (json.dumps(list(job_types)),),
    ).fetchall()
    return len(rows)


def executing_by_queue(db: sqlite3.Connection) -> dict[str, int]:
    """How many executions of each queue are not over, zombies included."""
    return dict(
        db.execute("SELECT queue, count(*) FROM job_queue WHERE execution_over = 0 GROUP BY queue")
    )


def clamp_retries(db: sqlite3.Connection, now: int) -> int:
    """After a step of the wall clock: no retry waits longer than its own delay from now."""
    rows = db.execute(
        f"""
        UPDATE job_queue SET next_retry_at = :now + retry_delay_ms, due_at = :now + retry_delay_ms
        WHERE {UNCOMMON} AND status = 'retrying'
            AND ready = 0 AND due_at > :now + retry_delay_ms
        RETURNING id
        """,
        {"now": now},
    ).fetchall()
    return len(rows)


DEPTH_COUNTED = 100_000
READY_SINCE = "max(created_at, coalesce(scheduled_at, 0), coalesce(next_retry_at, 0))"
"""Since when a ready job might have run."""


def depth(db: sqlite3.Connection) -> tuple[int, int | None]:
    """How many jobs are ready (counted up to 100,000), and since when the oldest head is."""
    counted = db.execute(
        "SELECT count(*) FROM (SELECT 1 FROM job_queue WHERE ready = 1 LIMIT ?)", (DEPTH_COUNTED,)
    ).fetchone()[0]
    oldest = db.execute(
        f"""
        {_OPEN_QUEUES}
        SELECT min((
            SELECT {READY_SINCE} FROM job_queue WHERE ready = 1 AND queue = open_queue.name
            ORDER BY priority DESC, id LIMIT 1
        )) FROM open_queue
        """,
        {"room": "{}"},
    ).fetchone()[0]
    return counted, oldest


def next_in_line(db: sqlite3.Connection) -> list[Record]:
    """The next job of each queue that is not paused: queue, id, job_type, and `ready_since`."""
    return records(
        db,
        f"""
        {_OPEN_QUEUES}
        SELECT queue, id, job_type, {READY_SINCE} AS ready_since
        FROM open_queue CROSS JOIN job_queue ON id = (
            SELECT id FROM job_queue WHERE ready = 1 AND queue = open_queue.name
            ORDER BY priority DESC, id LIMIT 1
        ) LIMIT {MANY}
        """,
        {"room": "{}"},
    )
