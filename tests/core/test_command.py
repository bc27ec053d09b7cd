"""What a command's payload may say, and what is refused with a sentence."""

import json
from typing import Any

import pytest

from jobd.core.command import Command, check_command, command_from
from jobd.errors import BadInput

FULL = Command(("prog", "a b", "$(x)"), "/dir", {"A": "1", "B": ""}, "/in", (0, 3), True)

MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({}, "argv"),
    ({"argv": []}, "argv"),
    ({"argv": [""]}, "argv"),
    ({"argv": "ls -l"}, "argv"),
    ({"argv": {"0": "ls"}}, "argv"),
    ({"argv": ["ls", 1]}, "argv"),
    ({"argv": ["ls", None]}, "argv"),
    ({"argv": ["ls", "a\0b"]}, "NUL"),
    ({"argv": ["ls"], "cwd": "here"}, "cwd"),
    ({"argv": ["ls"], "cwd": 5}, "cwd"),
    ({"argv": ["ls"], "cwd": "/a\0b"}, "NUL"),
    ({"argv": ["ls"], "stdin": "in.txt"}, "stdin"),
    ({"argv": ["ls"], "stdin": ["/in"]}, "stdin"),
    ({"argv": ["ls"], "env": ["A=1"]}, "env"),
    ({"argv": ["ls"], "env": []}, "env"),
    ({"argv": ["ls"], "env": {"A": 1}}, "env"),
    ({"argv": ["ls"], "env": {"A=B": "1"}}, "A=B"),
    ({"argv": ["ls"], "env": {"": "1"}}, "environment"),
    ({"argv": ["ls"], "exit_codes": 0}, "exit_codes"),
    ({"argv": ["ls"], "exit_codes": {}}, "exit_codes"),
    ({"argv": ["ls"], "exit_codes": "0"}, "exit_codes"),
    ({"argv": ["ls"], "exit_codes": [True]}, "exit_codes"),
    ({"argv": ["ls"], "exit_codes": [0.0]}, "exit_codes"),
    ({"argv": ["ls"], "exit_codes": [256]}, "exit codes"),
    ({"argv": ["ls"], "exit_codes": [-9]}, "exit codes"),
    ({"argv": ["ls"], "leave_children": "yes"}, "leave_children"),
    ({"argv": ["ls"], "leave_children": 1}, "leave_children"),
    ({"argv": ["ls"], "shell": True}, "shell"),
]


@pytest.mark.parametrize("command", [Command(("true",)), FULL])
def test_a_payload_says_the_command_again(command: Command) -> None:
    """What `payload` writes, `command_from` reads."""
    assert command_from(json.dumps(command.payload())) == command


def test_a_payload_leaves_out_what_is_usual() -> None:
    """A plain command is its argv and nothing else."""
    assert Command(("true",)).payload() == {"argv": ("true",)}


def test_null_means_not_given() -> None:
    """A producer may write every key, with null where it has nothing to say."""
    keys = ("cwd", "env", "stdin", "exit_codes", "leave_children")
    payload = {"argv": ["true"], **dict.fromkeys(keys)}
    assert command_from(json.dumps(payload)) == Command(("true",))


@pytest.mark.parametrize(("payload", "named"), MALFORMED, ids=[str(p)[:60] for p, _ in MALFORMED])
def test_a_malformed_payload_is_refused_by_name(payload: dict[str, Any], named: str) -> None:
    """One sentence names what is wrong; nothing is guessed from a value of the wrong kind."""
    with pytest.raises(BadInput) as refused:
        command_from(json.dumps(payload))
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_command_line_is_checked_as_a_payload_is() -> None:
    """`jobd exec` and a producer are refused the same things."""
    with pytest.raises(BadInput, match="NUL"):
        check_command(Command(("ls", "a\0b")))
