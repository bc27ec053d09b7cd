"""What a worker and its child process say to each other: JSON in frames, over a socket."""

import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from jobd.core.job import (
    EndedEarly,
    Ending,
    Failed,
    Failure,
    Snoozed,
    StopReason,
    Succeeded,
    checked_delay,
)
from jobd.core.lifecycle import FailureType
from jobd.core.new_job import NewJob

AT_ONCE = 1 << 16
READS = 64
"""At most: so much is more than a socket holds, and a sender in a hurry cannot keep us here."""

_length = struct.Struct("!I")
_encoder = json.JSONEncoder(separators=(",", ":"))

Frame = list[Any]


class Frames:
    """One end of a socket pair that carries JSON arrays, each with its length before it.

    One thread reads; several may send only when each holds the same lock.
    """

    def __init__(self, end: socket.socket) -> None:
        self.closed = False
        self._socket = end
        self._unread = bytearray()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, *frame: object) -> None:
        """Send one frame; OSError when the other end is gone."""
        self._socket.sendall(_framed(frame))

    def post(self, *frame: object) -> None:
        """Send a small frame without waiting; it is lost when the other end is gone or stuck."""
        try:
            self._socket.send(_framed(frame), socket.MSG_DONTWAIT)
        except OSError:
            pass  # who does not read its frames is killed, or is dead

    def receive(self) -> Frame | None:
        """The next frame, waiting for it; None when the other end is gone."""
        while (frame := self._next()) is None:
            if not self._read(0):
                return None
        return frame

    def arrived(self) -> Iterator[Frame]:
        """The frames that are there, without waiting for any."""
        for _ in range(READS):
            full = self._read(socket.MSG_DONTWAIT) == AT_ONCE
            while (frame := self._next()) is not None:
                yield frame
            if not full:
                break

    def close(self) -> None:
        self.closed = True
        self._socket.close()

    def _next(self) -> Frame | None:
        unread = self._unread
        if len(unread) < _length.size:
            return None
        end = _length.size + int(_length.unpack_from(unread)[0])
        if len(unread) < end:
            return None
        frame: Frame = json.loads(unread[_length.size : end].decode("ascii"))
        del unread[:end]
        return frame

    def _read(self, flags: int) -> int:
        """Take some of what has arrived; how many bytes."""
        try:
            data = self._socket.recv(AT_ONCE, flags)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        self.closed = not data
        self._unread += data
        return len(data)


def _framed(frame: object) -> bytes:
    body = _encoder.encode(frame).encode("ascii")
    return _length.pack(len(body)) + body


def as_frame(ending: Ending) -> Frame:
    """An ending as JSON; why it ended early is the daemon's to say."""
    match ending:
        case Succeeded(result, enqueued):
            return ["succeeded", result, list(enqueued)]
        case Failed(failure):
            return ["failed", asdict(failure)]
        case Snoozed(seconds):
            return ["snoozed", seconds]
        case _:
            return ["ended_early"]


def from_frame(frame: Frame, reason: StopReason | None) -> Ending:
    """The ending that `as_frame` made; `reason` is what had asked it to end early."""
    match frame:
        case ["succeeded", result, enqueued]:
            return Succeeded(result, tuple(NewJob(*each) for each in enqueued))
        case ["failed", values]:
            return Failed(Failure(**{**values, "type": FailureType(values["type"])}))
        case ["snoozed", seconds]:
            return Snoozed(checked_delay(seconds))
        case _:
            return EndedEarly(reason)
