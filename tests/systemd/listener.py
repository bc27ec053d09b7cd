"""A socket in the place of systemd's, and what daemons said to it, datagram by datagram."""

import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.daemon.harness import DEADLINE, Lines

Told = dict[str, str]


class Listener(AbstractContextManager["Listener"]):
    """Listens at a path, or at a name that is in no directory when that starts with "@"."""

    def __init__(self, address: Path | str) -> None:
        self.address = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address.replace("@", "\0", 1))
        self._lines = Lines(self, lambda told: told)

    def __iter__(self) -> Iterator[Told]:
        while datagram := self._socket.recv(4096):
            lines = datagram.decode().split("\n")
            yield dict(line.split("=", 1) for line in lines) | {"at": str(time.monotonic())}

    def close(self) -> None:
        """The reading thread has come to the end."""
        self._socket.close()

    def __exit__(self, *_: Any) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.address.replace("@", "\0", 1))
        self._lines.join()

    @property
    def heard(self) -> list[Told]:
        return list(self._lines.seen)

    def wait(self, after: int = 0, **wanted: str) -> int:
        """The place of the first datagram from `after` on in which each of these is in its
        value."""
        found = self._lines.first(
            lambda told: all(text in told.get(name, "") for name, text in wanted.items())
            and wanted.keys() <= told.keys(), after, DEADLINE,
        )
        assert found is not None, (wanted, self.heard[-10:])
        return found

    def signs(self, after: int = 0) -> list[float]:
        """When a sign of life came."""
        return [float(told["at"]) for told in self.heard[after:] if told.get("WATCHDOG") == "1"]
