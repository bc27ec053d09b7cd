"""Running one contender once in a directory of its own, and proving that each job ran once."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.bench.contenders.measure import latencies, read_record
from tests.bench.workloads import Contender, Workload

CONTENDERS = Path(__file__).parent / "contenders"
ROOT = Path(__file__).parents[2]
LONGEST = 900.0

Figures = dict[str, float]


class Wrong(Exception):
    """Jobs did not run exactly once, or were not logged exactly once: no figure counts."""


class Arena:
    """Where contenders run: jobd under this Python, the peers under their own."""

    def __init__(self, peers: str | None) -> None:
        self.peers = peers

    def run(self, workload: Workload, contender: Contender, options: dict[str, Any]) -> Figures:
        """One run; its figures.

        Raises:
            Wrong: the work was not done exactly once.
        """
        ways = {"alone": self._alone, "drain": self._drain, "pair": self._pair}
        # On a disk: temporary directories are often memory, which syncs nothing.
        with tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT) as directory:
            return ways[workload.way](workload, contender, {**options, **contender.options},
                                      directory)

    def _alone(
        self, workload: Workload, contender: Contender, options: dict[str, Any], directory: str
    ) -> Figures:
        return self._said(contender, workload.operation, directory, options)

    def _drain(
        self, workload: Workload, contender: Contender, options: dict[str, Any], directory: str
    ) -> Figures:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = self._said(contender, workload.operation, directory, options)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        ran = _checked(directory, options["count"])
        seconds = (max(ran) - min(ran)) / 1e9
        found["per_s"] = (len(ran) - 1) / seconds
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found["cpu_s_per_1000"] = 1000 * cpu / len(ran)
        if options.get("sleep"):
            ideal = options["workers"] / options["sleep"]
            found["share"] = found["per_s"] / ideal
        logged = found.get("outcomes_logged")
        if logged is not None and options.get("beside") is None and logged != options["count"]:
            raise Wrong(f"{contender.name}: {logged:.0f} outcome lines for {options['count']} jobs")
        return found

    def _pair(
        self, workload: Workload, contender: Contender, options: dict[str, Any], directory: str
    ) -> Figures:
        """A server and a producer as processes of their own, then a while for what is left."""
        producing = {key: options[key] for key in ("seconds", "pause", "synchronous")
                     if key in options}
        serving = {key: options[key] for key in ("synchronous", "burning") if key in options}
        with self._server(contender, workload.operation, directory, serving):
            found = self._said(contender, "produce", directory, producing)
            done = len(read_record(directory))
            _wait_until_idle(directory, int(found["enqueued"]))
        called = [int(line) for line in Path(directory, "called").read_text().split()]
        times = dict(read_record(directory))
        if "pause" not in options:
            return {"per_s": done / options["seconds"], "call_p99_ms": found["p99_ms"],
                    "call_max_ms": found["max_ms"]}
        _checked(directory, len(called))
        return latencies([(times[n] - at) / 1e9 for n, at in enumerate(called)])

    def _said(
        self, contender: Contender, operation: str, directory: str, options: dict[str, Any]
    ) -> Figures:
        done = subprocess.run(self._argv(contender, operation, directory, options), cwd=directory,
                              env=_environment(), text=True, capture_output=True, timeout=LONGEST)
        if done.returncode:
            raise Wrong(f"{contender.name}: {operation} failed\n{done.stderr}")
        found: Figures = json.loads(done.stdout.splitlines()[-1])
        return found

    @contextlib.contextmanager
    def _server(
        self, contender: Contender, operation: str, directory: str, options: dict[str, Any]
    ) -> Iterator[None]:
        argv = self._argv(contender, operation, directory, options)
        with Path(directory, "server.err").open("w") as errors:
            server = subprocess.Popen(argv, cwd=directory, env=_environment(), stdout=errors,
                                      stderr=errors, start_new_session=True)
        try:
            while not Path(directory, "ready").exists():
                if server.poll() is not None:
                    raise Wrong(f"{contender.name}: {Path(directory, 'server.err').read_text()}")
                time.sleep(0.02)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()

    def _argv(
        self, contender: Contender, operation: str, directory: str, options: dict[str, Any]
    ) -> Sequence[str]:
        python = (self.peers or sys.executable) if contender.is_peer else sys.executable
        return [python, str(CONTENDERS / f"{contender.script}.py"), operation, directory,
                json.dumps(options)]


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBD_")}
    # What is installed has been compiled; a clone is at its first run, unless this forbids it.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, "PYTHONPATH": str(ROOT)}


def _checked(directory: str, count: int) -> list[int]:
    """When each job ran, in ns; each number from 0 to `count` must be there exactly once."""
    ran = [(number, at) for number, at in read_record(directory) if number >= 0]
    if sorted(number for number, _ in ran) != list(range(count)):
        raise Wrong(f"{len(ran)} runs of {len({n for n, _ in ran})} jobs, not {count} once each")
    return [at for _, at in ran]


def _wait_until_idle(directory: str, enqueued: int) -> None:
    """Give the server a while for what is left of a stream."""
    until = time.monotonic() + 10
    while len(read_record(directory)) < enqueued and time.monotonic() < until:
        time.sleep(0.1)
