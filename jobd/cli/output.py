"""Showing what a command writes while it runs, and exiting as it did."""

import codecs
import json
import os
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from jobd import clock
from jobd.cli.table import printable
from jobd.core.lifecycle import COMPLETED, ENDED, JobStatus
from jobd.store import reading
from jobd.store.attempt_files import CutFinder, stream_files
from jobd.store.connection import Database

LONGEST_WAIT = 0.05
A_PIECE = 65_536
FAILED_ITSELF = 125


class Stream:
    """One captured stream of one attempt, shown as far as it has come."""

    def __init__(self, paths: Sequence[Path], out: BinaryIO) -> None:
        self._paths = paths
        self._out = out
        self._shown = 0
        self._cuts = CutFinder()
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    @property
    def was_cut(self) -> bool:
        """Whether a part of what was shown is gone, and a mark stands in its place."""
        return self._cuts.found

    def show_more(self) -> bool:
        """Copy what is new, and say whether there is a file; one that jobd has cut meanwhile goes
        on at its end."""
        file = self._opened()
        if file is None:
            return False
        with file:
            self._shown = min(self._shown, file.seek(0, os.SEEK_END))
            file.seek(self._shown)
            while piece := file.read(A_PIECE):
                self._shown += len(piece)
                self._cuts.look_at(piece)
                self._write(piece)
        return True

    def _opened(self) -> BinaryIO | None:
        for path in self._paths:
            with suppress(FileNotFoundError):
                return path.open("rb")
        return None

    def _write(self, piece: bytes) -> None:
        """Copy bytes as they are, but to a terminal only what does not drive it."""
        if self._out.isatty():
            text = self._decoder.decode(piece)
            lines = (printable(line).replace("\\t", "\t") for line in text.split("\n"))
            piece = "\n".join(lines).encode("utf-8", "backslashreplace")
        self._out.write(piece)
        self._out.flush()


def streams(database: Path, job_id: int, attempt: int, names: tuple[str, ...]) -> list[Stream]:
    """The streams of one attempt, each with where it is shown."""
    outs = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    return [Stream(stream_files(database, job_id, attempt, name), outs[name]) for name in names]


def follow(
    database: Database,
    job_id: int,
    names: tuple[str, ...] = ("stdout", "stderr"),
    only: int | None = None,
) -> None:
    """Show the output of attempt after attempt until the job has ended; or of `only` one."""
    shown: list[Stream] = []
    first = 0
    waits = clock.growing_waits(LONGEST_WAIT)
    while True:
        record = reading.job(database.connection, job_id)
        if record is None:
            return
        number = record["attempt"]
        # Several may have come and gone since the last look.
        first = first or only or max(1, number)
        for each in range(first, number + 1):
            if only in (None, each):
                shown += streams(database.path, job_id, each, names)
        first = max(first, number + 1)
        for stream in shown:
            stream.show_more()
        over = only is not None and (number > only or (record["execution_over"] and number == only))
        if JobStatus(record["status"]) in ENDED or over:
            return
        clock.pause(next(waits))


def how_it_ended(db: sqlite3.Connection, job_id: int) -> str:
    """One line on a job whose program has no exit status to give."""
    record = reading.job(db, job_id)
    if record is None:
        return f"job {job_id} is gone"
    why = record["error_message"] or record["dead_letter_reason"]
    said = f": {printable(why)}" if why else ""
    return f"job {job_id} is {record['status']}{said}"


def exit_status_of(db: sqlite3.Connection, job_id: int) -> int:
    """The program's own exit status; 128 + n for signal n; 125 when jobd itself failed."""
    record = reading.job(db, job_id)
    if record is not None and record["status"] == COMPLETED:
        return int(json.loads(record["result"])["exit_status"])
    attempts = reading.attempts(db, job_id)
    last = attempts[-1] if attempts else None
    if last is None or last["exit_status"] is None or record is None:
        return FAILED_ITSELF
    if last["attempt"] != record["attempt"]:
        return FAILED_ITSELF
    status = int(last["exit_status"])
    return 128 - status if status < 0 else status
