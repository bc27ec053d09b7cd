"""The same cause has the same fingerprint, and another cause another one."""

import pytest

from jobd import clock
from jobd.core.fingerprint import MOST_GROUPS, DeadLetter, Groups, normalised


def letter(message: str, job_id: int = 1, at: int = 5, *, over: bool = True) -> DeadLetter:
    return DeadLetter(job_id, "thumb", "default", "network", message, at, over)


SAME = {
    "numbers": ("timed out after 30 s", "timed out after 7.5 s"),
    "addresses": ("10.0.0.7:8080 refused", "10.1.22.133:443 refused"),
    "hex": ("object at 0x7f3a10 is gone", "object at 0xffea is gone"),
    "digests": ("no blob 9f86d081884c7d65", "no blob 60303ae22b998861"),
    "uuids": ("order 2f1acc9e-0b1d-4c77-9d60-0d0f4d3f4b11 is bad",
              "order aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee is bad"),
    "paths": ("cannot open /srv/photos/2024/a.jpg", "cannot open ~/b c.jpg".replace(" c", "c")),
    "relative paths": ("no photos/2024/a.jpg here", "no x/y.png here"),
    "addresses of the web": ("GET https://a.example/x?y=1 failed",
                             "GET http://b.example/ failed"),
    "quoted": ("no customer 'ann b' found", 'no customer "bob" found'),
    "key errors": ("KeyError: 'name'", "KeyError: 'size'"),
    "white space": ("a  b\n c", "a b c"),
    "names with numbers": ("img17.raw is broken", "img4.raw is broken"),
}

DIFFERENT = {
    "words": ("connection refused", "connection reset"),
    "what is around a number": ("30 files missing", "30 rows missing"),
    "apostrophes quote nothing": ("can't read, don't ask", "can't write, don't ask"),
}


@pytest.mark.parametrize("name", SAME)
def test_what_varies_from_job_to_job_makes_no_difference(name: str) -> None:
    """The two are one cause."""
    one, other = SAME[name]
    assert normalised(one) == normalised(other)
    assert letter(one).fingerprint == letter(other).fingerprint


@pytest.mark.parametrize("name", DIFFERENT)
def test_other_words_are_another_cause(name: str) -> None:
    """The two stay apart."""
    one, other = DIFFERENT[name]
    assert letter(one).fingerprint != letter(other).fingerprint


def test_type_and_failure_type_are_part_of_it() -> None:
    """The same words of another job type are another group."""
    mine = letter("refused")
    others = [DeadLetter(1, "resize", "default", "network", "refused", 5, True),
              DeadLetter(1, "thumb", "default", "timeout", "refused", 5, True)]
    assert mine.fingerprint not in {each.fingerprint for each in others}
    elsewhere = DeadLetter(1, "thumb", "media", "network", "refused", 5, True)
    assert mine.fingerprint == elsewhere.fingerprint


@pytest.mark.parametrize("text", ["", "'" * 5_000, "a" * 1_000_000, "/" * 5_000, "a/" * 5_000,
                                  "0" * 5_000, "a-" * 5_000, '"x' * 5_000, "\ud800\x00\n"])
def test_no_message_takes_long(text: str) -> None:
    """Whatever a handler puts into an exception is read in a moment."""
    began = clock.monotonic()
    assert letter(text).fingerprint
    assert clock.monotonic() - began < 1.0


def test_a_group_knows_its_ages_and_an_example_that_can_be_retried() -> None:
    """The newest job whose execution is over stands for the group."""
    groups = Groups()
    for each in (letter("no 1", 1, 10), letter("no 2", 2, 30), letter("no 3", 3, 20),
                 letter("no 4", 4, 40, over=False)):
        groups.add(each)
    (group,) = groups.largest_first()
    assert (group.count, group.oldest_at, group.newest_at) == (4, 10, 40)
    assert (group.example_id, group.still_executing, group.error) == (2, 1, "no <n>")


def test_the_largest_group_comes_first() -> None:
    """And of two equals the one that grew last."""
    groups = Groups()
    for at, text in enumerate(["a", "b", "b", "c"]):
        groups.add(letter(text, at, at))
    assert [group.error for group in groups.largest_first()] == ["b", "c", "a"]


def test_however_many_causes_there_are_memory_is_bounded() -> None:
    """What fits into none of ten thousand groups is only counted."""
    groups = Groups()
    names = ("".join(chr(97 + n // 26**k % 26) for k in range(4)) for n in range(MOST_GROUPS + 5))
    for text in names:
        groups.add(letter(text))
    assert (len(groups.found), groups.others) == (MOST_GROUPS, 5)
