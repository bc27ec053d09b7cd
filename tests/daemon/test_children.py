"""Waiting for a program that a handler has started."""

from itertools import pairwise
from pathlib import Path

from jobd.daemon.attempt import Stopping
from jobd.daemon.children import LONGEST_WAIT, ended_child
from jobd.daemon.program import Belonging


class Noted(Stopping):
    """Nobody sets it; it notes for how long it was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return super().wait(timeout)


def test_a_short_program_is_looked_after_often_and_a_long_one_seldom(tmp_path: Path) -> None:
    """No wait is much longer than the program has run, and none keeps a stop from being seen."""
    stopping = Noted()
    with (tmp_path / "out").open("wb") as out:
        status = ended_child(["sleep", "0.2"], None, None, out, out, stopping, 1.0,
                             Belonging(tmp_path / "jobd.db", "1-aa", 1, 1))
    assert status == 0
    waits = [wait for wait in stopping.waits if wait is not None]
    assert len(waits) == len(stopping.waits), "a wait without end"
    assert waits[0] <= 0.001
    assert all(later <= 1.25 * sooner for sooner, later in pairwise(waits))
    assert max(waits) == LONGEST_WAIT <= 0.02
