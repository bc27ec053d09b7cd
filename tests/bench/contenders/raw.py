"""What SQLite itself allows from Python: the bare statements that any queue has to make, and a
group-commit loop around a thread pool with none of a product's duties.
"""

import json
import queue
import sqlite3
import threading
import time
from collections import deque
from pathlib import Path

from measure import Record, each_timed, main

SCHEMA = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, job_type TEXT NOT NULL, payload TEXT NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0, state INTEGER NOT NULL DEFAULT 0,
    result TEXT, created_at INTEGER NOT NULL) STRICT;
CREATE INDEX ready ON jobs (priority DESC, id) WHERE state = 0;
"""
INSERT = "INSERT INTO jobs (job_type, payload, created_at) VALUES ('noop', ?, ?)"
CLAIM = """
    UPDATE jobs SET state = 1
    WHERE id IN (SELECT id FROM jobs WHERE state = 0 ORDER BY priority DESC, id LIMIT ?)
    RETURNING id, payload
"""
DONE = "UPDATE jobs SET state = 2, result = 'null' WHERE id IN (SELECT value FROM json_each(?))"
BATCH = 256


def connect(directory: str, synchronous: str) -> sqlite3.Connection:
    path = Path(directory, "raw.db")
    new = not path.exists()
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {synchronous.upper()}")
    if new:
        db.executescript(SCHEMA)
    return db


def enqueue(directory: str, count: int, synchronous: str = "full") -> dict[str, float]:
    db = connect(directory, synchronous)

    def one(number: int) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.execute(INSERT, (json.dumps({"number": number}), time.time_ns() // 1_000_000))
        db.execute("COMMIT")

    return each_timed(one, count)


def bulk(directory: str, count: int) -> dict[str, float]:
    db = connect(directory, "full")
    payloads = [{"number": number} for number in range(count)]
    began = time.perf_counter()
    now = time.time_ns() // 1_000_000
    db.execute("BEGIN IMMEDIATE")
    db.executemany(INSERT, [(json.dumps(each), now) for each in payloads])
    db.execute("COMMIT")
    return {"per_s": count / (time.perf_counter() - began)}


def drain(directory: str, count: int, workers: int = 4) -> dict[str, float]:
    """The ceiling: one thread commits what is done and claims more, the others run it."""
    bulk(directory, count)
    db, record = connect(directory, "full"), Record(directory)
    inbox: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
    finished: deque[int] = deque()
    low = threading.Event()

    def work() -> None:
        while True:
            job_id, payload = inbox.get()
            record.ran(json.loads(payload)["number"])
            finished.append(job_id)
            if inbox.qsize() < BATCH // 2:
                low.set()

    for _ in range(workers):
        threading.Thread(target=work, daemon=True).start()
    done = 0
    while done < count:
        ids = [finished.popleft() for _ in range(len(finished))]
        db.execute("BEGIN IMMEDIATE")
        if ids:
            db.execute(DONE, (json.dumps(ids),))
        claimed = db.execute(CLAIM, (max(BATCH - inbox.qsize(), 0),)).fetchall()
        db.execute("COMMIT")
        done += len(ids)
        for each in claimed:
            inbox.put(each)
        if not finished:
            low.wait(0.002)
            low.clear()
    return {}


main({"enqueue": enqueue, "bulk": bulk, "drain": drain})
