"""A broken configuration file: verbs that only look go on with the rest of it, others refuse."""

from pathlib import Path

import pytest

from jobd.cli.main import main
from tests.cli.conftest import Store

LOOKING = ("status", "list", "show 1", "history 1", "explain 1", "logs 1", "workers",
           "top --once", "doctor", "health", "metrics", "queue list", "dead", "migrate verify")
CHANGING = ("check", "run", "enqueue thumb", "exec -- true", "cancel 1", "retry 1", "prune",
            "queue pause a", "migrate up")

BROKEN = {
    "a value": "db = {db!r}\n[pool]\nworkers = 'many'\n",
    "a key": "db = {db!r}\n[pool]\nworkes = 2\n",
    "no TOML": "db = {db!r}\n[pool\nworkers = 2\n",
    "no UTF-8": "db = {db!r}\n# \udcff\n",
}


@pytest.fixture(params=BROKEN)
def broken(request: pytest.FixtureRequest, store: Store, path: Path) -> Path:
    """A file that names the database with one job in it, and is wrong elsewhere."""
    store.register("thumb")
    store.dead()
    file = path.with_name("jobd.toml")
    text = BROKEN[request.param].format(db=str(path))
    file.write_text(text, errors="surrogateescape")
    return file


@pytest.mark.parametrize("words", LOOKING)
def test_who_looks_goes_on(
    broken: Path, path: Path, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the database that the file names; what is wrong is said on standard error."""
    status = main(["--config", str(broken), *words.split()])
    out, err = capsys.readouterr()
    assert status in (0, 1, 69)
    assert (out, "no database" in out) != ("", True) or words == "logs 1"
    said = out if words == "doctor" else err
    assert str(broken) in said
    assert words == "migrate verify" or str(path) in said


@pytest.mark.parametrize("words", CHANGING)
def test_who_changes_refuses(
    broken: Path, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 78, whatever the database would allow."""
    assert main(["--config", str(broken), *words.split()]) == 78
    said = "".join(capsys.readouterr())
    assert str(broken) in said


def test_a_file_that_does_not_exist_is_a_mistake(
    path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever names one that is not there has mistyped it, and is not shown another database."""
    store.register()
    assert main(["--config", str(path.with_name("none.toml")), "status"]) == 78
    assert "no such file" in capsys.readouterr().err
