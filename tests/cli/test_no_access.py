"""A user who may not use the database: one sentence and one status from each verb."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest

from jobd.cli.main import build_parser, main
from jobd.store.access import no_access, refuse_others
from jobd.store.opening import open_database
from tests.cli.conftest import NOW
from tests.faults.disk import mounted

STRANGER = 65534
GROUP = 1
VERBS = ("status", "list", "show 1", "history 1", "explain 1", "logs 1", "workers", "top --once",
         "health", "metrics", "queue list", "dead", "migrate status", "enqueue thumb", "cancel 1",
         "retry 1", "release 1", "wait 1", "prune", "queue pause a", "migrate up", "run --no-wait",
         "exec -- true", "backup /tmp/jobd-no-access.db")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The service's directory: open to its group, closed to others."""
    import_module("jobd.cli.serve")
    build_parser()  # a stranger may not read the modules of whoever runs the tests
    directory = Path(tempfile.mkdtemp(dir="/tmp"))
    directory.chmod(0o755)
    made = directory / "state"
    made.mkdir()
    open_database(made / "jobd.db", create=True, now=NOW).close()
    (made / "jobd.db.daemon").touch()
    for each in made.iterdir():
        os.chown(each, 0, GROUP)
        each.chmod(0o660)
    os.chown(made, 0, GROUP)
    made.chmod(0o2770)
    monkeypatch.setenv("HOME", str(directory))
    yield made
    shutil.rmtree(directory)


@contextmanager
def stranger(*groups: int) -> Iterator[None]:
    """As somebody else, in these groups."""
    mine = os.getgroups()
    os.setgroups(groups)
    os.setegid(STRANGER)
    os.seteuid(STRANGER)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(mine)


Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def told(state: Path, capsys: pytest.CaptureFixture[str]) -> Told:
    def run(*words: str, groups: tuple[int, ...] = ()) -> tuple[int, str, str]:
        with stranger(*groups):
            status = main(["--db", str(state / "jobd.db"), *words])
        return (status, *capsys.readouterr())

    return run


@pytest.mark.parametrize("words", VERBS)
def test_each_verb_says_the_same(told: Told, state: Path, words: str) -> None:
    """Which directory, whose it is, and how to get in; exit 78."""
    status, out, err = told(*words.split())
    assert (status, out) == (78, "")
    assert err.startswith(f"jobd: permission denied: user nobody may not use {state}; it belongs "
                          "to user root and group daemon (mode 2770); join the group: ")
    assert "`sudo usermod --append --groups daemon nobody`, and log in again" in err
    assert len(err.splitlines()) == 1


def test_doctor_still_prints_its_page(told: Told, state: Path) -> None:
    """With what can be seen all the same."""
    status, out, err = told("doctor", "--json")
    found = {each["about"]: each for each in json.loads(out)}
    assert (status, err) == (1, "")
    assert f"may not use {state}" in found["access"]["message"]
    assert {"sqlite", "configuration", "file system", "disk space"} <= {*found}


@pytest.mark.parametrize("name", ["jobd.db", "jobd.db.daemon"])
def test_one_file_of_the_wrong_owner_is_named(told: Told, state: Path, name: str) -> None:
    """As root leaves it who has worked on the database by hand."""
    (state / name).chmod(0o600)
    words = ("enqueue", "thumb") if name == "jobd.db" else ("status",)
    status, _, err = told(*words, groups=(GROUP,))
    assert status == 78
    assert f"may not use {state / name}; it belongs to user root and group daemon" in err
    assert "run this as root" in err
    status, out, _ = told("doctor", groups=(GROUP,))
    assert status == 1
    assert str(state / name) in out


def test_a_member_of_the_group_comes_in(told: Told) -> None:
    """And needs nothing else."""
    assert told("enqueue", "thumb", groups=(GROUP,))[0] == 0
    assert told("status", groups=(GROUP,))[0] == 0


def test_a_member_of_the_group_is_no_daemon(told: Told, state: Path) -> None:
    """It would run the others' jobs as this user: 78, and what to type instead."""
    status, out, err = told("run", "--no-wait", groups=(GROUP,))
    assert (status, out) == (78, "")
    assert err == (
        f"jobd: {state / 'jobd.db'} belongs to user root: a daemon of user nobody would run "
        "others' jobs as nobody; start the service, as `sudo systemctl start jobd`, or run this "
        "as root: `sudo -u root jobd run`\n"
    )


def test_a_file_of_a_members_making_stops_no_service(state: Path) -> None:
    """Whose directory it is may be the daemon; so may whose file it is."""
    os.chown(state / "jobd.db", STRANGER, GROUP)
    refuse_others(state / "jobd.db")
    with stranger(GROUP):
        refuse_others(state / "jobd.db")


def test_a_directory_that_cannot_be_made_is_named(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one above it, in which this user may not make anything."""
    with stranger():
        status = main(["--db", str(state.parent / "new" / "jobd.db"), "enqueue", "thumb"])
    assert status == 78
    assert f"may not use {state.parent};" in capsys.readouterr().err


def test_a_file_system_that_nobody_may_write_is_not_this_users_trouble(tmp_path: Path) -> None:
    """It is told as read-only, and as permission denied to nobody."""
    with mounted("-t", "tmpfs", "-o", "ro", "tmpfs", str(tmp_path)):
        assert no_access(tmp_path / "jobd.db") is None
