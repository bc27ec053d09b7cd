"""persist-queue's acknowledging SQLite queue, which syncs every commit."""

import threading
from collections.abc import Callable
from typing import Any

from measure import Record, by_processes, each_timed, main, wait_for
from persistqueue import SQLiteAckQueue
from persistqueue.exceptions import Empty


def made(directory: str) -> Any:
    return SQLiteAckQueue(directory, db_file_name="persistqueue.db", multithreading=True)


def enqueue(directory: str, count: int) -> dict[str, float]:
    mine = made(directory)
    return each_timed(lambda number: mine.put({"number": number}), count)


def producers(directory: str, count: int, processes: int) -> dict[str, float]:
    made(directory)

    def opened() -> Callable[[int], object]:
        mine = made(directory)
        return lambda number: mine.put({"number": number})

    return by_processes(opened, count, processes)


def drain(directory: str, count: int, workers: int = 4) -> dict[str, float]:
    mine, record = made(directory), Record(directory)
    for number in range(count):
        mine.put({"number": number})

    def work() -> None:
        while True:
            try:
                item = mine.get(timeout=1)
            except Empty:
                continue
            record.ran(item["number"])
            mine.ack(item)

    for _ in range(workers):
        threading.Thread(target=work, daemon=True).start()
    wait_for(directory, count, 120)
    return {}


main({"enqueue": enqueue, "producers": producers, "drain": drain})
