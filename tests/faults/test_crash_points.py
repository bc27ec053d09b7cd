"""SIGKILL at every step boundary of the daemon's writes: nothing lost, nothing charged wrongly.

Each run begins with the same four jobs, one of them lost with an earlier daemon, and dies at one
crash point. The daemon after it may be killed while it recovers; the last one goes on to the end.
"""

from collections import Counter
from itertools import cycle
from pathlib import Path

import jobd
from tests.daemon.harness import House, Span, overlaps
from tests.faults.walk import KILLED, WIDE, Run, Walker, keep, names, walk, walkers

HANDLERS = """
import json

@job("fails_once")
def fails_once():
    if first_time("failed"):
        raise jobd.Retry(after=0.01)

@job("keeps")
def keeps():
    me = jobd.current_job()
    note("saw", json.dumps((me.last_checkpoint or {}).get("kept", 0)))
    me.checkpoint({"kept": me.attempt})
    note("kept")
    me.enqueue("quick")

@job("last_straw")
def last_straw():
    if first_time("broken"):
        os.kill(os.getpid(), signal.SIGKILL)
"""

QUICK_RESCUE = {
    "retry.worker_lost.initial_delay": "5ms", "retry.worker_lost.backoff": "fixed",
    "retry.worker_lost.jitter": 0, "timing.heartbeat": "60s",
}

BOUNDARIES = {
    "before the transaction", "before BEGIN IMMEDIATE", "before UPDATE job_queue", "before COMMIT",
    "after COMMIT", "before hand-over", "after hand-over", "before its outcome is queued",
    "after its outcome is queued", "before it is logged", "after it is logged",
    "before the log is moved", "before PRAGMA wal_checkpoint(PASSIVE)", "after the log is moved",
}


def prepare(walker: Walker, target: Path) -> tuple[Path, list[int]]:
    """Four jobs, one of which is still `running` by a daemon that it has killed."""
    house = walker.house
    ids = [house.enqueue("last_straw")]
    assert walker.daemon().status == KILLED
    assert house.status(ids[0]) == "running"
    ids += [house.enqueue(name) for name in ("fails_once", "keeps", "quick")]
    return keep(walker, target), ids


def check(walker: Walker, ids: list[int], runs: list[Run]) -> None:
    """What must hold whenever the daemons died."""
    house = walker.house
    jobs = {row["id"]: row for row in house.rows("SELECT * FROM job_queue")}
    child = set(jobs) - set(ids)
    assert len(child) == 1, "the child comes with the completion of its parent, once"
    assert {row["status"] for row in jobs.values()} == {"completed"}
    assert {row["execution_over"] for row in jobs.values()} == {1}
    for row in jobs.values():
        check_attempts(house, row["id"], dict(row))
    deaths = {run.pid: run.at for run in runs}
    early = [span for span in house.spans() if span.pid in deaths]
    assert overlaps(early, deaths) == []
    completed = Counter(line["job_id"] for line in walker.log() if line["event"] == "job.completed")
    assert max(completed.values(), default=1) == 1
    check_checkpoints(house)
    assert [tuple(row) for row in house.rows("PRAGMA integrity_check")] == [("ok",)]
    assert house.rows("PRAGMA foreign_key_check") == []
    told = [line["event"] for line in walker.log() if line["level"] == "error"]
    assert told == [], walker.said()
    assert "Traceback" not in walker.output("err")


