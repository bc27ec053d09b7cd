"""Batches of jobd: making them while another process enqueues, and looking at them."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from measure import main

import jobd


def items(count: int) -> Iterator[dict[str, int]]:
    return ({"number": number} for number in range(count))


def create(directory: str, count: int) -> dict[str, float]:
    """Items per second, and how another producer fared meanwhile (ms)."""
    path, enough = Path(directory, "jobd.db"), Path(directory, "enough")
    with jobd.Queue(path) as mine:
        argv = [sys.executable, __file__, "disturb", directory, "{}"]
        other = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        other.stdout.readline()
        began = time.perf_counter()
        batch = mine.batch("many", "noop", items(count))
        seconds = time.perf_counter() - began
        enough.touch()
        told = other.communicate()[0].split()
        assert batch.get()["total_items"] == count
    return {"per_s": count / seconds, "other_p50_ms": float(told[0]),
            "other_max_ms": float(told[1])}


def disturb(directory: str) -> dict[str, float]:
    """Enqueue until told otherwise; the median and the worst call."""
    enough, spent = Path(directory, "enough"), []
    with jobd.Queue(Path(directory, "jobd.db")) as mine:
        print("ready", flush=True)
        while not enough.exists():
            began = time.perf_counter()
            mine.enqueue("noop", {"number": -1})
            spent.append(1000 * (time.perf_counter() - began))
    spent.sort()
    print(spent[len(spent) // 2], spent[-1])
    return {}


def show(directory: str, count: int, repeat: int = 5) -> dict[str, float]:
    """Milliseconds of `jobd batch show` beyond the interpreter's start."""
    path = Path(directory, "jobd.db")
    with jobd.Queue(path) as mine:
        mine.batch("many", "noop", items(count))
    words = ["-m", "jobd", "--db", str(path), "batch", "show", "many"]
    bare, shown = (
        min(_timed([sys.executable, *rest]) for _ in range(repeat))
        for rest in (["-c", "pass"], words)
    )
    return {"show_ms": 1000 * (shown - bare)}


def _timed(argv: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


main({"create": create, "disturb": disturb, "show": show})
