"""Telling someone: an event in the log, and the configured program, which holds up nobody.

One thread takes alerts as they come. What was raised before, by this daemon or an earlier one, it
drops; of the rest it keeps a note, and starts the program for each, two at a time.
"""

import json
import os
import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobd import clock
from jobd.core.alert import Alert, of_head, of_outcome
from jobd.core.config import Config
from jobd.core.durations import format_duration
from jobd.daemon.program import allowed_environment, find_program
from jobd.daemon.turn import Write
from jobd.log import logger
from jobd.store.alert_notes import Key, alerted, note_alerts
from jobd.store.connection import Database
from jobd.store.opening import open_database

AT_ONCE = 2
WAITING = 1_000
"""So many alerts wait for the program; it does not get what comes beyond."""
LOOK_EVERY = 0.05
SOME = 500
REMEMBERED = 10_000
NOTED_WITHIN, NOTED_AFTER = 2.0, 0.005
KILL_TAKES = 1.0


class Alerts:
    """Other threads hand alerts in and go on at once."""

    def __init__(
        self, path: Path, config: Callable[[], Config], submit: Callable[[Write], None]
    ) -> None:
        self._path = path
        self._config = config
        self._submit = submit
        self._inbox: queue.SimpleQueue[Alert | None] = queue.SimpleQueue()
        self._known: dict[Key, None] = {}
        self._old_queues: set[str] = set()
        self._programs = _Programs(path, config)
        self._database: Database | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Tell what has come, and give programs that run now so long to end; then kill them."""
        self._closing = True
        self._inbox.put(None)
        self._thread.join(timeout)
        self._programs.kill()

    def tell(self, alert: Alert) -> None:
        """Raise this one, unless it was raised before."""
        self._inbox.put(alert)

    def of_outcome(self, keys: Mapping[str, Any]) -> None:
        """A job came to a status, which is durable; `keys` are those of its line in the log."""
        alert = of_outcome(keys)
        if alert is not None:
            self.tell(alert)

    def look_at_heads(self, heads: Sequence[Mapping[str, Any]], now: int) -> None:
        """Tell of each queue whose next job is older than allowed; again once it was not."""
        max_age = self._config().alerts.max_age
        old = {}
        for head in heads:
            age = now - head["ready_since"]
            if max_age is not None and age > 1000 * max_age:
                old[head["queue"]] = of_head(head, age, format_duration(age // 1000))
        for name, alert in old.items():
            if name not in self._old_queues:
                self.tell(alert)
        self._old_queues = set(old)

    # The thread.

    def _work(self) -> None:
        stopping = False
        while not (stopping and self._programs.idle):
            alerts, told_to_stop = self._arrived()
            stopping |= told_to_stop
            try:
                self._raise(alerts)
                self._programs.look(clock.monotonic())
            except Exception as error:  # noqa: BLE001 - whatever it is, the daemon works on
                logger().warning("alert.failed", error=f"{type(error).__name__}: {error}")

    def _arrived(self) -> tuple[list[Alert], bool]:
        """What has come by now; waits for it when no program runs that must be looked after."""
        alerts: list[Alert] = []
        stopping = False
        with suppress(queue.Empty):
            first = self._inbox.get(timeout=None if self._programs.idle else LOOK_EVERY)
            while True:
                stopping |= first is None
                alerts += [first] if first is not None else []
                if len(alerts) >= SOME:
                    break
                first = self._inbox.get_nowait()
        return alerts, stopping

    def _raise(self, alerts: Sequence[Alert]) -> None:
        fresh = {alert.key: alert for alert in reversed(alerts) if alert.key not in self._known}
        for key in self._told_before(fresh) if fresh else ():
            del fresh[key]
        if not fresh:
            return
        if len(self._known) > REMEMBERED:
            self._known.clear()  # the database knows them too
        self._known.update(dict.fromkeys(fresh))
        self._note(list(fresh))
        for alert in reversed(fresh.values()):
            logger().warning("alert.raised", cause=str(alert.cause), job_id=alert.job_id,
                             text=alert.text, **alert.about)
            self._programs.give(alert)

    def _note(self, keys: list[Key]) -> None:
        """Wait until the note is on disk, but not as long as that may be full or locked, nor at
        the end, when nobody writes it any more."""
        self._submit(lambda db, now: note_alerts(db, keys, now))
        until = clock.monotonic() + NOTED_WITHIN
        while not self._closing and len(self._told_before(keys)) < len(keys):
            if clock.monotonic() >= until:
                return
            clock.pause(NOTED_AFTER)

    def _told_before(self, keys: Iterable[Key]) -> set[Key]:
        """By the database; where that cannot be read now, better twice than never."""
        try:
            if self._database is None:
                self._database = open_database(self._path, now=clock.now_ms())
            return alerted(self._database.connection, keys)
        except Exception:  # noqa: BLE001 - locked, replaced or full: others tell of that
            return set()


@dataclass(slots=True)
class _Run:
    """The program as it runs for one alert."""

    alert: Alert
    process: "subprocess.Popen[bytes]"
    ends: float


class _Programs:
    """The configured program, once for each alert; the alerts' thread alone works with it."""

    def __init__(self, path: Path, config: Callable[[], Config]) -> None:
        self._path = path
        self._config = config
        self._waiting: deque[Alert] = deque()
        self._runs: list[_Run] = []
        self._dropped = 0

    @property
    def idle(self) -> bool:
        return not self._runs and not self._waiting

    def give(self, alert: Alert) -> None:
        if not self._config().alerts.command:
            return
        if len(self._waiting) >= WAITING:
            self._dropped += 1
        else:
            self._waiting.append(alert)

    def look(self, now: float) -> None:
        """Reap what has ended, kill what takes too long, start what waits."""
        self._runs = [run for run in self._runs if self._goes_on(run, now)]
        while self._waiting and len(self._runs) < AT_ONCE:
            self._start(self._waiting.popleft(), now)
        if self._dropped and len(self._waiting) < WAITING:
            logger().warning("alert.dropped", alerts=self._dropped)
            self._dropped = 0

    def kill(self) -> None:
        """End what still runs, and reap it."""
        for run in self._runs:
            _kill(run.process)
            with suppress(subprocess.TimeoutExpired):
                run.process.wait(KILL_TAKES)

    def _goes_on(self, run: _Run, now: float) -> bool:
        status = run.process.poll()
        if status is None and now < run.ends:
            return True
        if status is None:
            _kill(run.process)
            run.process.wait()
            taken = format_duration(self._config().alerts.timeout)
            _failed(run.alert, f"it was killed, because it had not ended after {taken}")
        elif status:
            how = f"signal {-status}" if status < 0 else f"exit status {status}"
            _failed(run.alert, f"it ended with {how}")
        return False

    def _start(self, alert: Alert, now: float) -> None:
        settings = self._config()
        command = settings.alerts.command
        if not command:
            return
        try:
            process = self._process(alert, command, settings)
        except (OSError, ValueError) as error:
            _failed(alert, f"{command[0]} cannot be started: {error}")
            return
        self._runs.append(_Run(alert, process, now + settings.alerts.timeout))

    def _process(
        self, alert: Alert, command: Sequence[str], settings: Config
    ) -> "subprocess.Popen[bytes]":
        """Its message is a file in memory, which it may read or not; no pipe can fill."""
        message = json.dumps(alert.message(clock.iso(clock.now_ms()), str(self._path)), default=str)
        program = find_program(command[0], settings.commands.path)
        with open(os.memfd_create("jobd-alert"), "w+b") as stdin:
            stdin.write(message.encode() + b"\n")
            stdin.seek(0)
            return subprocess.Popen(
                [program, *command[1:]], cwd="/", stdin=stdin, stdout=subprocess.DEVNULL,
                env=allowed_environment(os.environ, settings.commands, {}),
                start_new_session=True,
            )


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """The program and what it started; its group is its own for as long as it is not reaped."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _failed(alert: Alert, error: str) -> None:
    logger().warning("alert.failed", cause=str(alert.cause), job_id=alert.job_id, error=error)
