"""A server that forks a process of jobd for each request, which dies at one of its crash points.

Crash points are the boundaries between the steps of a write: before each statement, after each
COMMIT, between the pages of a backup, and at the doors between the threads of the daemon. Forking
saves the imports: a walk over all points of a run needs hundreds of processes.

Run as `python crashing.py`; requests and answers are lines of JSON on standard input and output.
"""

import functools
import gc
import json
import os
import runpy
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jobd.cli.serve
import jobd.daemon.daemon  # noqa: F401 - so that no child has to
from jobd.cli import main
from jobd.daemon import checkpointer, dispatcher, program, report, worker
from jobd.store import backup, migrator, opening

LONGEST_RUN = 30
READS = ("SELECT", "WITH RECURSIVE", "PRAGMA data_version", "PRAGMA user_version", "PRAGMA table",
         "PRAGMA foreign_key_check", "PRAGMA index")
"""To die before one of these is to die before the statement after it."""
LIVE = "('pending', 'running', 'timeout', 'zombie', 'retrying')"


class Points:
    """Writes down each crash point that this process passes, and dies at one.

    A point is a name and how many of that name came before it, because threads pass them in any
    order: "after COMMIT 2" is the third COMMIT.
    """

    def __init__(self, fatal: str, trace: str) -> None:
        self._fatal = fatal
        self._passed: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def at(self, name: str) -> None:
        with self._lock:
            point = f"{name} {self._passed[name]}"
            self._passed[name] += 1
            os.write(self._trace, f"{point}\n".encode())
            if point == self._fatal:
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()

    def around(self, owner: object, name: str, before: str = "", after: str = "") -> None:
        """Make the beginning or the end of a function a crash point."""
        function = getattr(owner, name)

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if before:
                self.at(before)
            result = function(*args, **kwargs)
            if after:
                self.at(after)
            return result

        setattr(owner, name, wrapped)


def watch_statements(points: Points, thread: str) -> None:
    """The beginning of each statement of this thread, and the end of each COMMIT."""

    class WatchedCursor(sqlite3.Cursor):
        def execute(self, statement: str, *args: Any) -> sqlite3.Cursor:
            words = " ".join(statement.split()[:2])
            watched = threading.current_thread().name == thread and not words.startswith(READS)
            if watched:
                points.at(f"before {words}")
            result = super().execute(statement, *args)
            if watched and words == "COMMIT":
                points.at("after COMMIT")
            return result

    class Watched(sqlite3.Connection):
        def cursor(self, *_: Any) -> sqlite3.Cursor:
            return super().cursor(WatchedCursor)

        def execute(self, *statement: Any) -> sqlite3.Cursor:
            return self.cursor().execute(*statement)

        def backup(self, target: sqlite3.Connection, **_: Any) -> None:
            super().backup(target, pages=4, progress=lambda *_: points.at("amid the backup"))

    sqlite3.connect = functools.partial(sqlite3.connect, factory=Watched)  # type: ignore[assignment]


def watch_doors(points: Points) -> None:
    """Where an attempt passes from one thread, file or process to another."""
    points.around(dispatcher.Dispatcher, "_commit", "before the transaction")
    points.around(worker.WorkerPool, "hand_over", "before hand-over", "after hand-over")
    points.around(dispatcher.Dispatcher, "ended", "before its outcome is queued",
                  "after its outcome is queued")
    points.around(report.Report, "applied", "before it is logged", "after it is logged")
    points.around(checkpointer.Checkpointer, "_run", "before the log is moved",
                  "after the log is moved")
    points.around(program.Program, "__init__", "before its program", "after its program")
    points.around(program.Program, "wait", after="after the end of its program")
    points.around(program.Program, "reap", after="after its program is reaped")
    points.around(migrator, "back_up", "before the backup", "after the backup")
    points.around(backup, "create_file", "before the file of the backup",
                  "after the file of the backup")


def stop_when_idle() -> None:
    """Send ourselves SIGTERM when no job is left that could still do something."""
    sleep = dispatcher.Dispatcher._sleep

    def sleep_or_stop(self: dispatcher.Dispatcher) -> None:
        live = f"SELECT count(*) FROM job_queue WHERE status IN {LIVE}"
        cursor = sqlite3.Cursor(self._database.connection)
        if not cursor.execute(live).fetchone()[0] and not self._draining.is_set():
            os.kill(os.getpid(), signal.SIGTERM)
        sleep(self)

    dispatcher.Dispatcher._sleep = sleep_or_stop  # type: ignore[method-assign]


def become_jobd(request: dict[str, Any]) -> None:
    """In the forked child: one command line of jobd, with its crash points."""
    signal.alarm(LONGEST_RUN)
    for number, name in ((1, "out"), (2, "err")):
        opened = os.open(f"{request['trace']}.{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    points = Points(request["fatal"], request["trace"])
    daemon = "run" in request["argv"]
    watch_statements(points, "dispatcher" if daemon else "MainThread")
    watch_doors(points)
    if daemon:
        stop_when_idle()
    sys.path[0] = request["cwd"]
    sys.argv[:] = ["jobd", *request["argv"]]
    runpy.run_module("jobd", run_name="__main__", alter_sys=True)


def in_a_child(become: Callable[[], object]) -> dict[str, Any]:
    """Fork; which process it was, how it ended, and when by the clock that all processes share."""
    child = os.fork()
    if child == 0:
        try:
            become()
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code if isinstance(end.code, int) else 1)
        finally:
            os._exit(99)
    _, status = os.waitpid(child, 0)
    return {"pid": child, "status": os.waitstatus_to_exitcode(status), "at": time.monotonic()}


def serve() -> None:
    with tempfile.TemporaryDirectory() as directory:
        # What every run would compute anew.
        opening.open_database(Path(directory) / "db", create=True, now=1, check="drift").close()
    parser = main.build_parser()
    main.build_parser = lambda *_: parser
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(in_a_child(lambda: become_jobd(request))), flush=True)  # noqa: B023


if __name__ == "__main__":
    serve()
