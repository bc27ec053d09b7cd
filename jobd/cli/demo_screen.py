"""How the demo shows its course: a bar that stays on its line, or plain lines."""

import os
import shutil
import sys
from collections.abc import Mapping

from jobd import clock
from jobd.core.lifecycle import LIVE, RUNNING, JobStatus

BAR_WIDTH = 30
SAY_EVERY = 2.0


class Screen:
    """A progress bar on a terminal that can draw one, else a line every two seconds."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._said_at = -SAY_EVERY
        self._explained = False
        self._full, self._empty = "█░" if can_print("█░") else "#."

    def show(self, counts: Mapping[JobStatus, int], buffered: int, *, final: bool) -> None:
        """The counts per status of this moment; `buffered` of the running ones are not begun."""
        done = self._total - sum(counts[status] for status in LIVE)
        words = "  ".join(_words(counts, buffered))
        if self._terminal:
            if buffered:
                self._explain()
            print(f"\r{self._bar(done, words)}\x1b[K", end="\n" if final else "", flush=True)
        elif final or clock.monotonic() - self._said_at >= SAY_EVERY:
            self._said_at = clock.monotonic()
            print(f"{done} of {self._total} ended: {words}", flush=True)
            if buffered:
                self._explain()

    def say(self, sentence: str) -> None:
        """One line that stays."""
        print(f"\r{sentence}\x1b[K" if self._terminal else sentence, flush=True)

    def _bar(self, done: int, words: str) -> str:
        """Percentage and counts, and as much of a bar as the terminal has room for."""
        said = f"{100 * done // max(self._total, 1):3} %  {words}"
        columns = shutil.get_terminal_size().columns - 1
        width = min(BAR_WIDTH, columns - len(said) - 1)
        if width <= 0:
            return said[:columns]
        filled = width * done // max(self._total, 1)
        return f"{self._full * filled}{self._empty * (width - filled)} {said}"

    def _explain(self) -> None:
        if not self._explained:
            self._explained = True
            self.say("(buffered: claimed, and begun as soon as a worker is free)")


def _words(counts: Mapping[JobStatus, int], buffered: int) -> list[str]:
    begun = {**counts, RUNNING: max(counts[RUNNING] - buffered, 0)}
    words = [f"{status} {count}" for status, count in begun.items() if count]
    return [*words, f"buffered {buffered}"] if buffered else words


def can_print(text: str) -> bool:
    """Whether standard output has all these letters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
