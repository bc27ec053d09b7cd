"""The command line of `jobd run`, before it becomes a daemon."""

import sys
from collections.abc import Callable
from pathlib import Path

from jobd.cli.main import build_parser
from jobd.daemon.handlers import load_handlers

Jobd = Callable[..., tuple[int, str, str]]


def test_what_is_given_twice_is_taken_twice() -> None:
    """A second --handlers or --path adds to the first."""
    words = ["run", "--handlers", "a", "b", "--path", "x", "--handlers", "c", "--path", "y", "z"]
    found = build_parser().parse_args(words)
    assert (found.handlers, found.path) == (["a", "b", "c"], ["x", "y", "z"])


def test_modules_with_commas_between_are_told_how_to_be_written(jobd: Jobd) -> None:
    """The answer is what to type, not the syntax of the configuration file."""
    assert jobd("run", "--handlers", "h,example_handlers") == (
        2, "", "jobd: --handlers h,example_handlers: put spaces between modules: "
        "--handlers h example_handlers\n"
    )


def test_without_modules_nothing_is_looked_for(tmp_path: Path) -> None:
    """A daemon that runs commands alone must not meet a queue.py of its working directory."""
    before = list(sys.path)
    load_handlers((), [str(tmp_path)])
    assert sys.path == before
