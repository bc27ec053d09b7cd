"""The command line of `jobd run`, before it becomes a daemon."""

from collections.abc import Callable

from jobd.cli.main import build_parser

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
