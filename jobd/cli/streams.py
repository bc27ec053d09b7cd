"""The standard streams of a verb: what is said when one is closed, full or has no reader."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from jobd import errors
from jobd.cli.table import printable


def have_streams() -> None:
    """A standard stream that our parent closed is /dev/null, and not the next file we open.

    One that cannot be read or written, except for standard error, where nobody could be told.
    """
    for descriptor, name, mode, flags in (
        (0, "stdin", "r", os.O_WRONLY), (1, "stdout", "w", os.O_RDONLY),
        (2, "stderr", "w", os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, flags)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            setattr(sys, name, open(descriptor, mode))  # noqa: SIM115 - for as long as we live


def complain(message: str) -> None:
    """One line on standard error; where that cannot be, the verb goes on without it."""
    try:
        print(f"jobd: {printable(message)}", file=sys.stderr, flush=True)
    except OSError:
        drop(sys.stderr)


def flushed(status: int) -> int:
    """Write what is still buffered: a reader who has gone took what he wanted; 74 for a failure."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        drop(sys.stdout)
    except OSError as error:
        drop(sys.stdout)
        complain(f"cannot write the output: {why(error)}")
        return status or errors.OUTPUT
    return status


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Print inside it what has been done; who cannot be told so is told on standard error.

    Raises:
        OutputFailed: standard output did not take it; `what` is in the message.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        drop(sys.stdout)
        raise errors.OutputFailed(f"{what}, but that could not be printed: {why(error)}") from error


def drop(stream: TextIO) -> None:
    """Let go what is buffered: Python would try once more at its exit, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def why(error: OSError) -> str:
    """What is wrong with standard output."""
    if error.errno == errno.EBADF:
        return "standard output is closed"
    return f"standard output: {error.strerror or error}"
