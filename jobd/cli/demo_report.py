"""What the demo found at the end, checked job by job, and how it is told."""

import contextlib
import json
import os
import shlex
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jobd import clock
from jobd.cli.demo_daemon import Deaths
from jobd.cli.demo_jobs import Planned
from jobd.cli.demo_screen import can_print
from jobd.cli.demo_stage import Stage
from jobd.cli.table import print_table, printable
from jobd.core.lifecycle import COMPLETED, DEAD_LETTER, JobStatus
from jobd.store import reading
from jobd.store.opening import open_database
from jobd.store.reading import Record

SHOWN = 10
SLOWEST = 5


@dataclass
class Judgement:
    """Every job beside what it should have come to."""

    jobs: dict[int, Record] = field(default_factory=dict)
    plan: Mapping[int, Planned] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    deaths: Deaths = field(default_factory=Deaths)

    @property
    def good(self) -> bool:
        return not self.wrong

    def in_status(self, status: JobStatus) -> list[Record]:
        return [job for job in self.jobs.values() if job["status"] == status]


def judge(db: Path, log: Path, plan: Mapping[int, Planned], deaths: Deaths) -> Judgement:
    """Compare what database and log say with what each job was made for."""
    found = Judgement(plan=plan, deaths=deaths)
    if deaths.by_job != 1:
        found.wrong.append(f"its job killed the daemon {deaths.by_job} times, not once")
    found.wrong += [f"job {job_id} completed {times} times by the log"
                    for job_id, times in _completions(log).items() if times > 1]
    database = open_database(db, now=clock.now_ms())
    try:
        for job_id, each in plan.items():
            job = reading.job(database.connection, job_id)
            if job is None:
                found.wrong.append(f"job {job_id} is lost ({each.title})")
                continue
            found.jobs[job_id] = job
            complaint = each.check(job, reading.attempts(database.connection, job_id))
            if complaint:
                found.wrong.append(f"job {job_id} {complaint} ({each.title})")
    finally:
        database.close()
    return found


def _completions(log: Path) -> Counter[int]:
    """How often each job completed, by the log; a killed daemon may not have logged its last."""
    times: Counter[int] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        if '"event": "job.completed"' in line:
            with contextlib.suppress(ValueError):
                times[json.loads(line)["job_id"]] += 1
    return times


def print_report(found: Judgement, seconds: float) -> None:
    """The closing tables."""
    counts = Counter(job["status"] for job in found.jobs.values())
    rescued = sum(job["rescue_count"] for job in found.jobs.values())
    print()
    print_table([{"status": status, "jobs": count} for status, count in counts.most_common()],
                ["status", "jobs"])
    print(f"\n{len(found.jobs)} jobs in {seconds:.1f} s: {len(found.jobs) / seconds:.0f} jobs/s, "
          f"{_kills(found.deaths)} included; {rescued} rescued")
    _print_trouble(found)
    _print_dead(found)
    _print_slowest(found)
    for sentence in found.wrong[:SHOWN]:
        print(f"WRONG: {printable(sentence)}")
    if len(found.wrong) > SHOWN:
        print(f"WRONG: … and {len(found.wrong) - SHOWN} more")
    if found.good:
        print("\nevery job ended where it should: none lost, none twice, each result checked")


def _kills(deaths: Deaths) -> str:
    if not deaths.by_others:
        return "one SIGKILL of the daemon"
    return (f"{deaths.number} SIGKILLs of the daemon, {deaths.by_job} by its job and "
            f"{deaths.by_others} by somebody else,")


def _print_trouble(found: Judgement) -> None:
    print("\nmade for trouble:")
    rows = [
        {"id": job_id, "job": each.title, "attempts": found.jobs[job_id]["attempt"],
         "status": found.jobs[job_id]["status"]}
        for job_id, each in found.plan.items() if each.trouble and job_id in found.jobs
    ]
    print_table(rows, ["id", "job", "attempts", "status"])


def _print_dead(found: Judgement) -> None:
    dead = found.in_status(DEAD_LETTER)
    rows = [
        {"id": job["id"], "job": found.plan[job["id"]].title,
         "failure_type": job["failure_type"],
         "reason": (job["error_message"] or "").partition("\n")[0]}
        for job in dead[:SHOWN]
    ]
    print(f"\ndead letters, parked for a person ({len(dead)}; most are files that Python's own "
          f"tests keep broken):")
    print_table(rows, ["id", "job", "failure_type", "reason"])
    if len(dead) > SHOWN:
        print(f"… and {len(dead) - SHOWN} more")


def _print_slowest(found: Judgement) -> None:
    slowest = sorted(found.in_status(COMPLETED), key=_duration, reverse=True)[:SLOWEST]
    rows = [{"id": job["id"], "job": found.plan[job["id"]].title, "ms": _duration(job)}
            for job in slowest]
    print("\nslowest:")
    print_table(rows, ["id", "job", "ms"])


def _duration(job: Record) -> int:
    """How long its last attempt took, in ms."""
    return int(job["completed_at"] - (job["started_at"] or job["completed_at"]))


def print_next(found: Judgement, stage: Stage) -> None:
    """Where everything is, and what to type to look around."""
    def one(status: JobStatus) -> int:
        return next((job["id"] for job in found.in_status(status)), 1)

    dead, completed = one(DEAD_LETTER), one(COMPLETED)
    command = f"{_program()} --db {shell_word(str(stage.db))}"
    print(f"\ndatabase {stage.db}\nlog      {stage.log}\n\nlook around:")
    for words in ("status", "list --status dead_letter", f"explain {dead}",
                  f"history {completed}", f"show {completed}"):
        print(f"  {command} {words}")
    files = " ".join(shell_word(str(each)) for each in stage.own_files())
    print(f"and to remove it all:\n  rm -r {files}")


def _program() -> str:
    """How this program was called, so that what is printed can be typed."""
    if os.path.basename(sys.argv[0]) == "jobd":
        return shell_word(sys.argv[0])
    return f"{shell_word(sys.executable)} -m jobd"


def shell_word(text: str) -> str:
    """`text` as a shell reads it back, in letters that this output has; $'…' where it must be."""
    quoted = shlex.quote(text)
    if quoted.isprintable() and can_print(quoted):
        return quoted
    return "$'" + "".join(map(_escaped, os.fsencode(text))) + "'"


def _escaped(byte: int) -> str:
    letter = chr(byte)
    plain = letter.isascii() and letter.isprintable() and letter not in "'\\"
    return letter if plain else f"\\{byte:03o}"
