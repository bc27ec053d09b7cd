"""Where `jobd demo` agrees to play, and what it leaves alone: it looks before it does anything."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd.cli import demo
from jobd.cli.demo_signals import ENDING
from jobd.cli.demo_stage import MARK, own_directory
from jobd.cli.main import main
from jobd.queue import Queue
from tests.faults.disk import mounted

ROOT = Path(__file__).parents[2]
Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _signals_of_the_tests() -> Iterator[None]:
    """A demo that was ended leaves signals ignored, which pytest must not inherit."""
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)



def refused(capsys: Said, *words: str, status: int = 2) -> str:
    """What `jobd demo` says that ends with this status."""
    assert main(["demo", "--files", "5", *words]) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def tree(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", ["notes.txt", "jobd.db", "jobd.log", "archive"])
@pytest.mark.parametrize("marked", [False, True])
def test_a_directory_with_anything_else_in_it_is_let_be(
    tmp_path: Path, capsys: Said, name: str, marked: bool
) -> None:
    """Nothing of somebody else's is erased, or could be by the `rm -r` at the end."""
    (tmp_path / name).write_text("precious")
    (tmp_path / "photos").mkdir()
    if marked:
        (tmp_path / MARK).write_text("found 0\n")
    before = tree(tmp_path)
    said = refused(capsys, "--dir", str(tmp_path))
    assert "was not made by a demo: give --dir a new or empty directory" in said
    assert tree(tmp_path) == before


def test_a_directory_that_cannot_be_one_is_refused_in_a_sentence(
    tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty name, a file, something below a file, and a name that no payload can hold."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("precious")
    assert refused(capsys, "--dir", "") == (
        "jobd: --dir is empty: name a directory, or leave it out\n"
    )
    assert "file is no directory" in refused(capsys, "--dir", "file")
    assert "Not a directory" in refused(capsys, "--dir", "file/below")
    assert "no UTF-8" in refused(capsys, "--dir", os.fsdecode(b"odd\xff"))
    assert os.listdir(tmp_path) == ["file"]


def test_a_tilde_is_the_home_directory(
    tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the shell did not expand it, as in --dir=~/demo."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine").touch()
    assert str(tmp_path / "demo" / "mine") in refused(capsys, "--dir=~/demo")
    assert os.listdir(tmp_path) == ["demo"]


def test_without_a_working_directory_the_demo_says_so(tmp_path: Path) -> None:
    """A relative name means nothing there; that is told, and not that the output fails."""
    (tmp_path / "gone").mkdir()
    there = f"cd {tmp_path}/gone && rmdir ../gone && exec {sys.executable} -P -m jobd "
    done = subprocess.run(["sh", "-c", f"{there} demo --dir x"], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "jobd: the working directory does not exist any more: go to another one\n"
    )


def test_a_second_demo_does_not_join_the_first(tmp_path: Path, capsys: Said) -> None:
    """One that runs keeps its directory; the next is told who is there, and harms nothing."""
    first = own_directory(str(tmp_path))
    first.begin(1)
    before = tree(tmp_path)
    said = refused(capsys, "--dir", str(tmp_path), status=75)
    assert f"a demo is running in {tmp_path} (pid {os.getpid()})" in said
    assert tree(tmp_path) == before
    first.leave()


def test_jobs_that_a_person_enqueued_are_not_erased(tmp_path: Path, capsys: Said) -> None:
    """A demo's directory is used again only while every job in it is a demo's."""
    stage = own_directory(str(tmp_path))
    stage.begin(1)
    with Queue(stage.db) as queue:
        queue.enqueue("inspect_source")
        queue.enqueue("inspect_source")
    stage.leave()
    said = refused(capsys, "--dir", str(tmp_path))
    assert "jobd.db holds jobs that no demo enqueued, such as job 2: name another --dir" in said
    with Queue(stage.db, create=False) as queue:
        assert queue.get(2)["id"] == 2


@pytest.mark.parametrize(
    "words", [["--json"], ["--db", "x"], ["--config", "/nonexistent"], ["--workers", "1000"],
              ["--workers", "0"], ["--workers", "four"], ["--files", "0"]],
)
def test_what_a_demo_cannot_take_is_refused_at_once(
    tmp_path: Path, capsys: Said, words: list[str]
) -> None:
    """Options of other verbs, and numbers out of their bounds; nothing is made."""
    said = refused(capsys, "--dir", str(tmp_path / "new"), *words)
    assert words[0] in said
    assert ("256" in said) == (words[0] == "--workers")
    assert not (tmp_path / "new").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2.5 MB."""
    directory = tmp_path / "small"
    directory.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=2500k", "tmpfs", str(directory)):
        yield directory


def test_a_disk_that_is_too_full_is_told_before_anything_is_done(
    small_disk: Path, capsys: Said
) -> None:
    """One sentence that names the directory, and nothing is left in it."""
    said = refused(capsys, "--dir", str(small_disk / "demo"), status=1)
    assert said.startswith(f"jobd: {small_disk}/demo is full: ")
    assert os.listdir(small_disk) == []


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]
)
@pytest.mark.parametrize("made", [False, True])
def test_a_signal_before_anything_began_leaves_nothing(
    tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch, number: int, made: bool
) -> None:
    """It is told, its status is 128 + n, and the directory is as it was."""
    directory = tmp_path / "demo"
    if not made:
        directory.mkdir()

    def interrupted(*_arguments: object) -> None:
        (directory / "archive").mkdir()
        signal.raise_signal(number)

    monkeypatch.setattr(demo, "planned", interrupted)
    assert main(["demo", "--dir", str(directory)]) == 128 + number
    said = capsys.readouterr().out
    assert f"{signal.Signals(number).name}: ends the demo\nnothing had begun" in said
    assert os.listdir(tmp_path) == ([] if made else ["demo"])
    assert made or os.listdir(directory) == []
