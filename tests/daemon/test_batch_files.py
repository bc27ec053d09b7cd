"""Batches over real files with real tools, through the command line, and disturbed."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.harness import House, RunningDaemon
from tests.daemon.villain import captured

CONFIG = Path(__file__).parents[2] / "config"
LIBRARY = Path(sysconfig.get_paths()["stdlib"])
NUMBER = 200


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files of the interpreter's library, some of them with names that hurt."""
    folder = tmp_path_factory.mktemp("library")
    found = sorted(path for path in LIBRARY.rglob("*.py") if 0 < path.stat().st_size < 60_000)
    odd = ("two words", "new\nline", "-rf", "quote'\"$x`", "żółć 𝄞", "tab\there", "{}{.}", "%s\\n")
    for number, path in enumerate(found[:: max(len(found) // NUMBER, 1)][:NUMBER]):
        name = odd[number] if number < len(odd) else f"{number:03}-{path.stem}"
        shutil.copy(path, folder / f"{name}.py")
    return folder


def start(house: House, *words: str) -> RunningDaemon:
    return house.start("--handlers", "example_batch", "--path", str(CONFIG), "--workers", "4",
                       *words)


def listed(folder: Path) -> tuple[list[Path], bytes]:
    """The files of a folder in an order that no listing has, and as find -print0 writes them."""
    found = sorted(folder.iterdir())
    random.Random(7).shuffle(found)
    return found, b"".join(os.fsencode(path) + b"\0" for path in found)


def made(house: House, folder: Path, *words: str) -> list[Path]:
    """Make a batch of the files; they, in the order of the input."""
    paths, data = listed(folder)
    (house.root / "list0").write_bytes(data)
    house.cli("batch", words[0], "files", "--find0", str(house.root / "list0"), *words[1:])
    return paths


def results(house: House) -> list[dict[str, Any]]:
    return [json.loads(line) for line in house.cli("batch", "results", "files").splitlines()]


def digests(paths: list[Path]) -> list[dict[str, Any]]:
    return [{"path": str(path), "bytes": path.stat().st_size,
             "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in paths]


def ended(house: House, expect: int = 0) -> str:
    """Watch the batch to its end."""
    return house.cli("batch", "watch", "files", expect=expect)


def contents(folder: Path) -> dict[bytes, bytes]:
    return {os.fsencode(path.name): path.read_bytes() for path in folder.iterdir()}


def xargs(folder: Path, *command: str) -> bytes:
    """What `xargs -P` does with the same files."""
    done = subprocess.run(["xargs", "-0", "-P", "2", "-n", "1", *command], input=listed(folder)[1],
                          capture_output=True, check=True, timeout=120)
    return done.stdout


def test_a_library_is_digested_by_a_handler(house: House, files: Path) -> None:
    """Each file once, whatever its name; the results come in the order of the input."""
    start(house)
    paths = made(house, files, "create", "--type", "digest", "--as", "path")
    said = ended(house)
    assert said.splitlines()[-1].endswith(f"{len(paths)} of {len(paths)}")
    assert results(house) == digests(paths)


@pytest.mark.parametrize("command", [["gzip", "-n9"], ["xz", "-1", "-T1"]],
                         ids=lambda command: str(command[0]))
def test_files_are_compressed_as_xargs_compresses_them(
    house: House, files: Path, tmp_path: Path, command: list[str]
) -> None:
    """Two copies of a folder, one by jobd and one by `xargs -P`: the same bytes."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} on this machine")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for copy in (ours, theirs):
        shutil.copytree(files, copy)
    start(house)
    made(house, ours, "exec", "--concurrency", "3", "--", *command, "--", "{}")
    ended(house)
    xargs(theirs, *command, "--")
    assert contents(ours) == contents(theirs)


def test_what_programs_print_is_what_they_print_under_xargs(
    house: House, files: Path
) -> None:
    """`batch results` writes the outputs one behind the other, in the order of the input."""
    start(house)
    paths = made(house, files, "exec", "--", "sha256sum", "--")
    ended(house)
    status, printed, complaints = captured(house, "batch", "results", "files")
    assert (status, complaints) == (0, b"")
    assert sorted(printed.splitlines()) == sorted(xargs(files, "sha256sum", "--").splitlines())
    one_by_one = subprocess.run(["sha256sum", "--", *paths], capture_output=True, check=True)
    assert printed == one_by_one.stdout


SLOWLY = """
import example_batch

@jobd.job("digest_slowly")
def digest_slowly(path):
    jobd.current_job().sleep(0.01)
    return example_batch.digest(path)
"""


def test_disturbed_and_undisturbed_results_are_the_same(house: House, files: Path) -> None:
    """Killed with SIGKILL at random moments, paused, resumed, appended to, and one item failed and
    retried: every file has its digest, and the counters are what a count says."""
    house.handlers(SLOWLY)
    chance = random.Random(20_261_122)
    paths = made(house, files, "create", "--type", "digest_slowly", "--as", "path",
                 "--concurrency", "3")
    missing = house.root / "missing.py"
    (house.root / "more").write_text(f"{missing}\n")
    house.cli("batch", "append", "files", "--lines", str(house.root / "more"), "--as", "path")
    for disturbance in ([], ["pause"], [], ["pause", "--now"]):
        daemon, last = start(house), None
        for _ in range(chance.randrange(5, 25)):
            last = daemon.wait_for("job.completed", after=last)
        if disturbance:
            house.cli("batch", disturbance[0], "files", *disturbance[1:])
        daemon.kill()
        if disturbance:
            assert house.cli_json("batch", "show", "files")["status"] == "paused"
            house.cli("batch", "resume", "files")
    start(house)
    assert "1 failed" in ended(house, expect=1)
    shutil.copy(paths[1], missing)
    house.cli("batch", "retry", "files")
    ended(house)
    assert results(house) == digests([*paths, missing])
    batch = house.cli_json("batch", "show", "files")
    assert (batch["run"], batch["status"]) == (2, "completed")
    assert batch["successful_items"] == batch["completed_items"] == len(paths) + 1
