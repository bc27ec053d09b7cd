"""What is measured: each workload with its contenders, and how a run becomes figures."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Options = Mapping[str, Any]

PEERS = ("huey_peer", "litequeue_peer", "persistqueue_peer")


@dataclass(frozen=True)
class Contender:
    """One row of a table: a script of contenders/ under a name, with its options."""

    name: str
    script: str
    options: Options = field(default_factory=dict)

    @property
    def is_peer(self) -> bool:
        return self.script in PEERS


@dataclass(frozen=True)
class Workload:
    """One table. `way` says how a run goes: alone, a drain, or a server beside a producer."""

    name: str
    title: str
    way: str
    operation: str
    figure: str
    contenders: tuple[Contender, ...]
    options: Options
    quick: Options | None = None
    """Smaller options for --quick; None leaves the workload out of it."""
    less_is_better: bool = False


def _jobd(name: str = "jobd", **options: Any) -> Contender:
    return Contender(name, "jobd_peer", options)


RAW = Contender("bare SQLite", "raw")
HUEY = Contender("huey", "huey_peer")
LITEQUEUE = Contender("litequeue (NORMAL)", "litequeue_peer")
PERSISTQUEUE = Contender("persist-queue", "persistqueue_peer")
CROWDS = ("queued", "scheduled", "finished", "paused", "full")
TEN_SECONDS = {"seconds": 10.0}

WORKLOADS = (
    Workload("enqueue", "Enqueue one by one, on disk when the call returns (jobs/s)", "alone",
             "enqueue", "per_s", (_jobd(), RAW, HUEY, PERSISTQUEUE), {"count": 2_000},
             {"count": 300}),
    Workload("enqueue16", "The same from 16 threads (jobs/s)", "alone", "enqueue", "per_s",
             (_jobd("jobd, 16 threads", threads=16), _jobd("jobd, 1 thread")),
             {"count": 4_000}, {"count": 600}),
    Workload("enqueue-normal", 'The same with synchronous = "normal" (jobs/s)', "alone", "enqueue",
             "per_s",
             (_jobd(synchronous="normal"), Contender("bare SQLite", "raw",
                                                     {"synchronous": "normal"}),
              LITEQUEUE, Contender("huey without sync", "huey_peer", {"synchronous": "normal"})),
             {"count": 10_000}, {"count": 1_000}),
    Workload("producers", "The same from 4 processes (jobs/s)", "alone", "producers", "per_s",
             (_jobd(), PERSISTQUEUE, _jobd("jobd, NORMAL", synchronous="normal"), LITEQUEUE),
             {"count": 12_000, "processes": 4}, {"count": 400, "processes": 4}),
    Workload("bulk", "50,000 jobs in one call (jobs/s)", "alone", "bulk", "per_s",
             (_jobd(), RAW), {"count": 50_000}, {"count": 10_000}),
    Workload("drain", "Drain no-op jobs, 4 workers (jobs/s)", "drain", "drain", "per_s",
             (_jobd("jobd, level info"), _jobd("jobd, level warning", level="warning"), RAW,
              *(replace(each, options={"count": 2_000})  # which take minutes for 20,000
                for each in (HUEY, LITEQUEUE, PERSISTQUEUE))),
             {"count": 20_000}, {"count": 2_000}),
    Workload("workers", "The same by number of workers (jobs/s)", "drain", "drain", "per_s",
             (_jobd("4 workers"), _jobd("1 worker", workers=1), _jobd("8 workers", workers=8)),
             {"count": 20_000}),
    Workload("retries", "Jobs that fail the first time, 4 workers (jobs/s)", "drain", "drain",
             "per_s", (_jobd(kind="fails"),
                       Contender("huey", "huey_peer", {"kind": "fails", "count": 2_000})),
             {"count": 10_000}),
    Workload("chain", "A chain in which each job puts in the next (jobs/s)", "drain", "drain",
             "per_s", (_jobd(kind="chains"), _jobd("jobd, current_job().enqueue", kind="follows"),
                       Contender("huey", "huey_peer", {"kind": "chains"})),
             {"count": 2_000}, {"count": 200}),
    Workload("prints", "Jobs that print one line, 4 workers (jobs/s)", "drain", "drain", "per_s",
             (_jobd(kind="prints"), _jobd("jobd, 1 worker", kind="prints", workers=1),
              Contender("huey, which keeps none", "huey_peer", {"kind": "prints"})),
             {"count": 2_000}),
    Workload("queues", "The same by number of queues (jobs/s)", "drain", "drain", "per_s",
             (_jobd("1 queue"), *(_jobd(f"{each:,} queues", queues=each)
                                  for each in (10, 100, 1_000))),
             {"count": 20_000}),
    Workload("burning", "The same beside a handler that computes all the time (jobs/s)", "drain",
             "drain", "per_s", (_jobd(burning=1),), {"count": 20_000}, {"count": 1_000}),
    Workload("sleeping", "Jobs of 5 ms, 16 workers (share of the ideal)", "drain", "drain",
             "share", (_jobd(workers=16, sleep=0.005),
                       Contender("huey", "huey_peer", {"workers": 16, "sleep": 0.005})),
             {"count": 2_000}, {"count": 400}),
    Workload("limits", "Jobs of 20 ms, 32 workers, 50 queues of one at a time (share of the ideal)",
             "drain", "drain", "share",
             (_jobd(workers=32, sleep=0.02, queues=50, concurrency=1),), {"count": 4_000}),
    Workload("pick-up", "From the start of the call to the handler's first line (ms)", "pair",
             "serve", "p50_ms", (_jobd(), _jobd("jobd, NORMAL", synchronous="normal"), HUEY,
                                 LITEQUEUE), {"seconds": 10.0, "pause": 0.05},
             {"seconds": 3.0, "pause": 0.05}, less_is_better=True),
    Workload("busy", "Pick-up beside four handlers that compute (ms)", "pair", "serve", "p50_ms",
             (_jobd(burning=4),), {"seconds": 10.0, "pause": 0.05}, less_is_better=True),
    Workload("mixed", "One process enqueues without pause, 4 workers drain (jobs/s)", "pair",
             "serve", "per_s", (_jobd(), _jobd("jobd, NORMAL", synchronous="normal"), HUEY,
                                LITEQUEUE), TEN_SECONDS, {"seconds": 2.0}),
    Workload("crowds", "Drain beside a crowd of other jobs (jobs/s)", "drain", "drain", "per_s",
             (_jobd("no crowd"), *(_jobd(f"{each} crowd", beside=each) for each in CROWDS)),
             {"count": 5_000, "rows": 1_000_000}, {"count": 1_000, "rows": 5_000}),
    Workload("faces", "`jobd status` on such files, beyond the interpreter's start (ms)", "alone",
             "faces", "status_ms", tuple(_jobd(f"{each} crowd", beside=each) for each in CROWDS),
             {"rows": 1_000_000}, less_is_better=True),
    Workload("idle", "An idle daemon (% of a core)", "alone", "idle", "cpu_percent", (_jobd(),),
             {"seconds": 30.0}, {"seconds": 2.0}, less_is_better=True),
    Workload("memory", "Memory over a long run (MB after all jobs)", "alone", "memory",
             "rss_mb_1000000", (_jobd(),), {"count": 1_000_000}, less_is_better=True),
)
