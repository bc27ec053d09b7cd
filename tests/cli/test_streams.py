"""Standard streams that are closed, full or have no reader: nothing is lost in silence."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jobd.errors import DONE, FAILED, NO_DAEMON, OUTPUT
from tests.cli.conftest import Store

Jobd = Callable[..., tuple[int, str, str]]
Typed = Callable[..., tuple[int, str]]

WITHOUT_READER = "no reader"


@pytest.fixture
def typed(path: Path) -> Typed:
    """Run a verb in a real process; its status, and what standard error says."""

    def run(*words: str, streams: str) -> tuple[int, str]:
        env = {**os.environ, "HOME": str(path.parent), "PYTHONUNBUFFERED": ""}
        reader, writer = os.pipe()
        os.close(reader)
        redirected = "" if streams == WITHOUT_READER else streams
        command = ["sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-m", "jobd",
                   "--db", str(path), *words]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60,
                              env=env, check=False)
        os.close(writer)
        return done.returncode, done.stderr

    return run


@pytest.mark.parametrize(("streams", "why"), [
    (">&-", "standard output is closed"),
    (">/dev/full", "standard output: No space left on device"),
    (WITHOUT_READER, "standard output: Broken pipe"),
])
@pytest.mark.parametrize("words", [["enqueue", "thumb"], ["exec", "-q", "--", "true"]],
                         ids=lambda words: words[0])
def test_a_job_whose_id_cannot_be_printed_is_told_with_its_id(
    typed: Typed, store: Store, words: list[str], streams: str, why: str
) -> None:
    """It is stored, and a script must not take it for lost: 74, and the id on standard error."""
    said = f"jobd: job 1 is stored, but that could not be printed: {why}\n"
    assert typed(*words, streams=streams) == (OUTPUT, said)
    assert store.count() == 1


def test_a_listing_without_a_reader_ends_quietly(typed: Typed, jobd: Jobd, store: Store) -> None:
    """As in `jobd list | head -1`: no complaint, no traceback, no failure."""
    for _ in range(3):
        jobd("enqueue", "thumb", "--payload", json.dumps({"path": "x" * 9_000}))
    for words in (["list"], ["list", "--json"], ["--help"]):
        assert typed(*words, streams=WITHOUT_READER) == (DONE, "")


@pytest.mark.parametrize("streams", [">&-", ">/dev/full"])
@pytest.mark.parametrize("words", [["list"], ["--help"], ["metrics"], ["completion", "bash"]],
                         ids=lambda words: words[0])
def test_a_listing_that_cannot_be_written_is_a_failure(
    typed: Typed, store: Store, words: list[str], streams: str
) -> None:
    """One sentence and 74: who redirected it must learn that the file is not whole."""
    store.dead()
    status, said = typed(*words, streams=streams)
    assert (status, said.count("\n")) == (OUTPUT, 1)
    assert said.startswith("jobd: cannot write the output: standard output")


def test_a_verdict_is_not_lost_with_its_reader(typed: Typed, store: Store) -> None:
    """The exit status of health and wait is an answer of its own."""
    store.dead()
    assert typed("health", streams=WITHOUT_READER) == (NO_DAEMON, "")
    assert typed("wait", "1", streams=WITHOUT_READER) == (FAILED, "")


def test_a_complaint_that_cannot_be_made_stops_nothing(jobd: Jobd, typed: Typed, store: Store,
                                                      path: Path) -> None:
    """With standard error full or closed a verb does and prints what it would have."""
    store.register("thumb")
    out = path.with_suffix(".out")
    for number, streams in enumerate(("2>/dev/full", "2>&-"), start=1):
        assert typed("enqueue", "thumbs", streams=f">{out} {streams}") == (DONE, "")
        assert out.read_text() == f"enqueued job {number}\n"
