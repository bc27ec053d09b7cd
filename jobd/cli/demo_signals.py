"""The signals that end a demo: always noted, raised only where the demo can be left."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Signals:
    """Catches them for a block; the first one raises KeyboardInterrupt where `raised` says so.

    One that was ignored before (nohup) stays ignored.
    """

    def __init__(self) -> None:
        self.arrived: list[int] = []
        self._raising = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            # Where one has come the demo ends, and one more must not change how.
            signal.signal(number, signal.SIG_IGN if self.arrived else handler)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """A signal ends the block, also one that came before it."""
        self._raising = True
        try:
            if self.arrived:
                raise KeyboardInterrupt
            yield
        finally:
            self._raising = False

    @contextmanager
    def noted(self) -> Iterator[None]:
        """A part of a `raised` block that is not to be interrupted; what came ends it after."""
        was, self._raising = self._raising, False
        already = len(self.arrived)
        try:
            yield
        finally:
            self._raising = was
        if was and len(self.arrived) > already:
            raise KeyboardInterrupt

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.arrived.append(number)
        if self._raising:
            self._raising = False
            raise KeyboardInterrupt
