"""huey on its SQLite storage, results switched off, which is in its favour."""

import threading
import time
from pathlib import Path
from typing import Any

from huey import SqliteHuey
from measure import Record, each_timed, main, produced, wait_for


def made(directory: str, synchronous: str = "full", kind: str = "noop") -> tuple[Any, Any]:
    """The huey and its task of this kind."""
    # fsync=None leaves SQLite's default, FULL; fsync=False switches syncing off.
    huey = SqliteHuey(filename=str(Path(directory, "huey.db")), results=False,
                      fsync=False if synchronous == "normal" else None)
    record = Record(directory)

    @huey.task()
    def noop(number: int, sleep: float = 0.0) -> None:
        record.ran(number)
        if sleep:
            time.sleep(sleep)

    @huey.task(retries=1, context=True)
    def fails(number: int, _sleep: float = 0.0, *, task: Any) -> None:
        if task.retries:
            raise RuntimeError("the first time")
        record.ran(number)

    @huey.task()
    def prints(number: int, _sleep: float = 0.0) -> None:
        print("ran", number)
        record.ran(number)

    @huey.task()
    def chains(number: int, last: int) -> None:
        record.ran(number)
        if number < last:
            chains(number + 1, last)

    return huey, {"noop": noop, "fails": fails, "prints": prints, "chains": chains}[kind]


def consume(huey: Any, workers: int) -> None:
    """Run its consumer in threads of this process, as its own command does, without signals."""
    consumer = huey.create_consumer(workers=workers, periodic=False)
    for _, each in consumer.worker_threads:
        each.start()


def enqueue(directory: str, count: int, synchronous: str = "full") -> dict[str, float]:
    _, noop = made(directory, synchronous)
    return each_timed(lambda number: noop(number), count)


def drain(
    directory: str, count: int, workers: int = 4, sleep: float = 0.0, kind: str = "noop"
) -> dict[str, float]:
    huey, task = made(directory, kind=kind)
    if kind == "chains":
        task(0, count - 1)
    else:
        for number in range(count):
            task(number, sleep)
    consume(huey, workers)
    wait_for(directory, count, 120)
    return {}


def serve(directory: str, workers: int = 4, synchronous: str = "full") -> dict[str, float]:
    """Work until killed."""
    huey, _ = made(directory, synchronous)
    consume(huey, workers)
    Path(directory, "ready").touch()
    threading.Event().wait()
    return {}


def produce(
    directory: str, seconds: float, pause: float = 0.0, synchronous: str = "full"
) -> dict[str, float]:
    """Enqueue for so long, in another process than `serve`."""
    _, noop = made(directory, synchronous)
    return produced(noop, directory, seconds, pause)


main({"enqueue": enqueue, "drain": drain, "serve": serve, "produce": produce})
