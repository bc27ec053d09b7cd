"""How the demo shows its course: a bar that stays on its line, or plain lines."""

import shutil
import sys
from collections.abc import Mapping

from jobd import clock
from jobd.core.lifecycle import LIVE, JobStatus

BAR_WIDTH = 30
SAY_EVERY = 2.0


class Screen:
    """A progress bar on a terminal, a line every two seconds without one."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._terminal = sys.stdout.isatty()
        self._said_at = -SAY_EVERY
        full, empty = "█░" if _can_print("█░") else "#."
        self._full, self._empty = full, empty

    def show(self, counts: Mapping[JobStatus, int], *, final: bool) -> None:
        """The counts per status of this moment."""
        done = self._total - sum(counts[status] for status in LIVE)
        words = "  ".join(f"{status} {count}" for status, count in counts.items() if count)
        if self._terminal:
            filled = BAR_WIDTH * done // max(self._total, 1)
            bar = self._full * filled + self._empty * (BAR_WIDTH - filled)
            line = f"{bar} {100 * done // max(self._total, 1):3} %  {words}"
            print(f"\r{line[: shutil.get_terminal_size().columns - 1]}\x1b[K", end="", flush=True)
            if final:
                print()
        elif final or clock.monotonic() - self._said_at >= SAY_EVERY:
            self._said_at = clock.monotonic()
            print(f"{done} of {self._total} ended: {words}", flush=True)

    def say(self, sentence: str) -> None:
        """One line that stays."""
        print(f"\r{sentence}\x1b[K" if self._terminal else sentence, flush=True)


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
