"""Which of the daemon's variables a command gets."""

import pytest

from jobd.core.sections import Commands
from jobd.daemon.program import allowed_environment

DAEMON = {"LANG": "C", "LC_ALL": "C", "lang": "x", "A.B": "1", "AxB": "2", "SECRET": "s",
          "NOTIFY_SOCKET": "/run/systemd/notify", "PATH": "/evil", "A\nLANG": "two lines"}


@pytest.mark.parametrize(
    ("patterns", "passed"),
    [
        ((), set()),
        (("LANG",), {"LANG"}),
        (("L*",), {"LANG", "LC_ALL"}),
        (("A.B", "l?ng"), {"A.B", "lang"}),
        (("[LS]*",), {"LANG", "LC_ALL", "SECRET"}),
        (("",), set()),
        (("*",), set(DAEMON) - {"NOTIFY_SOCKET", "PATH"}),
    ],
)
def test_only_what_a_pattern_names_passes(patterns: tuple[str, ...], passed: set[str]) -> None:
    """As a whole and case for case; never what systemd gave the daemon, nor its PATH."""
    commands = Commands(environment=patterns, path="/usr/bin")
    found = allowed_environment(DAEMON, commands, {"ADDED": "1"})
    assert found == {name: DAEMON[name] for name in passed} | {"PATH": "/usr/bin", "ADDED": "1"}
