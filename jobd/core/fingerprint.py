"""What failures have in common: the same fingerprint for the same cause, whatever the numbers.

Numbers, hexadecimal, paths, addresses and quoted strings of an error message differ from job to
job; what is left of it, with the job type and the failure type, is the cause.
"""

import hashlib
import re
from dataclasses import dataclass, field
from functools import lru_cache

READ_AT_MOST = 1_000
"""Characters of a message that count: a traceback of a megabyte says no more."""

MOST_GROUPS = 10_000

_VARYING = re.compile(
    r"""
      (?P<text>  (?<!\w)'[^'\n]{0,400}'(?!\w) | (?<!\w)"[^"\n]{0,400}"(?!\w) | `[^`\n]{0,400}` )
    | (?P<url>   \b[A-Za-z][A-Za-z0-9+.-]{0,15}://[^\s'"<>]+ )
    | (?P<id>    \b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b )
    | (?P<path>  (?<![\w/])(?:~|\.{1,2})?/[^\s'":;,()\[\]<>]+
               | (?<![\w/.])[\w.-]{1,100}(?:/[\w.-]{1,100}){1,30}\.\w{1,8}\b )
    | (?P<hex>   \b0[xX][0-9A-Fa-f]+\b | \b(?=[A-Fa-f]{0,64}[0-9])[0-9A-Fa-f]{8,64}\b )
    | (?P<n>     [0-9]+(?:[.,:][0-9]+)* )
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One parked job, as far as its cause goes; `parked_at` in ms."""

    id: int
    job_type: str
    queue: str
    failure_type: str | None
    message: str | None
    parked_at: int
    execution_over: bool

    @property
    def error(self) -> str:
        return normalised(self.message or "")

    @property
    def fingerprint(self) -> str:
        return _hashed(self.job_type, self.failure_type or "", self.error)


@dataclass(slots=True)
class Group:
    """Dead letters with one fingerprint.

    `example_id` is the newest whose execution is over, else the newest.
    """

    fingerprint: str
    job_type: str
    failure_type: str | None
    error: str
    count: int = 0
    oldest_at: int = 0
    newest_at: int = 0
    example_id: int = 0
    still_executing: int = 0
    _example: tuple[bool, int, int] = (False, 0, 0)

    def add(self, letter: DeadLetter) -> None:
        self.count += 1
        self.still_executing += not letter.execution_over
        self.oldest_at = min(self.oldest_at or letter.parked_at, letter.parked_at)
        self.newest_at = max(self.newest_at, letter.parked_at)
        self._example = max(
            self._example, (letter.execution_over, letter.parked_at, letter.id)
        )
        self.example_id = self._example[2]


@dataclass(slots=True)
class Groups:
    """Groups by fingerprint: ten thousand at most, and a count of what fits into none of them."""

    found: dict[str, Group] = field(default_factory=dict)
    others: int = 0

    def add(self, letter: DeadLetter) -> None:
        key = letter.fingerprint
        group = self.found.get(key)
        if group is None:
            if len(self.found) >= MOST_GROUPS:
                self.others += 1
                return
            group = Group(key, letter.job_type, letter.failure_type, letter.error)
            self.found[key] = group
        group.add(letter)

    def largest_first(self) -> list[Group]:
        return sorted(self.found.values(), key=lambda group: (-group.count, -group.newest_at))


@lru_cache(maxsize=4_096)
def normalised(message: str) -> str:
    """The message with `<n>`, `<hex>`, `<path>`, `<url>`, `<id>` or `<text>` for what varies."""
    found = _VARYING.sub(lambda match: f"<{match.lastgroup}>", message[:READ_AT_MOST])
    return " ".join(found.split())


@lru_cache(maxsize=4_096)
def _hashed(job_type: str, failure_type: str, error: str) -> str:
    text = "\0".join((job_type, failure_type, error))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]
