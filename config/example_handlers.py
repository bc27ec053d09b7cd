"""Handlers to begin with: copy this file, and name it under `pool.handlers`.

    jobd run --handlers example_handlers --path config

A job's payload holds the arguments by name; what the function returns is its result. Both are JSON.
"""

import hashlib
import urllib.request
from pathlib import Path
from typing import Any

import jobd


@jobd.job("checksum", timeout=600)
def checksum(folder: str, pattern: str = "*") -> dict[str, Any]:
    """The SHA-256 of each file of a folder: long work that can be stopped and goes on where it was.

    The checkpoint is on disk when `checkpoint` returns. After a crash, a restart or a retry the
    next attempt finds it in `last_checkpoint`.
    """
    job = jobd.current_job()
    paths = sorted(path for path in Path(folder).glob(pattern) if path.is_file())
    digests = job.last_checkpoint or {}
    for path in paths:
        if path.name not in digests:
            job.check()  # raises jobd.Stopped when the job was told to stop
            digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
            job.checkpoint(digests)
            job.progress(len(digests), len(paths), path.name)
    return {"files": len(digests), "digests": digests}


@jobd.job("download", timeout="5m", max_retries=5, queue="network")
def download(url: str, to: str) -> dict[str, Any]:
    """Fetch a file. No `try`: the exception's class says whether another attempt may help.

    urllib.error.URLError is `network` and is retried; PermissionError for `to` is `permission`
    and waits for a person. A file that is there already is success: a job may run twice.
    """
    target = Path(to)
    if not target.exists():
        part = target.with_name(target.name + ".part")
        urllib.request.urlretrieve(url, part)  # noqa: S310 - whoever may enqueue may also exec
        part.rename(target)
    return {"bytes": target.stat().st_size}


@jobd.job("convert", timeout="1h", isolation="process", queue="media")
def convert(source: str, to: str) -> None:
    """Run a program as part of the job: it is ended with it, and never left behind.

    In a process of its own a handler can be killed, and uses a core to itself.
    """
    if not Path(source).exists():
        raise jobd.Fail(f"there is no {source}", failure_type="validation")
    jobd.current_job().run(["ffmpeg", "-nostdin", "-y", "-i", source, to])


@jobd.job("await_file", retries={"timeout": 0})
async def await_file(path: str) -> str:
    """Come back later, uncharged, until a file is there. Handlers may be coroutines."""
    if not Path(path).exists():
        raise jobd.Snooze(60)
    return path
