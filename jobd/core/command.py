"""A job that runs a program: what its payload says, checked."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from jobd.errors import BadInput

EXEC = "exec"
"""The job type of commands; every daemon can run it, and no handler may take its name."""


@dataclass(frozen=True, slots=True)
class Command:
    """One program with its surroundings. Paths are absolute; the output goes to files."""

    argv: tuple[str, ...]
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: str | None = None
    exit_codes: tuple[int, ...] = (0,)
    """Exit codes that count as success."""
    leave_children: bool = False
    """Let what the program left behind live on; its attempts may then overlap."""

    def payload(self) -> dict[str, Any]:
        """The payload that `command_from` reads, without what says nothing."""
        given = {key: value for key, value in asdict(self).items() if value}
        if self.exit_codes == (0,):
            del given["exit_codes"]
        return given


def command_from(payload: str) -> Command:
    """The command that a payload (JSON text) describes.

    Raises:
        BadInput: names what is wrong with it.
    """
    given = json.loads(payload)
    unknown = sorted(set(given) - set(Command.__dataclass_fields__))
    if unknown:
        raise BadInput(f"a command has no {unknown[0]!r}")
    return check_command(
        Command(
            argv=tuple(_list(given, "argv", str)),
            cwd=_text(given, "cwd"),
            env=_environment(given.get("env")),
            stdin=_text(given, "stdin"),
            exit_codes=tuple(_list(given, "exit_codes", int)) or (0,),
            leave_children=_truth(given, "leave_children"),
        )
    )


def check_command(command: Command) -> Command:
    """Refuse what no program can be started with."""
    if not command.argv or not command.argv[0]:
        raise BadInput("a command needs a program: argv is empty")
    texts = [*command.argv, *command.env, *command.env.values(), command.cwd or "",
             command.stdin or ""]
    if any("\0" in text for text in texts):
        raise BadInput("a command cannot hold the character NUL")
    for name in command.env:
        if not name or "=" in name:
            raise BadInput(f"{name!r} is no name of an environment variable")
    for what, path in (("cwd", command.cwd), ("stdin", command.stdin)):
        if path is not None and not path.startswith("/"):
            raise BadInput(f"{what} must be an absolute path, not {path!r}")
    if not all(0 <= code <= 255 for code in command.exit_codes):
        raise BadInput("exit codes are from 0 to 255")
    return command


def _list(given: Mapping[str, Any], key: str, kind: type) -> list[Any]:
    found = given.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(type(each) is kind for each in found):
        raise BadInput(f"{key} must be an array of {kind.__name__} values")
    return found


def _text(given: Mapping[str, Any], key: str) -> str | None:
    found = given.get(key)
    if found is not None and not isinstance(found, str):
        raise BadInput(f"{key} must be a string")
    return found


def _truth(given: Mapping[str, Any], key: str) -> bool:
    found = given.get(key)
    if found is not None and not isinstance(found, bool):
        raise BadInput(f"{key} must be true or false")
    return bool(found)


def _environment(given: Any) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
        raise BadInput("env must be an object of strings")
    return given
