"""`sys.stdout` and `sys.stderr` of a process that runs handlers: what a job prints is kept with it.

All threads share these two, so each write asks for whom it is: for the current job of its thread or
task. Whoever has none, as a thread that a handler started, writes as if nothing stood in between.
On a terminal all of it is escaped: what a job prints drives nobody's.
"""

import io
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from typing import Any

from jobd.core.current import job_here
from jobd.daemon.context import JobContext
from jobd.log import escape
from jobd.store.attempt_files import STREAMS

_BETWEEN = re.compile(r"[^\n\t]+")


class SharedStream:
    """Keeps what a job writes, and passes everything on to where it went before."""

    def __init__(self, name: str, stream: Any) -> None:
        self._name = name
        self._stream = stream

    def write(self, text: Any) -> int:
        _keep(self._name, text)
        if not self._on_terminal:
            written: int = self._stream.write(text)
            return written
        self._stream.write(_harmless(text))
        return len(text)

    def flush(self) -> None:
        _keep(self._name, b"", flush=True)
        self._stream.flush()

    def writelines(self, lines: Iterable[Any]) -> None:
        for line in lines:
            self.write(line)

    def isatty(self) -> bool:
        """No: a library that asks need not write colours and moves of the cursor."""
        return False

    @cached_property
    def _on_terminal(self) -> bool:
        found: bool = self._stream.isatty()
        return found

    @property
    def buffer(self) -> "SharedStream":
        """The stream below, for bytes."""
        return SharedStream(self._name, self._stream.buffer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _harmless(written: Any) -> Any:
    """The same for a terminal: only its line ends and tabs are obeyed."""
    if isinstance(written, str):
        return _BETWEEN.sub(lambda found: escape(found.group()), written)
    text = bytes(memoryview(written)).decode("utf-8", "backslashreplace")
    return _harmless(text).encode("utf-8", "backslashreplace")


def share_streams() -> None:
    """Call it before handlers are imported: what they import may hold on to these streams."""
    for name in STREAMS:
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, SharedStream):
            if isinstance(stream, io.TextIOWrapper):
                # In a pipe as on a terminal: a line is seen when it is printed, and not torn.
                stream.reconfigure(line_buffering=True)
            setattr(sys, name, SharedStream(name, stream))


def _keep(name: str, written: Any, *, flush: bool = False) -> None:
    job = job_here()
    if not isinstance(job, JobContext):
        return
    if isinstance(written, str):
        job.keep(name, written.encode("utf-8", "backslashreplace"))
    else:
        with suppress(TypeError):  # it is no bytes, and who is to write it will say so
            job.keep(name, bytes(memoryview(written)), flush=flush)
