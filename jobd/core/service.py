"""What to type to a daemon that systemd keeps: `jobd run` would make another, as another user."""

import re

_UNIT = re.compile(r"(?P<user>--user )?(?P<name>\w[\w:.@-]{0,200})\.service", re.ASCII)


def unit_of(groups: str) -> str:
    """The unit to which a process belongs, from its /proc/PID/cgroup; empty when none is named."""
    parts = next((line.split("::", 1)[1] for line in groups.splitlines()
                  if line.startswith("0::")), "").split("/")
    manager = "--user " if any(each.startswith("user@") for each in parts[:-1]) else ""
    found = manager + parts[-1]
    return found if _UNIT.fullmatch(found) else ""


def systemctl(verb: str, unit: object) -> str | None:
    """The command for it, or None where there is no unit; nothing else is ever quoted from it."""
    found = _UNIT.fullmatch(unit) if isinstance(unit, str) else None
    if found is None:
        return None
    return f"{'systemctl --user' if found['user'] else 'sudo systemctl'} {verb} {found['name']}"
