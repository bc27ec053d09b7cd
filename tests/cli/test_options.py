"""Which configuration file and which database a verb uses."""

import argparse
from pathlib import Path

import pytest

from jobd.cli.options import SYSTEM_FILE, first_existing, settings
from jobd.core.config import Config
from jobd.errors import ConfigurationError


def args(config: Path | None = None, db: str | None = None) -> argparse.Namespace:
    return argparse.Namespace(config=config, db=db, json=False)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory without anything, and an environment that says nothing."""
    for name in ("JOBD_CONFIG", "JOBD_DB", "JOBD_POOL_WORKERS", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    directory = tmp_path / "home"
    directory.mkdir()
    monkeypatch.setenv("HOME", str(directory))
    if SYSTEM_FILE.exists():
        pytest.skip(f"{SYSTEM_FILE} exists here and would be read")
    return directory


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_what_is_not_even_read_is_its_default() -> None:
    """Nothing is said, so no setting is imported; whoever asks for one finds the same."""
    found = settings(args())
    unread = found.synchronous, found.max_payload
    assert unread == (Config().synchronous, Config().limits.max_payload)
    assert found.config == Config()


@pytest.mark.parametrize("said", ["", "normal", "wrong"])
def test_a_variable_is_a_setting_even_without_a_file(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """One that is empty counts as not set."""
    monkeypatch.setenv("JOBD_SYNCHRONOUS", said)
    if said == "wrong":
        with pytest.raises(ConfigurationError, match="JOBD_SYNCHRONOUS"):
            settings(args())
    else:
        assert settings(args()).synchronous == (said or "full")


def test_an_empty_variable_names_no_database(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is the one in the home directory, and not the working directory."""
    monkeypatch.setenv("JOBD_DB", "")
    assert settings(args()).db == home / ".local/state/jobd/jobd.db"


def test_without_any_file_the_defaults_hold(home: Path) -> None:
    """No file is needed; the database lies in the home directory, and is not created."""
    found = settings(args())
    assert found.config_file is None
    assert found.db == home / ".local/state/jobd/jobd.db"
    assert list(home.iterdir()) == []


def test_the_file_is_the_first_that_is_there(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--config, then $JOBD_CONFIG, then the standard places."""
    own = write(home / ".config/jobd/jobd.toml", "pool.workers = 2")
    by_variable = write(tmp_path / "variable.toml", "pool.workers = 3")
    by_flag = write(tmp_path / "flag.toml", "pool.workers = 5")
    assert (settings(args()).config_file, settings(args()).config.pool.workers) == (own, 2)
    monkeypatch.setenv("JOBD_CONFIG", str(by_variable))
    assert settings(args()).config.pool.workers == 3
    assert settings(args(config=by_flag)).config.pool.workers == 5


def test_the_system_file_comes_before_the_users_own(tmp_path: Path) -> None:
    """Of the standard places, the first that exists wins and the others are not read."""
    assert str(SYSTEM_FILE) == "/etc/jobd/jobd.toml"
    there = write(tmp_path / "there.toml", "")
    also = write(tmp_path / "also.toml", "")
    assert first_existing([tmp_path / "missing.toml", there, also]) == there
    assert first_existing([tmp_path / "missing.toml"]) is None


def test_the_database_is_the_flags_the_variables_the_files_or_a_standard_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--db, $JOBD_DB, `db` in the file, the first of $STATE_DIRECTORY: in this order."""
    file = write(tmp_path / "jobd.toml", 'db = "/file.db"')
    monkeypatch.setenv("STATE_DIRECTORY", "/state:/other")
    assert settings(args()).db == Path("/state/jobd.db")
    assert settings(args(config=file)).db == Path("/file.db")
    monkeypatch.setenv("JOBD_DB", "/variable.db")
    assert settings(args(config=file)).db == Path("/variable.db")
    assert settings(args(config=file, db="/flag.db")).db == Path("/flag.db")


def test_the_database_path_is_absolute(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path starts at the working directory, "~" in a file at the home directory."""
    monkeypatch.chdir(tmp_path)
    assert settings(args(db="x/../jobs.db")).db == tmp_path / "jobs.db"
    file = write(tmp_path / "jobd.toml", 'db = "~/jobs.db"')
    assert settings(args(config=file)).db == home / "jobs.db"


def test_a_verb_adds_its_own_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`jobd run --workers 8` beats environment and file."""
    file = write(tmp_path / "jobd.toml", "pool.workers = 2")
    monkeypatch.setenv("JOBD_POOL_WORKERS", "3")
    assert settings(args(config=file), {"pool.workers": 8}).config.pool.workers == 8
    assert settings(args(config=file), flags={"pool.workers": None}).config.pool.workers == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[pool]\nworkers = \n", "is not TOML: Invalid value (at line 2, column 11)"),
        (b"a = 1\n\nb = '\xff'\n", "is not UTF-8 (at line 3)"),
        (b"db = 1\n", 'db = 1: write a path in quotes'),
        (b"a = " + b"[" * 100_000, "is nested too deeply"),
    ],
    ids=["no TOML", "no UTF-8", "a wrong value", "nested"],
)
def test_a_file_that_is_no_toml_is_refused_with_its_line(
    tmp_path: Path, content: bytes, says: str
) -> None:
    """The problem names the file and where in it the mistake is."""
    file = tmp_path / "jobd.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as wrong:
        settings(args(config=file))
    assert str(file) in str(wrong.value)
    assert says in str(wrong.value)


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_a_file_that_is_named_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """A missing file is never passed over in silence."""
    missing = tmp_path / "missing.toml"
    if by == "variable":
        monkeypatch.setenv("JOBD_CONFIG", str(missing))
    with pytest.raises(ConfigurationError, match=r"missing\.toml: no such file"):
        settings(args(config=missing if by == "flag" else None))


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    """The problem says what the system said."""
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        settings(args(config=tmp_path))


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    """/proc/self/mem stands for a file that cannot be read, for root too."""
    with pytest.raises(ConfigurationError, match="cannot be read: "):
        settings(args(config=Path("/proc/self/mem")))
