"""Waiting for a program that a handler has started."""

import time
from itertools import pairwise
from pathlib import Path

from jobd.core.job import StopReason
from jobd.daemon.children import LONGEST_WAIT, ended_child
from jobd.daemon.program import Belonging


class Unstopped:
    """Of an attempt that nobody stops: it notes for how long it was asked to wait."""

    reason: StopReason | None = None

    def __init__(self) -> None:
        self.waits: list[float] = []

    def is_set(self) -> bool:
        return False

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        time.sleep(timeout)
        return False


def test_a_short_program_is_looked_after_often_and_a_long_one_seldom(tmp_path: Path) -> None:
    """No wait is much longer than the program has run, and none keeps a stop from being seen."""
    stopping = Unstopped()
    with (tmp_path / "out").open("wb") as out:
        status = ended_child(
            ["sleep", "0.2"], None, None, out, out, stopping,  # type: ignore[arg-type]
            1.0, Belonging(tmp_path / "jobd.db", "1-aa", 1, 1),
        )
    assert status == 0
    assert stopping.waits[0] <= 0.001
    assert all(later <= 2 * sooner for sooner, later in pairwise(stopping.waits))
    assert max(stopping.waits) == LONGEST_WAIT <= 0.02
