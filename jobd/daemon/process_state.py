"""What all threads of a process share and a handler may change: seeing it, and putting it back."""

import locale
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

STREAMS = (0, 1, 2)
_NAMES = ("standard input", "standard output", "standard error")
_STATUS = "/proc/self/status"
UNKNOWN = "unknown"
NAMED = 5
"""At most so many variables are named in one change."""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One look at it. Of the environment only the names are ever told: values may be secret."""

    cwd: str
    umask: str
    locale: str
    environment: Mapping[bytes, bytes]
    streams: tuple[tuple[int, int] | None, ...]

    def changes_to(self, now: "ProcessState") -> Iterator[str]:
        """A phrase for each thing that is different now."""
        for what in ("cwd", "umask", "locale"):
            was, is_now = getattr(self, what), getattr(now, what)
            if was != is_now and UNKNOWN not in (was, is_now):
                yield f"{what}: {was} -> {is_now}"
        before, after = self.environment, now.environment
        names = [name for name in before.keys() | after.keys()
                 if before.get(name) != after.get(name)]
        if names:
            told = ", ".join(os.fsdecode(name) for name in sorted(names)[:NAMED])
            yield f"environment: {told}" + f" and {len(names) - NAMED} more" * (len(names) > NAMED)
        for name, was, is_now in zip(_NAMES, self.streams, now.streams, strict=True):
            if was != is_now:
                yield f"{name}: {'closed' if is_now is None else 'another file'}"


def look() -> ProcessState:
    """How it is now; takes well under a millisecond, and touches nothing."""
    return ProcessState(
        _cwd(), _umask(), locale.setlocale(locale.LC_ALL), environment(),
        tuple(map(_identity, STREAMS)),
    )


def environment() -> dict[bytes, bytes]:
    """The environment as bytes; empty while another thread changes it, or put something else in
    its place."""
    with suppress(RuntimeError, AttributeError):
        # Its public faces decode every value, which costs more than all the rest here.
        return dict(os.environ._data)  # type: ignore[attr-defined]
    return {}


class KeptStreams:
    """Copies of the standard streams; where a handler closed one, the next file that is opened
    would get its number and be written to by every `print`."""

    def __init__(self) -> None:
        self._copies = {stream: copy for stream in STREAMS if (copy := _copy(stream)) is not None}

    def put_back(self) -> None:
        """Open again what is closed; what stands in its place is let be."""
        for stream, copy in self._copies.items():
            if _identity(stream) is None:
                os.dup2(copy, stream)


class Home:
    """How a process of its own was before its first job; each job finds it so again."""

    def __init__(self) -> None:
        self._directory = os.open(".", os.O_PATH | os.O_CLOEXEC)
        self._mask = os.umask(0o077)
        os.umask(self._mask)
        self._locale = locale.setlocale(locale.LC_ALL)
        self._environment = dict(os.environ)
        self._left = environment()
        self._environ = os.environ
        self._streams = KeptStreams()

    def restore(self, marks: Mapping[str, str]) -> None:
        """Undo what the last handler changed; `marks` are added to the environment."""
        with suppress(OSError):
            os.chdir(self._directory)
        os.umask(self._mask)
        if locale.setlocale(locale.LC_ALL) != self._locale:
            locale.setlocale(locale.LC_ALL, self._locale)
        self._streams.put_back()
        if os.environ is not self._environ or environment() != self._left:
            os.environ = self._environ  # noqa: B003 - a handler put another object there
            os.environ.clear()
            os.environ.update(self._environment)
        os.environ.update(marks)
        self._left = environment()


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "(deleted)"


def _umask() -> str:
    """As the kernel tells it: asking by umask(2) would change it for other threads."""
    with suppress(OSError, IndexError):
        descriptor = os.open(_STATUS, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, 512).partition(b"Umask:\t")[2].split()[0].decode()
        finally:
            os.close(descriptor)
    return UNKNOWN


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _copy(descriptor: int) -> int | None:
    try:
        copy = os.dup(descriptor)
    except OSError:
        return None
    return copy
