"""Telling systemd how we are: datagrams to NOTIFY_SOCKET, nothing when there is none."""

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

from jobd.core.service import unit_of

PRIVATE = ("NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_")
"""How the variables begin that systemd means for the daemon alone."""


class Systemd:
    """The service manager that started us, if one did (sd_notify(3))."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Take our variables out of `environment`, so that nothing we start finds them there."""
        given = {name: environment.pop(name) for name in list(environment) if is_private(name)}
        self._address = given.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        self.watchdog = _watchdog(given)
        """Seconds after the last sign of life at which systemd ends us; None when it never does."""
        self.unit = _unit() if self._address else ""
        """What we are to be started by; empty when systemd did not start us."""
        self._status = ""

    def ready(self) -> None:
        self._tell("READY=1")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def reloading(self, monotonic: float) -> None:
        self._tell("RELOADING=1", f"MONOTONIC_USEC={round(monotonic * 1e6)}")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def needs(self, seconds: float) -> None:
        """Starting or stopping goes on; it is stuck when nothing is heard for so long."""
        self._tell(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def status(self, text: str) -> None:
        """What `systemctl status` shows; told when it changes."""
        if text != self._status:
            self._status = text
            self._tell(f"STATUS={text}")

    def _tell(self, *assignments: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto("\n".join(assignments).encode(), self._address)
        except OSError:
            pass  # the manager is gone or not listening: not ours to solve


def _unit() -> str:
    with suppress(OSError, UnicodeDecodeError):
        return unit_of(Path("/proc/self/cgroup").read_text())
    return ""


def is_private(name: str) -> bool:
    """Whether systemd means this variable for the daemon alone."""
    return name.startswith(PRIVATE)


def _watchdog(given: MutableMapping[str, str]) -> float | None:
    microseconds = given.get("WATCHDOG_USEC", "")
    ours = given.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(microseconds) / 1e6 if ours and microseconds.isdecimal() else None
