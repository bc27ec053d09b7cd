"""The files of jobd: who may read them, and what stands in their place when somebody plants it."""

import os
import stat
from pathlib import Path

import pytest

from jobd import errors
from jobd.daemon.survivors import marker
from jobd.store.attempt_files import attempt_directory, cut, make_directory, open_stream, take_lock
from jobd.store.daemon_lock import DaemonLock
from tests.daemon.harness import House

READABLE_BY_ALL = {"m.prom"}
"""What is written for another program to read: it holds numbers and names."""


def test_nothing_that_a_daemon_makes_is_open_to_others(house: House) -> None:
    """Not with a umask of 0: database, log, locks, socket, output, backup, metrics' counters."""
    made = house.root / "made"
    house.db = made / "state" / "jobd.db"
    umask = os.umask(0)
    try:
        daemon = house.launch("--workers", "1", cold=True, read_log=False,
                              log__file=str(house.root / "made.log"))
        job_id = int(house.cli("exec", "-q", "--", "echo", "hi"))
        house.queue.wait(job_id, timeout=30)
        house.cli("backup", str(house.root / "made.backup"))
        daemon.signal(15)
        daemon.process.wait(30)
    finally:
        os.umask(umask)
    found = {path: stat.S_IMODE(path.lstat().st_mode)
             for path in [*house.root.glob("made*"), *(made / "state").rglob("*"), made / "state"]
             if path != made}
    names = {path.name for path in found}
    assert {"jobd.db", "jobd.db.daemon", "stdout", "made.log", "made.backup"} <= names
    assert {str(path): oct(mode) for path, mode in found.items() if mode & 0o007} == {}


@pytest.mark.parametrize("suffix", [".daemon", ".turn", ".line"])
def test_a_link_in_the_place_of_a_lock_is_not_followed(house: House, suffix: str) -> None:
    """Root's `jobd migrate` in a directory of the group cuts no file of another place."""
    house.enqueue("quick")
    house.queue.close()
    mine = house.root / "precious"
    mine.write_text("as it was\n")
    mine.chmod(0o644)
    Path(f"{house.db}{suffix}").unlink(missing_ok=True)
    Path(f"{house.db}{suffix}").symlink_to(mine)
    if suffix == ".daemon":
        with pytest.raises(errors.DatabaseUnavailable):
            DaemonLock(house.db).acquire(blocking=False)
        house.cli("migrate", "up", expect=75)
        assert "symbolic links" in house.said
    else:
        house.cli("migrate", "up")
        house.cli("enqueue", "quick")  # a turn is a courtesy: it goes on without
    assert (mine.read_text(), stat.S_IMODE(mine.stat().st_mode)) == ("as it was\n", 0o644)


@pytest.mark.parametrize("name", ["stdout", "stderr", "lock"])
def test_a_link_in_the_place_of_an_attempt_s_file_is_not_followed(
    tmp_path: Path, name: str
) -> None:
    """Neither when a stream or the lock is opened, nor when what was written is cut."""
    mine = tmp_path / "precious"
    mine.write_text("x" * 10_000)
    directory = make_directory(tmp_path / "jobd.db", 1, 1)
    (directory / name).symlink_to(mine)
    with pytest.raises(OSError, match="symbolic links"):
        take_lock(directory) if name == "lock" else open_stream(directory / name)
    cut(directory / name, 100)
    assert mine.read_text() == "x" * 10_000


def test_an_attempts_directory_hands_down_the_group_of_its_database(tmp_path: Path) -> None:
    """Whoever shares the database by its directory's group reads and removes outputs too."""
    tmp_path.chmod(0o2770)
    old = os.umask(0o007)
    try:
        made = make_directory(tmp_path / "jobd.db", 1, 1)
    finally:
        os.umask(old)
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (made, made.parent, made.parent.parent)]
    assert modes == [0o2770] * 3


def test_the_path_of_an_attempt_is_made_of_integers_alone(tmp_path: Path) -> None:
    """Nothing that a job says of itself becomes part of a path."""
    found = attempt_directory(tmp_path / "jobd.db", 7, 2)
    assert found == tmp_path / "jobd.db.attempts" / "7" / "2"
    with pytest.raises(ValueError, match="invalid literal"):
        attempt_directory(tmp_path / "jobd.db", "../../etc", 1)  # type: ignore[arg-type]
    assert "/" not in marker("4711-ab", 7, 2)
