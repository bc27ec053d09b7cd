"""Job ids on the command line: one or many."""

import argparse
import re
from collections.abc import Iterable

from jobd.errors import BadInput

_LARGEST = (1 << 63) - 1


def add_ids(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Let the verb take ids; with `optional` it may also get none."""
    parser.add_argument("ids", metavar="ID", nargs="*" if optional else "+", help="a job's id")


def job_ids(words: Iterable[str]) -> list[int]:
    """The ids that `words` are, each once, in order.

    Raises:
        BadInput: a word is no id; it is named.
    """
    return list(dict.fromkeys(_job_id(word) for word in words))


def _job_id(word: str) -> int:
    number = int(word) if re.fullmatch(r"[0-9]{1,19}", word) else 0
    if not 1 <= number <= _LARGEST:
        raise BadInput(f"{word!r:.60} is no job id; an id is a number such as 17")
    return number
