"""`jobd check` tells what a start would find."""

import argparse
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobd import clock
from jobd.cli import check
from jobd.cli.main import main
from jobd.core.config import Config, load
from jobd.store.opening import open_database


@pytest.fixture(autouse=True)
def _quiet_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home directory without anything, and an environment that says nothing."""
    for name in ("JOBD_CONFIG", "JOBD_DB", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


class Checked:
    """One run of the verb: its exit status and its findings."""

    def __init__(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        self._capsys = capsys
        self._tmp_path = tmp_path

    def text(self, toml: str, db: Path | None = None) -> tuple[int, list[str]]:
        status = check.run(self._args(toml, db, json=False))
        return status, self._capsys.readouterr().out.splitlines()

    def json(self, toml: str, db: Path | None = None) -> tuple[int, list[dict[str, str]]]:
        status = check.run(self._args(toml, db, json=True))
        return status, json.loads(self._capsys.readouterr().out)

    def _args(self, toml: str, db: Path | None, json: bool) -> argparse.Namespace:
        file = self._tmp_path / "jobd.toml"
        file.write_text(toml)
        database = db or self._tmp_path / "jobs.db"
        return argparse.Namespace(
            config=file, db=str(database), json=json, handlers=None, path=None)


@pytest.fixture
def checked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Checked:
    return Checked(capsys, tmp_path)


def test_a_fresh_machine_is_fine(checked: Checked, tmp_path: Path) -> None:
    """No database yet is no problem, and check makes none."""
    status, lines = checked.text("")
    assert status == 0
    assert f"ok   configuration: {tmp_path}/jobd.toml" in lines
    assert f"ok   database: no database yet at {tmp_path}/jobs.db; `jobd run` makes it" in lines
    assert sorted(file.name for file in tmp_path.iterdir()) == ["jobd.toml"]


def test_a_database_that_fits_is_named(checked: Checked, tmp_path: Path) -> None:
    """The path is printed, so that nobody looks at the wrong one."""
    path = tmp_path / "jobs.db"
    open_database(path, create=True, now=clock.now_ms()).close()
    status, lines = checked.text("", path)
    assert (status, lines[-1]) == (0, f"ok   database: {path}")


def test_a_schema_that_drifted_fails(checked: Checked, tmp_path: Path) -> None:
    """Check compares every table, as the daemon does at start."""
    path = tmp_path / "jobs.db"
    open_database(path, create=True, now=clock.now_ms()).close()
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE job_queue ADD COLUMN surprise TEXT")
    db.close()
    status, lines = checked.text("", path)
    assert status == 78
    assert lines[-1].startswith("FAIL database: ")


def test_what_is_no_database_fails(checked: Checked, tmp_path: Path) -> None:
    """A text file is left alone."""
    path = tmp_path / "notes.txt"
    path.write_text("milk, bread " * 500)
    status, lines = checked.text("", path)
    assert status == 78
    assert lines[-1].startswith("FAIL database: ")
    assert path.read_text() == "milk, bread " * 500


def test_every_problem_of_the_configuration_is_a_line(checked: Checked) -> None:
    """All mistakes at once, each with the way out."""
    status, lines = checked.text("[pool]\nwrokers = 1\nworkers = 0\n[timing]\nkill_grace = 5\n")
    failed = [line for line in lines if line.startswith("FAIL configuration: ")]
    assert (status, len(failed)) == (78, 3)
    assert failed[0].endswith("unknown setting pool.wrokers; did you mean pool.workers?")


def test_timers_that_do_not_fit_are_warnings(checked: Checked) -> None:
    """A warning does not keep the daemon from starting."""
    status, lines = checked.text('[timing]\nkill_grace = "1m"\n')
    assert status == 0
    assert any(line.startswith("warn timing: timing.kill_grace (1 min)") for line in lines)


def test_json_is_an_array_of_level_about_and_message(checked: Checked) -> None:
    """The same findings, for programs."""
    status, findings = checked.json("db = 3")
    assert status == 78
    assert all(set(each) == {"level", "about", "message"} for each in findings)
    assert [each["level"] for each in findings if each["about"] == "configuration"] == ["fail"]


def test_a_handlers_module_that_is_nowhere_fails(checked: Checked, tmp_path: Path) -> None:
    """pool.path is looked through first; nothing is imported."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "jobs.py").write_text("raise SystemExit('imported')\n")
    text = f'[pool]\nhandlers = ["mine.jobs", "json.decoder"]\npath = ["{tmp_path}"]\n'
    status, lines = checked.text(text)
    assert (status, "ok   handlers: mine.jobs, json.decoder" in lines) == (0, True)
    status, lines = checked.text(text.replace("mine.jobs", "mine.jbos"))
    assert status == 78
    assert "FAIL handlers: no module mine.jbos; pool.handlers names it, and pool.path says where " \
           "to look" in lines  # fmt: skip


