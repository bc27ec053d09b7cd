"""Telling the daemon that there is something new: one datagram, which may be lost."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

LONGEST_ADDRESS = 107
FROM_OUTSIDE, FROM_A_JOB = b"\x01", b"\x02"


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
        self._name = str(self._path)
        self._is_long = len(os.fsencode(self._path)) > LONGEST_ADDRESS
        self._socket: socket.socket | None = None
        self._nobody_at: object = None

    def poke(self, place: object = None, message: bytes = FROM_OUTSIDE) -> None:
        """As the function `poke`; `message` says who pokes.

        `place` is the state of the database's directory, or None when it is not known. Whoever
        was not there is not tried again before that changes: a daemon that starts changes it.
        """
        if place is not None and place == self._nobody_at:
            return
        try:
            self._send(message)
        except BlockingIOError:
            pass  # its inbox is full: it is awake
        except OSError:
            self._nobody_at = place

    def _send(self, message: bytes) -> None:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        if self._is_long:
            with address(self._path) as name:
                self._socket.sendto(message, name)
        else:
            self._socket.sendto(message, self._name)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    __del__ = close
