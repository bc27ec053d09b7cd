"""Telling the daemon that there is something new: one datagram, which may be lost."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

LONGEST_ADDRESS = 107


def socket_path(database: Path) -> Path:
    return Path(f"{database}.sock")


@contextlib.contextmanager
def address(path: Path) -> Iterator[str]:
    """A name of `path` that fits into a socket address, through its directory when it is long."""
    if len(os.fsencode(path)) <= LONGEST_ADDRESS:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def poke(database: Path) -> None:
    """Wake the daemon of `database`; nothing happens when none listens or its inbox is full."""
    with (
        contextlib.suppress(OSError),
        address(socket_path(database)) as name,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender,
    ):
        sender.sendto(b"\x01", name)
