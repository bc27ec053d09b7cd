"""Why this user cannot use a database: the first file or directory that refuses, and the way in."""

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from jobd.errors import NoAccess

_BESIDE = ("", "-wal", "-shm", ".daemon", ".turn", ".line")


def no_access(database: Path) -> NoAccess | None:
    """The error that says so in one sentence; None when nothing refuses this user."""
    for place, wanted in _needed(database):
        # What nobody may write, root neither, is not this user's trouble.
        needed = wanted & ~os.W_OK if _is_read_only(place) else wanted
        if not os.access(place, needed, effective_ids=True):
            return NoAccess(_sentence(place, needed))
    return None


def refuse_others(database: Path) -> None:
    """Whoever may write a database may run programs: let no daemon run them as another user.

    Raises:
        NoAccess: neither the database nor its directory belongs to this user.
    """
    me = os.geteuid()
    try:
        owner, of_directory = database.stat().st_uid, database.parent.stat().st_uid
    except OSError:
        return  # it is not there yet, or is not to be reached, which is said elsewhere
    if me not in (owner, of_directory):
        theirs, mine = user_name(owner), user_name(me)
        raise NoAccess(
            f"{database} belongs to user {theirs}: a daemon of user {mine} would run others' jobs "
            f"as {mine}; start the service, as `sudo systemctl start jobd`, or run this as "
            f"{theirs}: `sudo -u {theirs} jobd run`"
        )


def _needed(database: Path) -> Iterator[tuple[Path, int]]:
    """Each place on the way, and what has to be allowed there."""
    for each in reversed(database.parents):
        if not each.exists():
            yield each.parent, os.W_OK | os.X_OK  # to make it
            return
        yield each, os.X_OK
    yield database.parent, os.R_OK | os.W_OK | os.X_OK
    for suffix in _BESIDE:
        path = Path(f"{database}{suffix}")
        if path.exists():
            yield path, os.R_OK | os.W_OK


def _is_read_only(place: Path) -> bool:
    try:
        return bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _sentence(place: Path, needed: int) -> str:
    user = user_name(os.geteuid())
    try:
        found = place.stat()
    except OSError as error:
        return f"permission denied: user {user} may not use {place} ({error.strerror})"
    owner, group, mode = user_name(found.st_uid), _group(found.st_gid), stat.S_IMODE(found.st_mode)
    belongs = f"it belongs to user {owner} and group {group} (mode {mode:04o})"
    lets_group = mode >> 3 & 0o7 & needed == needed
    if found.st_uid == os.geteuid():
        return f"permission denied: user {user} may not use {place}; {belongs}, which keeps out " \
            f"its owner too: `chmod u+rwX {place}`"
    return f"permission denied: user {user} may not use {place}; {belongs}; " \
        f"{_way_in(user, owner, group, found.st_gid if lets_group else None)}"


def _way_in(user: str, owner: str, group: str, gid: int | None) -> str:
    """What an administrator types, or this user."""
    if gid is None or gid == 0:
        return f"run this as {owner}: `sudo -u {owner} jobd ...`"
    if user in _members(gid) and gid not in os.getgroups():
        return f"{user} is in the group {group}, but this session began before: log in again"
    return f"join the group: `sudo usermod --append --groups {group} {user}`, and log in again"


def user_name(uid: int) -> str:
    """As people know the user, or the number of one without a name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _members(gid: int) -> list[str]:
    try:
        return grp.getgrgid(gid).gr_mem
    except KeyError:
        return []
