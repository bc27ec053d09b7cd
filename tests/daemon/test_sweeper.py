"""The scheduler around the sweeps: its end."""

import threading
from pathlib import Path

from jobd.daemon.sweeper import Sweep, Sweeper

MUCH_LATER = 10.0


def test_the_end_waits_for_a_sweep_that_goes_on(tmp_path: Path) -> None:
    """What it logs stands before the last line; and none begins after the end."""
    said: list[str] = []
    began = threading.Event()

    def call() -> None:
        began.set()
        while not sweeper._stopped:
            threading.Event().wait(0.001)
        said.append("a sweep")

    sweeper = Sweeper([Sweep("sweep", 0.01, call)], tmp_path / "jobd.db")
    sweeper.start()
    assert began.wait(MUCH_LATER)
    sweeper.stop()
    said.append("the end")
    sweeper._enter(sweeper._sweeps[0])
    assert said == ["a sweep", "the end"]


def test_the_end_does_not_wait_for_a_sweep_that_hangs(tmp_path: Path) -> None:
    """A database that stays locked must not keep the daemon from ending."""
    began, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def call() -> None:
        began.set()
        go_on.wait(MUCH_LATER)
        ended.set()

    sweeper = Sweeper([Sweep("sweep", 0.01, call)], tmp_path / "jobd.db")
    sweeper.start()
    assert began.wait(MUCH_LATER)
    sweeper.stop()
    assert not ended.is_set()
    go_on.set()
