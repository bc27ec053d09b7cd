"""What every contender shares: a record of what ran, latencies, and the answer as JSON."""

import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path


class Record:
    """Who ran when, one write() a job, so that the truth comes from the handlers themselves."""

    def __init__(self, directory: str) -> None:
        path = Path(directory, "ran")
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def ran(self, number: int) -> None:
        os.write(self._descriptor, b"%d %d\n" % (number, time.monotonic_ns()))


def read_record(directory: str) -> list[tuple[int, int]]:
    """(number, ns) of every run so far."""
    path = Path(directory, "ran")
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines()
    return [(int(number), int(at)) for number, at in (line.split() for line in lines)]


def wait_for(directory: str, count: int, seconds: float) -> None:
    """Until so many jobs ran; raises TimeoutError."""
    path, deadline = Path(directory, "ran"), time.monotonic() + seconds
    while time.monotonic() < deadline:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.05)
    raise TimeoutError(f"{len(read_record(directory))} of {count} jobs ran in {seconds} s")


def each_timed(call: Callable[[int], object], count: int, threads: int = 1) -> dict[str, float]:
    """`call(n)` for each n below `count`, shared among threads: rate and latencies."""
    spent: list[list[float]] = [[] for _ in range(threads)]

    def work(part: int) -> None:
        for number in range(part, count, threads):
            began = time.perf_counter()
            call(number)
            spent[part].append(time.perf_counter() - began)

    began = time.perf_counter()
    if threads == 1:
        work(0)
    else:
        pool = [threading.Thread(target=work, args=(part,)) for part in range(threads)]
        for each in pool:
            each.start()
        for each in pool:
            each.join()
    seconds = time.perf_counter() - began
    return {"per_s": count / seconds, **latencies([each for part in spent for each in part])}


def by_processes(
    opened: Callable[[], Callable[[int], object]], count: int, processes: int
) -> dict[str, float]:
    """As `each_timed`, by processes of their own, each with the call that it has opened itself."""
    fork = multiprocessing.get_context("fork")
    start, spent = fork.Barrier(processes + 1), fork.SimpleQueue()

    def work(part: int) -> None:
        call, mine = opened(), []
        start.wait()
        for number in range(part, count, processes):
            began = time.perf_counter()
            call(number)
            mine.append(time.perf_counter() - began)
        spent.put(mine)

    crowd = [fork.Process(target=work, args=(part,)) for part in range(processes)]
    for each in crowd:
        each.start()
    start.wait()
    began = time.perf_counter()
    found = [each for _ in crowd for each in spent.get()]
    return {"per_s": count / (time.perf_counter() - began), **latencies(found)}


def produced(
    call: Callable[[int], object], directory: str, seconds: float, pause: float
) -> dict[str, float]:
    """`call(n)` for so long, with a pause after each; when each began goes to the file `called`."""
    spent, called = [], []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        called.append(time.monotonic_ns())
        began = time.perf_counter()
        call(len(spent))
        spent.append(time.perf_counter() - began)
        if pause:
            time.sleep(pause)
    Path(directory, "called").write_text("\n".join(map(str, called)))
    return {"enqueued": len(spent), **latencies(spent)}


def latencies(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p99 and the worst, in ms."""
    ordered = sorted(seconds)
    return {
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p99_ms": 1000 * ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
        "max_ms": 1000 * ordered[-1],
    }


def main(operations: dict[str, Callable[..., dict[str, float]]]) -> None:
    """`SCRIPT OPERATION DIR JSON`: run it, print its figures as the last line."""
    operation, directory, options = sys.argv[1:4]
    print(json.dumps(operations[operation](directory, **json.loads(options))))
    sys.stdout.flush()
    os._exit(0)  # a peer's idle threads need not be waited for
