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
    with contextlib.closing(Poker(database)) as poker:
        poker.poke()


class Poker:
    """Pokes one daemon again and again, whether it is there or not, through one socket."""

    def __init__(self, database: Path) -> None:
        self._path = socket_path(database)
        self._socket: socket.socket | None = None

    def poke(self) -> None:
        """As the function `poke`."""
        with contextlib.suppress(OSError):
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            with address(self._path) as name:
                self._socket.sendto(b"\x01", name)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    __del__ = close
