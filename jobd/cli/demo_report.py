"""What the demo found at the end, checked against the files themselves, and how it is told."""

import ast
import contextlib
import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jobd import clock
from jobd.core.lifecycle import JobStatus
from jobd.log import escape
from jobd.store import reading
from jobd.store.opening import open_database
from jobd.store.reading import Record

SHOWN = 10


@dataclass
class Judgement:
    """Every job against what its file says it should have come to."""

    statuses: Counter[str] = field(default_factory=Counter)
    dead: list[Record] = field(default_factory=list)
    slowest: list[Record] = field(default_factory=list)
    rescued: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.wrong

    @property
    def jobs(self) -> int:
        return sum(self.statuses.values())


def judge(db: Path, log: Path, paths: Mapping[int, str]) -> Judgement:
    """Compare what database and log say with each file, parsed or hashed here again."""
    found = Judgement()
    records = _all_jobs(db)
    lost = set(paths) - set(records)
    found.wrong += [f"job {job_id} is lost ({paths[job_id]})" for job_id in sorted(lost)]
    found.wrong += [f"job {job_id} completed {times} times by the log"
                    for job_id, times in _completions(log).items() if times > 1]
    for job_id, record in records.items():
        found.statuses[record["status"]] += 1
        found.rescued += record["rescue_count"]
        complaint = _complaint(record, Path(paths[job_id]))
        if complaint:
            found.wrong.append(f"job {job_id} {complaint} ({paths[job_id]})")
    found.dead = [r for r in records.values() if r["status"] == JobStatus.DEAD_LETTER]
    completed = [r for r in records.values() if r["status"] == JobStatus.COMPLETED]
    found.slowest = sorted(completed, key=_duration, reverse=True)[:3]
    return found


def _all_jobs(db: Path) -> dict[int, Record]:
    database = open_database(db, now=clock.now_ms())
    try:
        records: dict[int, Record] = {}
        last = None
        while page := reading.jobs(database.connection, limit=1_000, before_id=last):
            records |= {record["id"]: record for record in page}
            last = page[-1]["id"]
        return dict(sorted(records.items()))
    finally:
        database.close()


def _completions(log: Path) -> Counter[int]:
    """How often each job completed, by the log; a killed daemon may not have logged its last."""
    times: Counter[int] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        if '"event": "job.completed"' in line:
            with contextlib.suppress(ValueError):
                times[json.loads(line)["job_id"]] += 1
    return times


def _complaint(record: Record, path: Path) -> str | None:
    if record["status"] == JobStatus.COMPLETED:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        told = json.loads(record["result"])["sha256"]
        return None if told == digest else "has the wrong digest"
    if record["status"] == JobStatus.DEAD_LETTER:
        if record["failure_type"] != "validation":
            return f"is dead_letter as {record['failure_type']}: {record['error_message']}"
        return "is dead_letter, but its file parses" if _parses(path) else None
    return f"is {record['status']}"


def _parses(path: Path) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            return False
    return True


def print_report(
    found: Judgement, db: Path, log: Path, seconds: float, killed: int
) -> None:
    """The closing table, and what to type next."""
    print()
    for status, count in found.statuses.most_common():
        print(f"  {status:<12} {count:>6}")
    print(f"\n{found.jobs} jobs in {seconds:.1f} s, {found.jobs / seconds:.0f} jobs/s; "
          f"the daemon was killed {killed} time(s), {found.rescued} job(s) were rescued")
    _print_dead(found.dead)
    if found.slowest:
        slowest = ", ".join(
            f"{Path(json.loads(r['payload'])['path']).name} {_duration(r)} ms"
            for r in found.slowest
        )
        print(f"slowest: {escape(slowest)}")
    for sentence in found.wrong[:SHOWN]:
        print(f"WRONG: {escape(sentence)}")
    if found.good:
        print("every job ended where it should: none lost, none twice, each result checked")
    print(f"\ndatabase {db}\nlog      {log}\n\nlook around:")
    for words in ("status", "list --status dead_letter", "show 1", "explain 1"):
        print(f"  jobd --db {db} {words}")


def _print_dead(dead: list[Record]) -> None:
    if not dead:
        return
    print(f"\n{len(dead)} dead letters, each a file that Python itself cannot parse:")
    for record in dead[:SHOWN]:
        name = Path(json.loads(record["payload"])["path"]).name
        message = (record["error_message"] or "").splitlines()[0][:60]
        print(f"  job {record['id']:<6} {escape(name):<34} {record['failure_type']}: "
              f"{escape(message)}")
    if len(dead) > SHOWN:
        print(f"  … and {len(dead) - SHOWN} more")


def _duration(record: Record) -> int:
    """From claim to completion, in ms."""
    return int(record["completed_at"] - (record["started_at"] or record["completed_at"]))
