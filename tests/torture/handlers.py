"""The handlers of the torture: each tells the side file when an attempt begins and when it ends."""

import asyncio
import functools
import inspect
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jobd
from tests.torture.journal import KILLS, RESUMED, SAVED, Journal

ROOT = os.environ["TORTURE_ROOT"]
PROGRAM = str(Path(__file__).with_name("command.py"))
journal = Journal(ROOT)


def recorded(job_type: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """As `jobd.job`, with the side file around the function; the result names the attempt."""

    def register(function: Callable[..., Any]) -> Any:
        @functools.wraps(function)
        def noted(**payload: Any) -> dict[str, int]:
            me = jobd.current_job()
            with journal.attempt(me.id, me.attempt):
                function(**payload)
            return {"attempt": me.attempt}

        @functools.wraps(function)
        async def noted_too(**payload: Any) -> dict[str, int]:
            me = jobd.current_job()
            with journal.attempt(me.id, me.attempt):
                await function(**payload)
            return {"attempt": me.attempt}

        awaited = inspect.iscoroutinefunction(function)
        return jobd.job(job_type, **options)(noted_too if awaited else noted)

    return register


def note(kind: str, how: object = "-") -> None:
    me = jobd.current_job()
    journal.note(kind, me.id, me.attempt, how)


@recorded("quick")
def quick(tag: str) -> None:
    pass


@recorded("long")
def long(tag: str, seconds: float) -> None:
    jobd.current_job().sleep(seconds)


@recorded("narrow", queue="narrow")
def narrow(tag: str, seconds: float) -> None:
    """Of its queue one runs at a time."""
    jobd.current_job().sleep(seconds)


@recorded("coroutine")
async def coroutine(tag: str, seconds: float) -> None:
    await asyncio.sleep(seconds)


@recorded("deaf")
def deaf(tag: str, seconds: float, until: int) -> None:
    """Sits in a system call, and hears of no stop."""
    if jobd.current_job().attempt <= until:
        select.select([], [], [], seconds)


@recorded("hangs")
def hangs(tag: str, until: int) -> None:
    """Would never end by itself, but listens."""
    if jobd.current_job().attempt <= until:
        jobd.current_job().sleep(60)


FAILURES: dict[str, Callable[[], BaseException]] = {
    "network": ConnectionResetError,
    "resource": MemoryError,
    "system": OSError,
    "unknown": lambda: KeyError("no such key"),
    "exit": lambda: SystemExit(3),
    "validation": lambda: ValueError("wrong"),
    "permission": PermissionError,
    "again": lambda: jobd.Retry("later", after=0.03),
    "final": lambda: jobd.Fail("never"),
}


@recorded("fails")
def fails(tag: str, how: str, until: int) -> None:
    if jobd.current_job().attempt <= until:
        raise FAILURES[how]()


@recorded("snoozes")
def snoozes(tag: str, until: int) -> None:
    if jobd.current_job().attempt <= until:
        raise jobd.Snooze(0.03)


@recorded("kills")
def kills(tag: str, until: int) -> None:
    """Takes its process with it: the daemon, or with isolation the child."""
    if jobd.current_job().attempt <= until:
        note(KILLS)
        os.kill(os.getpid(), signal.SIGKILL)


@recorded("parent")
def parent(tag: str) -> None:
    """Enqueues two jobs, which exist exactly when this one has completed."""
    me = jobd.current_job()
    for number in (0, 1):
        me.enqueue("quick", {"tag": f"child:{me.id}:{number}"})


@recorded("saves")
def saves(tag: str, parts: int) -> None:
    """Goes on where the last attempt left it; what `checkpoint` has returned from is on disk."""
    me = jobd.current_job()
    done = (me.last_checkpoint or {"done": 0})["done"]
    note(RESUMED, done)
    for part in range(done, parts):
        me.sleep(0.02)
        me.checkpoint({"done": part + 1})
        note(SAVED, part + 1)


@recorded("runs")
def runs(tag: str, seconds: float) -> None:
    """Runs a program with children of its own."""
    jobd.current_job().run(
        [sys.executable, "-S", "-E", PROGRAM, ROOT, "within", str(seconds)], check=False
    )
