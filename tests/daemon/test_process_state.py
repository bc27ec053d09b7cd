"""What a handler changed, as it is told."""

from dataclasses import replace

import pytest

from jobd.daemon.process_state import UNKNOWN, ProcessState

BEFORE = ProcessState("/srv", "0022", "C.UTF-8", {b"HOME": b"/root"}, ((1, 1), (1, 2), None))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, []),
        ({"cwd": "/"}, ["cwd: /srv -> /"]),
        ({"umask": UNKNOWN}, []),
        ({"environment": {b"SECRET": b"hunter2"}}, ["environment: HOME, SECRET"]),
        ({"streams": (None, (1, 2), None)}, ["standard input: closed"]),
        ({"streams": ((1, 1), (7, 7), None)}, ["standard output: another file"]),
        ({"streams": ((1, 1), (1, 2), (7, 7))}, ["standard error: another file"]),
    ],
)
def test_each_change_has_its_phrase(changed: dict[str, object], told: list[str]) -> None:
    """What it was and is, or just whose it is; values of variables and what is unknown never."""
    now = replace(BEFORE, **changed)  # type: ignore[arg-type]
    assert list(BEFORE.changes_to(now)) == told
