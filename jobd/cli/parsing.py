"""The parser of a command line: mistakes in one sentence, with what was probably meant."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NoReturn

from jobd.errors import BadInput

LONGEST = 300
"""So much of a complaint of argparse, which quotes words whole, is said."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line as every other error: one sentence, status 2."""

    def error(self, message: str) -> NoReturn:
        said = message if len(message) <= LONGEST else f"{message[:LONGEST]}\u2026"
        raise BadInput(f"{said}; see `{self.prog} --help`")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Here each verb still knows its own options; nothing unknown is passed on.

        Where `argv` has a default, what stands behind -- becomes that; it may then be missing,
        which argparse cannot say of arguments that follow options.
        """
        words = list(args or ())
        apart = self.get_default("argv") is not None and "--" in words
        end = words.index("--") if apart else len(words)
        found, extra = super().parse_known_args(words[:end], namespace)
        if extra:
            self.error(self._unknown(extra[0]))
        if apart:
            found.argv = words[end + 1 :]
        return found, extra

    def _get_formatter(self) -> argparse.HelpFormatter:
        """It is asked for with each option that is added, and would find out the width anew."""
        made: Callable[..., argparse.HelpFormatter] = self.formatter_class
        return made(prog=self.prog, width=_width())

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse itself says nothing when the help cannot be written.
        (file or sys.stdout).write(message)

    def _unknown(self, word: str) -> str:
        if not word.startswith("-"):
            return f"{word!r:.60} is one argument too many"
        option = word.partition("=")[0]
        known = [name for action in self._actions for name in action.option_strings]
        said = f"`{self.prog}` has no option {option!r:.60}{_meant(option, known)}"
        if any(action.metavar == "ARGV" for action in self._actions):
            said += "; what belongs to the program stands behind --"
        return said

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(each) for each in action.choices]
        guess = _meant(str(value), choices)
        if isinstance(action, argparse._SubParsersAction):
            self.error(f"`{self.prog}` has no verb {value!r:.60}{guess}")
        raise argparse.ArgumentError(
            action, f"{value!r:.60} is none of {', '.join(choices)}{guess}"
        )


@lru_cache(maxsize=1)
def _width() -> int:
    """Columns of the help, as argparse finds them with shutil, which is much to import."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdecimal() and int(columns[:9]) > 0:
        return int(columns[:9]) - 2
    try:
        found = os.get_terminal_size(sys.__stdout__.fileno()) if sys.__stdout__ else None
    except (ValueError, OSError):
        found = None
    return ((found and found.columns) or 80) - 2


def _meant(word: str, known: Iterable[str]) -> str:
    # Imported by who has made a mistake, and by nobody else.
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), n=2)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def global_options_first(argv: Sequence[str]) -> list[str]:
    """`jobd list --json` means `jobd --json list`: people write global options at the end."""
    first: list[str] = []
    rest = list(argv)
    end = rest.index("--") if "--" in rest else len(rest)
    index = 0
    while index < end:
        word = rest[index]
        value = rest[index + 1] if index + 1 < end else ""
        if re.fullmatch("--[a-z-]+", word) and re.match("-[0-9]", value):
            # argparse would take the value -5s for an option.
            rest[index : index + 2] = [f"{word}={value}"]
            end -= 1
        if word == "--json" or word.startswith(("--db=", "--config=")):
            taken = 1
        elif word in ("--db", "--config") and index + 1 < end:
            taken = 2
        else:
            index += 1
            continue
        first += rest[index : index + taken]
        del rest[index : index + taken]
        end -= taken
    return first + rest


def verb_at(words: Sequence[str]) -> int | None:
    """Where the verb stands behind the global options; None when they ask for something else."""
    index = 0
    while index < len(words):
        word = words[index]
        if not word.startswith("-"):
            return index
        if word in ("--version", "--help", "-h"):
            return None
        index += 2 if word in ("--db", "--config") else 1
    return None


def help_last(words: Sequence[str]) -> list[str]:
    """`jobd help list` means `jobd list --help`."""
    at = verb_at(words)
    if at is None or words[at] != "help":
        return list(words)
    return [*words[:at], *words[at + 1 :], "--help"]