def test_a_path_that_is_no_directory_is_a_warning(checked: Checked, tmp_path: Path) -> None:
    """The daemon would start, and look nowhere."""
    text = f'[pool]\npath = ["/nonexistent", "{tmp_path}", "{tmp_path}/jobd.toml"]\n'
    status, lines = checked.text(text)
    assert status == 0
    assert [line for line in lines if line.startswith("warn handlers: ")] == [
        f"warn handlers: pool.path names {place}, which is no directory to look into"
        for place in ("/nonexistent", f"{tmp_path}/jobd.toml")
    ]


def test_handlers_and_path_are_taken_as_run_takes_them(
    jobd: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a command line can be checked before it becomes the service's."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "myjobs.py").touch()
    monkeypatch.chdir(tmp_path)
    status, out, _ = jobd("check", "--handlers", "myjobs", "--path", "mine")
    assert (status, "ok   handlers: myjobs" in out) == (0, True)
    assert jobd("check", "--handlers", "myjobs", "--path", "other")[0] == 78
    assert jobd("check", "--handlers", "myjobs")[0] == 78
    monkeypatch.chdir("mine")
    assert jobd("check", "--handlers", "myjobs")[0] == 0
    assert jobd("check", "--handlers", "a,b") == (
        2, "", "jobd: --handlers a,b: put spaces between modules: --handlers a b\n")


@contextmanager
def nobody() -> Iterator[None]:
    """As a user who may write nowhere that matters here."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(mine)


def test_a_database_that_this_user_may_not_make_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the directory, or the one above it, belongs to somebody else."""
    monkeypatch.setenv("JOBD_CONFIG", "/dev/null")
    for place in ("/", "/usr"):
        with nobody():
            assert main(["check", "--db", f"{place.rstrip('/')}/no-such/jobd.db"]) == 78
        assert f"this user may not write to {place}\n" in capsys.readouterr().out


def test_a_database_that_this_user_may_not_write_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading it would do for nothing that the daemon does."""
    monkeypatch.setenv("JOBD_CONFIG", "/dev/null")
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        path = Path(place) / "jobd.db"
        open_database(path, create=True, now=clock.now_ms()).close()
        path.chmod(0o444)
        with nobody():
            status = main(["check", "--db", str(path)])
    assert status == 78
    assert "FAIL database: " in capsys.readouterr().out


def test_a_database_beneath_a_file_fails(checked: Checked, tmp_path: Path) -> None:
    """No directory can ever be there."""
    (tmp_path / "file").touch()
    status, lines = checked.text("", tmp_path / "file" / "deeper" / "jobd.db")
    assert (status, lines[-1].endswith(f"{tmp_path}/file is no directory to make it in")) == (
        78, True)


@pytest.mark.parametrize(
    ("module", "found"),
    [
        ("json", True),
        ("json.decoder", True),
        ("json.nothing", False),
        ("json.decoder.deeper", False),
        ("no_such_module_anywhere", False),
        ("sys", True),
    ],
)
def test_a_module_is_found_part_by_part(module: str, found: bool) -> None:
    """Only a package has modules beneath it."""
    config: Config = load({"pool": {"handlers": [module]}}, {}, {})
    assert (check.handlers_problems(config) == []) is found


@pytest.mark.parametrize(
    ("version", "fixed"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_the_fix_of_the_wal_reset_race_is_known_by_version(
    version: tuple[int, int, int], fixed: bool
) -> None:
    """3.51.3 has it, and two older lines have it since a late release."""
    assert check.has_wal_reset_fix(version) is fixed


def test_the_warning_of_sqlite_can_be_judged_by_a_newcomer() -> None:
    """It says what may happen, what jobd does about it, and what is left to the reader."""
    found = check._sqlite((3, 40, 1))
    assert found.level == "warn"
    assert "can damage a database" in found.message
    assert found.message.endswith(
        "jobd avoids it; other programs that write the file beside it are not covered")