def check_attempts(house: House, job_id: int, job: dict[str, int]) -> None:
    """Each attempt is accounted for: completed, failed, rescued, or never begun and uncharged.

    One that waited in the buffer may have begun a moment before that was written.
    """
    outcomes = Counter(row["outcome"] for row in house.attempts(job_id))
    lost = [row["attempt"] for row in house.attempts(job_id)
            if row["failure_type"] == "worker_lost"]
    failed = [row["attempt"] for row in house.attempts(job_id)
              if row["failure_type"] == "unknown"]
    assert job["rescue_count"] == len(lost)
    assert job["retry_count"] == len(failed)
    begun = {span.attempt for span in house.spans(job_id)}
    charged = {*lost, *failed, job["attempt"]}
    uncharged = [span for span in house.spans(job_id) if span.attempt not in charged]
    assert all(may_have_been_buffered(house, span) for span in uncharged), uncharged
    assert job["attempt"] in begun
    assert max(begun) == job["attempt"]
    assert set(outcomes) <= {"retrying", "zombie"}, outcomes


def may_have_been_buffered(house: House, span: Span) -> bool:
    """One is whose job never ran, or only failed by itself before; and only in a daemon that has
    ended others before it."""
    failed = {row["attempt"] for row in house.attempts(span.job_id)
              if row["failure_type"] == "unknown"}
    return failed.issuperset(range(1, span.attempt)) and any(
        other.pid == span.pid and other.ended is not None and other.ended <= span.began
        for other in house.spans()
    )


def check_checkpoints(house: House) -> None:
    """What `checkpoint` had returned for is what every later attempt sees."""
    kept = 0
    for kind, _job, attempt, _pid, _at, *how in house.notes():
        if kind == "kept":
            kept = int(attempt)
        elif kind == "saw":
            assert int(how[0]) >= kept


RECOVERY = [
    "before the transaction 0", "before BEGIN IMMEDIATE 0", "before UPDATE job_queue 1",
    "before COMMIT 0", "after COMMIT 0", "after hand-over 0", "before the log is moved 0",
]


def test_a_daemon_killed_at_any_step_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Killed at each of its crash points, and often the next one too, while it recovers."""
    with walkers(tmp_path, HANDLERS, **QUICK_RESCUE) as made:
        begin, ids = prepare(made[0], tmp_path / "begin")
        again, turn = cycle(RECOVERY), cycle(range(3))

        def one(walker: Walker, point: str) -> Run:
            walker.begin_with(begin)
            first = walker.daemon(fatal=point)
            runs = [first]
            if first.status == KILLED and (WIDE or next(turn) == 0):
                runs.append(walker.daemon(fatal=next(again)))
            if first.status == KILLED:
                runs.append(walker.clean())
            check(walker, ids, runs)
            return first

        died = walk(made, one)
    assert names(died) >= BOUNDARIES
    print(f"\n{len(died)} crash points")


ALONE = "exec 9>lock; flock -n 9 || echo overlap >> said; echo ran >> said; sleep 0.1; true"


def test_a_daemon_killed_around_its_program_never_runs_it_twice_at_once(tmp_path: Path) -> None:
    """Before it is started, once it runs, at its end, before it is reaped: the rescue ends it."""
    with walkers(tmp_path, "", **QUICK_RESCUE) as made:
        made[0].house.cli("exec", "--cwd", str(tmp_path), "--", "true")
        begin = keep(made[0], tmp_path / "begin")

        def one(walker: Walker, point: str) -> Run:
            walker.begin_with(begin)
            house = walker.house
            with jobd.Queue(house.db) as queue:
                queue.enqueue("exec", {"argv": ["sh", "-c", ALONE], "cwd": str(house.root)})
            first = walker.daemon(fatal=point)
            if first.status == KILLED:
                walker.clean()
            jobs = house.rows("SELECT status, attempt, rescue_count FROM job_queue ORDER BY id")
            assert [job["status"] for job in jobs] == ["completed", "completed"], walker.said()
            assert all(job["attempt"] == job["rescue_count"] + 1 for job in jobs)
            said = (house.root / "said").read_text().split()
            assert set(said) == {"ran"}
            assert len(said) <= jobs[1]["attempt"]
            return first

        died = walk(made, one, only="its program")
    assert names(died) == {"before its program", "after its program",
                           "after the end of its program", "after its program is reaped"}
