"""Handlers for batches to begin with: one item is one file.

    jobd run --handlers example_batch --path config
    find /usr/share/doc -type f -print0 | jobd batch create sums --type digest --find0 - --as path
    jobd batch watch sums
    jobd batch results sums --ndjson > sums.ndjson

An item may run again after a crash: it writes what it makes under another name first, and what it
finds done it leaves. What it returns is kept, and `jobd batch results` prints it in the order of
the input.
"""

import ast
import hashlib
from pathlib import Path
from typing import Any

import jobd

PIECE = 1 << 20
SAVED_EACH = 64 * PIECE


@jobd.job("digest", timeout="10m")
def digest(path: str) -> dict[str, Any]:
    """The SHA-256 of a file. A directory or a missing file is `validation`: it is not retried."""
    job = jobd.current_job()
    source = Path(path)
    if not source.is_file():
        raise jobd.Fail(f"{path} is no file", failure_type="validation")
    found, size = hashlib.sha256(), source.stat().st_size
    with source.open("rb") as file:
        while piece := file.read(PIECE):
            job.check()  # a pause with --now, a cancel or a stop ends it here
            found.update(piece)
            if size > PIECE:
                job.progress(file.tell(), size)
    return {"path": path, "bytes": size, "sha256": found.hexdigest()}


@jobd.job("outline", isolation="process", retries={"validation": 0})
def outline(path: str) -> dict[str, int]:
    """What a Python file defines. In processes of their own, items use every core."""
    tree = ast.parse(Path(path).read_bytes(), path)
    kinds = {"functions": (ast.FunctionDef, ast.AsyncFunctionDef), "classes": ast.ClassDef}
    return {name: sum(isinstance(node, kind) for node in ast.walk(tree))
            for name, kind in kinds.items()}


@jobd.job("total", timeout="1h")
def total(path: str) -> int:
    """The sum of a large file's numbers, one a line: it goes on where the last attempt was."""
    job = jobd.current_job()
    state = job.last_checkpoint or {"at": 0, "sum": 0}
    saved = state["at"]
    with Path(path).open("rb") as file:
        file.seek(state["at"])
        while line := file.readline():
            state = {"at": state["at"] + len(line), "sum": state["sum"] + int(line)}
            if state["at"] - saved >= SAVED_EACH:
                saved = state["at"]
                job.checkpoint(state)  # on disk when it returns
                job.check()
    return int(state["sum"])


@jobd.job("announce")
def announce(batch: dict[str, Any], to: str = "everyone") -> None:
    """For --on-end 'announce={"to": "ann"}': it gets the batch, once for each of its runs."""
    job = jobd.current_job()
    job.log.info(f"batch {batch['name']} is {batch['status']}: "
                 f"{batch['successful_items']} of {batch['total_items']} done", to=to)
