"""The line in which `jobd demo` shows its course."""

import sys

import pytest

from jobd.cli.demo_screen import Screen
from jobd.core.lifecycle import JobStatus

COUNTS = {**dict.fromkeys(JobStatus, 0), JobStatus.PENDING: 6, JobStatus.RUNNING: 24,
          JobStatus.COMPLETED: 70}


def on_terminal(monkeypatch: pytest.MonkeyPatch, term: str, columns: int = 80) -> Screen:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", str(columns))
    return Screen(100)


@pytest.mark.parametrize("columns", [20, 40, 60, 80])
def test_the_bar_gives_way_to_the_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    """On a narrow terminal it shrinks, and goes, before a count is cut; no line wraps."""
    on_terminal(monkeypatch, "xterm", columns).show(COUNTS, 0, final=False)
    line = capsys.readouterr().out.removeprefix("\r").removesuffix("\x1b[K")
    assert len(line) < columns
    assert "70 %  pending 6  running 24  completed 70"[: columns - 2] in line
    assert line.count("█") == {20: 0, 40: 0, 60: 11, 80: 21}[columns]


def test_a_dumb_terminal_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing in them drives a cursor."""
    screen = on_terminal(monkeypatch, "dumb")
    screen.show(COUNTS, 0, final=True)
    screen.say("something")
    assert capsys.readouterr().out == (
        "70 of 100 ended: pending 6  running 24  completed 70\nsomething\n"
    )


def test_jobs_that_wait_for_a_worker_are_not_shown_as_running(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is claimed beyond the workers is buffered, and said once to be so."""
    screen = Screen(100)
    screen.show(COUNTS, 20, final=True)
    screen.show(COUNTS, 20, final=True)
    said = capsys.readouterr().out
    assert said.count("pending 6  running 4  completed 70  buffered 20\n") == 2
    assert said.count("claimed, and begun as soon as a worker is free") == 1
