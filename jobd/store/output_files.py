"""Removing what attempts have left in files, once their jobs are gone from the database."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from jobd.store.attempt_files import STREAMS, attempts_directory, is_locked

LOOKED_UP = 500


def remove_outputs(database: Path, job_ids: Iterable[int]) -> None:
    """Remove what these jobs have left; what cannot be removed stays for the next start."""
    attempts = attempts_directory(database)
    if not attempts.is_dir():
        return
    for job_id in job_ids:
        shutil.rmtree(attempts / str(int(job_id)), ignore_errors=True)
        for name in STREAMS:
            with suppress(OSError):
                os.unlink(attempts / f"{int(job_id)}.{name}")


def stray_outputs(
    database: Path, existing: Callable[[Sequence[int]], set[int]]
) -> Iterator[list[int]]:
    """Ids that have files and no job: of a deletion that was cut short, or of a database that was
    put back from a backup. `existing` tells which of some ids are jobs.

    Files are made after their job, so one that is listed has its job if it ever will.
    """
    listed = _listed(attempts_directory(database))
    while some := list(islice(listed, LOOKED_UP)):
        known = existing(some)
        yield [job_id for job_id in some
               if job_id not in known and not _in_use(attempts_directory(database) / str(job_id))]


def _listed(attempts: Path) -> Iterator[int]:
    try:
        entries = os.scandir(attempts)
    except OSError:
        return
    with entries:
        for entry in entries:
            job_id, dot, stream = entry.name.partition(".")
            ours = stream in STREAMS if dot else True
            if ours and job_id.isascii() and job_id.isdigit() and len(job_id) < 19:
                yield int(job_id)


def _in_use(directory: Path) -> bool:
    """Whether a process of one of the attempts still lives."""
    try:
        return any(is_locked(attempt) for attempt in directory.iterdir())
    except OSError:
        return False
