"""Many processes on one file: producers in a hurry, an active daemon and a waiting one.

`python -m tests.faults.crowd --seconds 60` prints how long an enqueue took, for each producer.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.daemon.harness import House

PRODUCER = """
import sys, time, jobd, json
seconds = float(sys.argv[2])
took, ids, errors = [], [], []
with jobd.Queue(sys.argv[1]) as queue:
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        try:
            ids.append(int(queue.enqueue("quick", {"n": len(ids)}, queue=sys.argv[3])))
        except Exception as error:
            errors.append(repr(error))
        took.append(time.monotonic() - began)
print(json.dumps({"took": took, "ids": ids, "errors": errors}))
"""


@dataclass(frozen=True)
class Producer:
    """What one producer did: seconds for each call, the ids it got, and the errors."""

    took: list[float]
    ids: list[int]
    errors: list[str]

    def quantile(self, share: float) -> float:
        return sorted(self.took)[min(int(share * len(self.took)), len(self.took) - 1)]

    def __str__(self) -> str:
        p50, p99, worst = (1000 * t for t in (
            self.quantile(0.5), self.quantile(0.99), max(self.took)))
        return (f"{len(self.ids):7} jobs   p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   "
                f"worst {worst:7.1f} ms   errors {len(self.errors)}")


def crowd(db: Path, seconds: float, producers: int = 4) -> list[Producer]:
    """Let so many processes enqueue as fast as they can, begun at the same moment."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PRODUCER, str(db), str(seconds), f"q{number}"], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        for number in range(producers)
    ]
    for each in started:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in started:
        print(file=each.stdin, flush=True)
    told = [each.communicate(timeout=seconds + 60)[0] for each in started]
    return [Producer(**json.loads(text)) for text in told]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the crowd in a directory of its own, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--producers", type=int, default=4)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as directory, House(Path(directory)) as house:
        house.handlers("")
        active = house.start()
        house.launch().wait_stderr("waiting")
        for producer in crowd(house.db, args.seconds, args.producers):
            print(producer)
            print(*producer.errors[:3], sep="\n", end="")
        locked = active.events("store.locked")
        print(f"store.locked was said {len(locked)} times; "
              f"{len(active.events('job.completed'))} jobs completed meanwhile")
    return 0


if __name__ == "__main__":
    sys.exit(main())
