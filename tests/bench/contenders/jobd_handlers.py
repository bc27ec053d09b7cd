"""The handlers that the benchmark's daemon runs."""

import os
import time
from functools import cache
from pathlib import Path

from measure import Record

import jobd

_record = Record(os.environ["BENCH_RECORD"])


@jobd.job("noop")
def noop(number: int) -> None:
    """Nothing but its line in the record."""
    _record.ran(number)


@jobd.job("rests")
def rests(number: int, sleep: float) -> None:
    """A short wait, as for a disk or a network."""
    _record.ran(number)
    time.sleep(sleep)


@jobd.job("fails")
def fails(number: int) -> None:
    """As noop, but it fails the first time."""
    if jobd.current_job().attempt == 1:
        raise jobd.Retry("the first time", after=0)
    _record.ran(number)


@jobd.job("prints")
def prints(number: int) -> None:
    """As noop, with one line that is kept."""
    print("ran", number)
    _record.ran(number)


@cache
def _queue() -> jobd.Queue:
    return jobd.Queue(Path(os.environ["BENCH_RECORD"], "jobd.db"))


@jobd.job("chains")
def chains(number: int, last: int) -> None:
    """As noop, and it puts in the next one."""
    _record.ran(number)
    if number < last:
        _queue().enqueue("chains", {"number": number + 1, "last": last})


@jobd.job("follows")
def follows(number: int, last: int) -> None:
    """As chains, but the next one goes in together with the end of this one."""
    _record.ran(number)
    if number < last:
        jobd.current_job().enqueue("follows", {"number": number + 1, "last": last})


@jobd.job("burns", queue="burning")
def burns() -> None:
    """Hold the interpreter's lock as Python code does, until told to stop."""
    job = jobd.current_job()
    total = 0
    while not job.stopping.is_set():
        for each in range(10_000):
            total += each * each
    job.check()
