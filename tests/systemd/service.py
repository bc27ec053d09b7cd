"""The service from inside the booted system: systemctl, the journal, the machine's users."""

import json
import os
import re
import select
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from jobd import Queue

SOURCE = Path("/run/trial/source")
STATE = Path("/var/lib/jobd")
DB = STATE / "jobd.db"
CONFIG = Path("/etc/jobd/jobd.toml")
DROP_INS = Path("/run/systemd/system/jobd.service.d")
JOBD = "/usr/local/bin/jobd"
DEADLINE = 30.0

QUICK = {
    "db": str(DB),
    "pool.handlers": ["kept"],
    "pool.path": ["/opt/jobd/handlers"],
    "pool.max_stuck_threads": 0,
    "timing.sweep_interval": "200ms",
    "timing.heartbeat": "500ms",
    "timing.kill_grace": "1s",
    "timing.shutdown_grace": "2s",
}

Entry = dict[str, Any]


def run(*argv: str, expect: int = 0, **options: Any) -> str:
    """Run a program; what it wrote, errors included."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, cwd="/", **options)
    assert done.returncode == expect, (argv, done.returncode, done.stdout)
    return done.stdout


def systemctl(*args: str, expect: int = 0) -> str:
    return run("systemctl", *args, expect=expect)


def shown(name: str) -> str:
    """A property of the service, as `systemctl show` tells it."""
    return systemctl("show", "jobd", "-P", name).strip()


def until(name: str, wanted: str) -> str:
    """Wait until a property matches a pattern; nothing tells of its change, so it is asked for."""
    deadline = time.monotonic() + DEADLINE
    while not (found := re.fullmatch(wanted, shown(name))):
        assert time.monotonic() < deadline, (name, wanted, shown(name))
        select.select([], [], [], 0.02)
    return found[0]


def as_user(name: str, *argv: str, expect: int = 0, **options: Any) -> str:
    return run("runuser", "-u", name, "--", *argv, expect=expect, **options)


def jobd(*args: str, user: str = "alice", expect: int = 0) -> str:
    """The command line, as a member of the group uses it."""
    return as_user(user, JOBD, *args, expect=expect)


def enqueue(job_type: str, payload: Entry | None = None, **options: Any) -> int:
    with Queue(DB) as queue:
        return int(queue.enqueue(job_type, payload, **options))


def job(job_id: int) -> Entry:
    """The job as it is now."""
    with Queue(DB) as queue:
        return queue.get(job_id)


def ended(job_id: int) -> Entry:
    """The job, once it has ended."""
    with Queue(DB) as queue:
        return queue.wait(job_id, timeout=DEADLINE)


def open_gate(name: str) -> None:
    """Let the jobs go on that wait for it."""
    (STATE / name).touch()


def configure(**settings: object) -> None:
    """Write the configuration: short timings, and `a__b` for the setting a.b."""
    given = QUICK | {name.replace("__", "."): value for name, value in settings.items()}
    CONFIG.write_text("".join(f"{name} = {json.dumps(each)}\n" for name, each in given.items()))


def drop_in(text: str, name: str = "test") -> None:
    """Put a drop-in into force, as `systemctl edit --runtime` would; empty takes it away."""
    DROP_INS.mkdir(parents=True, exist_ok=True)
    (DROP_INS / f"{name}.conf").write_text(text)
    systemctl("daemon-reload")


class Journal:
    """The journal of the service from now on, for those who wait for a line."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            ["journalctl", "-f", "-u", "jobd", "-o", "json", "--no-tail"], stdout=subprocess.PIPE
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            entry = json.loads(line)
            told = entry.get("MESSAGE")
            entry["line"] = {}
            with suppress(TypeError, ValueError):
                entry["line"] = json.loads(told)
            with self._news:
                self.entries.append(entry)
                self._news.notify_all()

    def mark(self) -> float:
        """A moment after everything so far."""
        run("journalctl", "--sync")
        return time.monotonic()

    def since(self, after: float) -> list[Entry]:
        """What the journal got after this moment."""
        return [each for each in self.entries
                if int(each["__MONOTONIC_TIMESTAMP"]) >= after * 1_000_000]

    def wait(self, fits: Callable[[Entry], bool], after: float, what: str) -> Entry:
        deadline = time.monotonic() + DEADLINE
        with self._news:
            while True:
                for entry in self.since(after):
                    if fits(entry):
                        return entry
                left = deadline - time.monotonic()
                assert left > 0, f"{what} did not come; {self.tail(after)}"
                self._news.wait(left)

    def event(self, event: str, after: float, **keys: Any) -> Entry:
        """The first line of the daemon's with this event and keys."""
        wanted = {"event": event, **keys}
        entry = self.wait(lambda each: wanted.items() <= each["line"].items(), after, str(wanted))
        line: Entry = entry["line"]
        return line

    def message(self, pattern: str, after: float) -> str:
        """The first message, of whomever, that has this in it."""
        fits = re.compile(pattern)
        entry = self.wait(lambda each: bool(fits.search(str(each["MESSAGE"]))), after, pattern)
        return str(entry["MESSAGE"])

    def tail(self, after: float) -> str:
        beats = ("worker.heartbeat", "pool.health")
        told = [str(each["MESSAGE"])[:300] for each in self.since(after)
                if each["line"].get("event") not in beats]
        return "\n".join(["the journal since:", *told[-150:]])


def main_pid() -> int:
    pid = int(shown("MainPID"))
    assert pid > 0, shown("ActiveState")
    return pid


def block(marker: str) -> str:
    """The commands of README.md after a marker."""
    text = (SOURCE / "README.md").read_text()
    found = re.search(rf"<!-- {marker} -->\n```sh\n(.*?)```", text, re.DOTALL)
    assert found, f"README.md has no block of commands after <!-- {marker} -->"
    return found[1]


def type_in(commands: str, user: str) -> str:
    """Run commands in the clone as README shows them; root needs no sudo."""
    environment = {**os.environ, "USER": user}
    return run("bash", "-euc", f'sudo() {{ "$@"; }}; cd {SOURCE}\n{commands}', env=environment)
