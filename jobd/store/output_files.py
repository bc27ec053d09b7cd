"""Removing what attempts have left in files, once their jobs are gone from the database."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from jobd.store.attempt_files import attempts_directory, is_locked

LOOKED_UP = 500


def remove_outputs(database: Path, job_ids: Iterable[int]) -> None:
    """Remove the directories of these jobs; what cannot be removed stays for the next start."""
    attempts = attempts_directory(database)
    if not attempts.is_dir():
        return
    for job_id in job_ids:
        shutil.rmtree(attempts / str(int(job_id)), ignore_errors=True)


def stray_outputs(
    database: Path, existing: Callable[[Sequence[int]], set[int]]
) -> Iterator[list[int]]:
    """Ids that have a directory and no job: of a deletion that was cut short, or of a database
    that was put back from a backup. `existing` tells which of some ids are jobs.

    A directory is made after its job, so one that is listed has its job if it ever will.
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
            if entry.name.isascii() and entry.name.isdigit() and len(entry.name) < 19:
                yield int(entry.name)


def _in_use(directory: Path) -> bool:
    """Whether a process of one of the attempts still lives."""
    try:
        return any(is_locked(attempt) for attempt in directory.iterdir())
    except OSError:
        return False
