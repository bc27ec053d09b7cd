"""jobd as its README says: `jobd run` as a process of its own, `jobd.Queue` in the producers."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import crowds
from measure import by_processes, each_timed, main, produced, wait_for

import jobd

HERE = Path(__file__).parent
LINKED = ("chains", "follows")


def queue(directory: str, synchronous: str = "full") -> jobd.Queue:
    return jobd.Queue(Path(directory, "jobd.db"), synchronous=synchronous)


@contextmanager
def daemon(
    directory: str, workers: int = 4, level: str = "info", synchronous: str = "full"
) -> Iterator["subprocess.Popen[bytes]"]:
    """A daemon that has said that it is ready, ended by SIGTERM."""
    log, limits = Path(directory, "jobd.log"), Path(directory, "jobd.limits")
    Path(directory, "jobd.toml").write_text(
        f'synchronous = "{synchronous}"\n[log]\nformat = "json"\nlevel = "{level}"\n'
        f'file = "{log}"\n{limits.read_text() if limits.exists() else ""}'
    )
    argv = [sys.executable, "-m", "jobd", "--config", str(Path(directory, "jobd.toml")),
            "--db", str(Path(directory, "jobd.db")), "run", "--workers", str(workers),
            "--handlers", "jobd_handlers", "--path", str(HERE)]
    process = subprocess.Popen(argv, env={**os.environ, "BENCH_RECORD": directory})
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def enqueue(
    directory: str, count: int, threads: int = 1, synchronous: str = "full"
) -> dict[str, float]:
    with queue(directory, synchronous) as mine:
        mine.enqueue("noop", {"number": -1}, delay=1e6)
        return each_timed(lambda number: mine.enqueue("noop", {"number": number}), count, threads)


def producers(
    directory: str, count: int, processes: int, synchronous: str = "full"
) -> dict[str, float]:
    queue(directory, synchronous).close()

    def opened() -> Callable[[int], object]:
        mine = queue(directory, synchronous)
        return lambda number: mine.enqueue("noop", {"number": number})

    return by_processes(opened, count, processes)


def bulk(directory: str, count: int) -> dict[str, float]:
    payloads = [{"number": number} for number in range(count)]
    with queue(directory) as mine:
        began = time.perf_counter()
        mine.enqueue_many([("noop", each) for each in payloads])
        return {"per_s": count / (time.perf_counter() - began)}


def drain(
    directory: str,
    count: int,
    workers: int = 4,
    level: str = "info",
    sleep: float = 0.0,
    burning: int = 0,
    beside: str = "",
    rows: int = 0,
    batch: bool = False,
    queues: int = 0,
    concurrency: int = 0,
    kind: str = "noop",
) -> dict[str, float]:
    """Drain what is queued beforehand; the outcome lines of the log are counted as well."""
    with queue(directory) as mine:
        if burning:
            mine.enqueue_many([("burns", {})] * burning, priority=1000)
        jobs = [("rests", {"number": n, "sleep": sleep}) if sleep else (kind, {"number": n})
                for n in range(count)]
        if kind in LINKED:
            jobs = [(kind, {"number": 0, "last": count - 1})]
        if batch:
            mine.batch("all", jobs[0][0], (payload for _, payload in jobs))
        if queues:
            jobs = [(*job, {"queue": f"q{n % queues}"}) for n, job in enumerate(jobs)]
        for first in range(0, 0 if batch else len(jobs), 50_000):
            mine.enqueue_many(jobs[first : first + 50_000])
    if concurrency:
        Path(directory, "jobd.limits").write_text("".join(
            f"[queues.q{n}]\nconcurrency = {concurrency}\n" for n in range(queues)))
    if beside:
        crowds.CROWDS[beside](Path(directory, "jobd.db"), rows)
    with daemon(directory, workers + burning + (beside == "full"), level) as process:
        wait_for(directory, count, 300)
        rss = resident(process.pid)
    found = {"rss_mb": rss}
    if level == "info":
        text = Path(directory, "jobd.log").read_bytes()
        found["outcomes_logged"] = float(text.count(b'"event": "job.completed"'))
    return found


def faces(directory: str, beside: str, rows: int, repeat: int = 5) -> dict[str, float]:
    """Seconds of `jobd status` and `jobd list` on a large file, beyond the interpreter's start."""
    queue(directory).close()
    path = Path(directory, "jobd.db")
    crowds.CROWDS[beside](path, rows)
    bare = min(_timed([sys.executable, "-c", "pass"]) for _ in range(repeat))
    verbs = {"status_ms": ["status"], "list_ms": ["list"]}
    return {
        name: 1000 * (min(_timed([sys.executable, "-m", "jobd", "--db", str(path), *words])
                          for _ in range(repeat)) - bare)
        for name, words in verbs.items()
    }


def _timed(argv: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def memory(directory: str, count: int) -> dict[str, float]:
    """MB in use after a hundredth, a tenth and all of so many jobs."""
    with queue(directory) as mine, daemon(directory, level="warning") as process:
        found = {}
        for number in range(0, count, 10_000):
            mine.enqueue_many([("noop", {"number": n}) for n in range(number, number + 10_000)])
            wait_for(directory, number + 10_000, 300)
            if number + 10_000 in (count // 100, count // 10, count):
                found[f"rss_mb_{number + 10_000}"] = resident(process.pid)
    return found


def resident(pid: int) -> float:
    """MB of memory that the process has in use."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def serve(
    directory: str, workers: int = 4, synchronous: str = "full", burning: int = 0
) -> dict[str, float]:
    """Work until killed."""
    with queue(directory) as mine:
        if burning:
            mine.enqueue_many([("burns", {})] * burning)
    with daemon(directory, workers + burning, synchronous=synchronous) as process:
        log = Path(directory, "jobd.log")
        while not log.exists() or b"daemon.ready" not in log.read_bytes():
            time.sleep(0.05)
        Path(directory, "ready").touch()
        process.wait()
    return {}


def produce(
    directory: str, seconds: float, pause: float = 0.0, synchronous: str = "full"
) -> dict[str, float]:
    """Enqueue for so long, in another process than `serve`."""
    with queue(directory, synchronous) as mine:
        return produced(lambda n: mine.enqueue("noop", {"number": n}), directory, seconds, pause)


def idle(directory: str, seconds: float) -> dict[str, float]:
    """What a daemon with nothing to do costs."""
    def ticks(pid: int) -> int:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(words[11]) + int(words[12])

    queue(directory).close()
    with daemon(directory) as process:
        log = Path(directory, "jobd.log")
        while not log.exists() or b"daemon.ready" not in log.read_bytes():
            time.sleep(0.05)
        time.sleep(1)
        before = ticks(process.pid)
        time.sleep(seconds)
        used = (ticks(process.pid) - before) / os.sysconf("SC_CLK_TCK")
        return {"cpu_percent": 100 * used / seconds, "rss_mb": resident(process.pid)}


main({"enqueue": enqueue, "producers": producers, "bulk": bulk, "drain": drain, "serve": serve,
      "produce": produce, "idle": idle, "faces": faces, "memory": memory})
