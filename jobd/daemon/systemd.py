"""Telling systemd how we are: datagrams to NOTIFY_SOCKET, nothing when it is not set."""

import os
import socket


def notify(*assignments: str) -> None:
    """Send assignments such as "READY=1" (sd_notify(3)); a failure is not ours to solve."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            sender.sendto("\n".join(assignments).encode(), address)
    except OSError:
        pass  # the manager is gone or not listening
