"""The handlers of `jobd demo`: one that works, and four that get into trouble on purpose."""

import ast
import hashlib
import os
import signal
import warnings
from pathlib import Path
from typing import Any

import jobd

# Old test files of the standard library have old escapes; the demo is not about those.
warnings.simplefilter("ignore")


@jobd.job("inspect_source", timeout=60)
def inspect_source(path: str) -> dict[str, Any]:
    """Size, lines, functions, classes and digest of one file.

    A file that Python cannot parse raises SyntaxError or ValueError: a `validation` failure,
    which no retry would mend.
    """
    source = Path(path).read_bytes()
    nodes = list(ast.walk(ast.parse(source)))
    return {
        "size": len(source),
        "lines": source.count(b"\n"),
        "functions": sum(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes
        ),
        "classes": sum(isinstance(node, ast.ClassDef) for node in nodes),
        "sha256": hashlib.sha256(source).hexdigest(),
    }


@jobd.job("overrun_once", timeout=1)
def overrun_once() -> str:
    """Sleep past the deadline in the first attempt; the retry is quick."""
    job = jobd.current_job()
    if job.retry_count == 0:
        job.sleep(60)  # raises jobd.Stopped at the deadline
    return "in time"


@jobd.job("kill_daemon_once")
def kill_daemon_once() -> str:
    """Kill the whole daemon with SIGKILL, once: the checkpoint is on disk before the blow."""
    job = jobd.current_job()
    if job.last_checkpoint is None:
        job.checkpoint("about to kill")
        os.kill(os.getpid(), signal.SIGKILL)
    return "let live"


@jobd.job("fail_twice")
def fail_twice() -> str:
    """A service that does not answer before the third attempt."""
    if jobd.current_job().retry_count < 2:
        raise ConnectionError("nobody answers")
    return "answered"


@jobd.job("resize")
def resize(width: int) -> int:
    """Refuse a width that no picture can have: ValueError is a `validation` failure."""
    if width <= 0:
        raise ValueError(f"width must be positive, not {width}")
    return width
