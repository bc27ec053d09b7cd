"""How the dispatcher sleeps and is woken: by its own process, by pokes, or by time."""

import os
import select
import socket
from contextlib import suppress
from pathlib import Path

from jobd.poke import FROM_A_JOB, address, socket_path
from jobd.store.files import file_mode


class Wakeup:
    """A bell inside the process, and the datagram socket that other processes poke."""

    def __init__(self, database: Path) -> None:
        self._bell, self._ringer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._bell.setblocking(False)
        self._ringer.setblocking(False)
        self._pokes = _listen(database)
        self._path = socket_path(database)
        self._asleep = False
        self.by_a_job = False
        """Whether the last poke came from a handler: the next stage of what it works on."""

    def ring(self) -> None:
        """Wake the dispatcher; costs nothing while it is awake."""
        if self._asleep:
            self._asleep = False
            self._send()

    def _send(self) -> None:
        try:
            self._ringer.send(b"\x01")
        except BlockingIOError:
            pass  # it is full of bells already

    def prepare(self) -> None:
        """From now on `ring` is heard; call before the last look at what there is to do."""
        self._asleep = True

    def wait(self, timeout: float) -> bool:
        """Sleep for at most `timeout` seconds; whether another process poked."""
        sockets, _, _ = select.select([self._bell, self._pokes], [], [], max(timeout, 0.0))
        self._asleep = False
        # One each: those behind it make the next wait short. To see that there are none would be
        # one more call in which a handler that computes takes the interpreter's lock.
        for each in sockets:
            with suppress(BlockingIOError):
                message = each.recv(16)
                if each is self._pokes:
                    self.by_a_job = message == FROM_A_JOB
        return self._pokes in sockets

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        for each in (self._pokes, self._bell, self._ringer):
            each.close()


def _listen(database: Path) -> socket.socket:
    """Bind the socket with a tight mode; an old one is of a dead daemon, for we hold its lock."""
    path = socket_path(database)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.setblocking(False)
    before = os.umask(0o177)
    try:
        with address(path) as name:
            listener.bind(name)
    finally:
        os.umask(before)
    os.chmod(path, file_mode(database))
    return listener
