"""litequeue, which commits with synchronous=NORMAL, with four threads that pop and mark done."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from litequeue import LiteQueue
from measure import Record, by_processes, each_timed, main, produced, wait_for

POLL = 0.01


def made(directory: str) -> Any:
    return LiteQueue(str(Path(directory, "litequeue.db")))


def work(directory: str, record: Record) -> None:
    """One thread: pop, run, mark done, or look again a little later."""
    mine = made(directory)
    while True:
        message = mine.pop()
        if message is None:
            time.sleep(POLL)
            continue
        record.ran(json.loads(message.data)["number"])
        mine.done(message.message_id)


def start(directory: str, workers: int) -> None:
    record = Record(directory)
    for _ in range(workers):
        threading.Thread(target=work, args=(directory, record), daemon=True).start()


def producers(directory: str, count: int, processes: int) -> dict[str, float]:
    made(directory)

    def opened() -> Callable[[int], object]:
        mine = made(directory)
        return lambda number: mine.put(json.dumps({"number": number}))

    return by_processes(opened, count, processes)


def enqueue(directory: str, count: int) -> dict[str, float]:
    mine = made(directory)
    return each_timed(lambda number: mine.put(json.dumps({"number": number})), count)


def drain(directory: str, count: int, workers: int = 4) -> dict[str, float]:
    mine = made(directory)
    for number in range(count):
        mine.put(json.dumps({"number": number}))
    start(directory, workers)
    wait_for(directory, count, 120)
    return {}


def serve(directory: str, workers: int = 4) -> dict[str, float]:
    made(directory)
    start(directory, workers)
    Path(directory, "ready").touch()
    threading.Event().wait()
    return {}


def produce(directory: str, seconds: float, pause: float = 0.0) -> dict[str, float]:
    """Enqueue for so long, in another process than `serve`."""
    mine = made(directory)
    def call(number: int) -> None:
        mine.put(json.dumps({"number": number}))

    return produced(call, directory, seconds, pause)


main({"enqueue": enqueue, "producers": producers, "drain": drain, "serve": serve,
      "produce": produce})
