"""What a handler prints and logs, kept in its attempt's directory as the output of commands is."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from jobd.store.attempt_files import OpenStream, cut

SMALLEST_PIECE, LARGEST_PIECE = 4_096, 65_536
"""So many bytes at least, and at most, are written between two looks at the size of the file."""


class KeptOutput:
    """The streams of one attempt; each is opened by its name as soon as it has a byte.

    Nothing here raises or waits for room: what cannot be written is dropped, and counted.
    """

    def __init__(self, open_it: Callable[[str], OpenStream], most: Callable[[], int]) -> None:
        self._open_it = open_it
        self._most = most
        self._streams: dict[str, _Stream] = {}
        # A finalizer or a signal handler may print while its own thread is in here.
        self._lock = threading.RLock()
        self._over = False

    def keep(self, name: str, data: bytes, *, flush: bool = False) -> None:
        """Add to a stream; nothing once the attempt is over."""
        with self._lock:
            if self._over:
                return
            stream = self._streams.get(name)
            if stream is None:
                stream = self._streams[name] = _Stream(partial(self._open_it, name), self._most)
            stream.add(data, flush=flush)

    def end(self) -> None:
        """Keep nothing from now on."""
        with self._lock:
            self._over = True
            for stream in self._streams.values():
                stream.close()

    @property
    def dropped(self) -> tuple[int, str]:
        """How many bytes could not be written, and why the last of them could not."""
        streams = list(self._streams.values())
        return (sum(each.dropped for each in streams),
                next((each.error for each in streams if each.error), ""))


class _Stream:
    """One file, which handlers share a process with and may close. It is written by lines."""

    def __init__(self, open_it: Callable[[], OpenStream], most: Callable[[], int]) -> None:
        self.dropped = 0
        self.error = ""
        self._open_it = open_it
        self._most = most
        self._held = bytearray()
        self._missing = 0
        self._file: OpenStream | None = None

    def add(self, data: bytes, *, flush: bool) -> None:
        """Hold it until its line is complete: print() writes each word by itself."""
        self._held += data
        if flush or b"\n" in data or len(self._held) >= SMALLEST_PIECE:
            self._write()

    def _write(self) -> None:
        rest = memoryview(self._held)
        self._held = bytearray()
        try:
            if self._missing:
                self._append(f"\n[jobd: {self._missing} bytes dropped: {self.error}]\n".encode())
                self._missing = 0
            while rest:
                rest = rest[self._append(rest[: self._piece()]) :]
        except OSError as error:
            self.error = error.strerror or type(error).__name__
            self._missing += len(rest)
            self.dropped += len(rest)

    def close(self) -> None:
        self._write()
        if self._file is not None and _size(self._file) is not None:
            with suppress(OSError):
                os.close(self._file.descriptor)

    def _append(self, data: bytes | memoryview) -> int:
        size = None if self._file is None else _size(self._file)
        if self._file is None or size is None:
            self._file = self._open_it()
            size = self._file.state.st_size
        if size + len(data) > (most := self._most()):
            cut(self._file.path, most, len(data))
        return os.write(self._file.descriptor, data)

    def _piece(self) -> int:
        return min(LARGEST_PIECE, max(SMALLEST_PIECE, self._most() // 4))


def _size(file: OpenStream) -> int | None:
    """None when a handler has closed it: by now its number may be that of another file, into which
    nothing must be written."""
    try:
        found = os.fstat(file.descriptor)
    except OSError:
        return None
    ours = os.path.samestat(found, file.state)
    return found.st_size if ours else None
