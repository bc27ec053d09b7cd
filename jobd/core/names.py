"""What queues and job types may be called."""

import re
from collections.abc import Iterable
from functools import lru_cache

from jobd.errors import BadInput

_NAME = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def check_name(kind: str, text: str) -> str:
    """`text` itself when it may name a `kind` ("queue", "job type"); BadInput otherwise."""
    if not isinstance(text, str) or not _is_name(text):
        raise BadInput(
            f"{kind} {text!r:.60} is no name; write 1 to 128 of the characters A-Z a-z 0-9 . _ : -"
        )
    return text


@lru_cache(maxsize=1_024)
def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Up to three known names that a misspelt one may have meant."""
    from difflib import get_close_matches  # for a mistake alone

    return get_close_matches(name, known, n=3, cutoff=0.6)
