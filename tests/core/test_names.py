"""What queues and job types may be called."""

import pytest

from jobd.core.names import check_name
from jobd.errors import BadInput


@pytest.mark.parametrize("name", ["a", "media.v2", "Thumb-nail_3", "app:mail", "x" * 128])
def test_a_name_is_letters_digits_and_four_marks(name: str) -> None:
    """A name that fits comes back as it is."""
    assert check_name("queue", name) == name


@pytest.mark.parametrize("name", ["", "a b", "a/b", "é", "a\n", "٣", "x" * 129, "a,b", "\0"])
def test_any_other_name_is_refused(name: str) -> None:
    """The sentence says what was named, quotes it, and lists the characters."""
    with pytest.raises(BadInput, match=r"^job type .* is no name; write 1 to 128 of") as refused:
        check_name("job type", name)
    assert "\n" not in str(refused.value)
