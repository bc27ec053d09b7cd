"""The age of the daemon's last sign of life, as somebody outside reads it."""

import os
from pathlib import Path

import pytest

from jobd.store.daemon_lock import lock_path
from jobd.store.presence import SET_BACK_MS, silent_ms

GIVEN = 1_800_000_000_000


@pytest.mark.parametrize(("looked", "age"), [
    (GIVEN + 40_000, 40_000), (GIVEN, 0),
    (GIVEN - 5, 0), (GIVEN - SET_BACK_MS, 0), (GIVEN - SET_BACK_MS - 1, None),
])
def test_a_sign_given_while_we_look_is_new_and_one_far_ahead_says_nothing(
    tmp_path: Path, looked: int, age: int | None
) -> None:
    """The clock is read before the file; only a clock that was set back puts it far ahead."""
    database = tmp_path / "jobs.db"
    lock_path(database).touch()
    os.utime(lock_path(database), ns=(GIVEN * 1_000_000, GIVEN * 1_000_000))
    assert silent_ms(database, looked) == age


def test_without_the_lock_there_is_no_age(tmp_path: Path) -> None:
    """No daemon has ever been here."""
    assert silent_ms(tmp_path / "jobs.db", GIVEN) is None
