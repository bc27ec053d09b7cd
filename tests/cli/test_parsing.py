"""Mistakes on the command line, its help, and what a verb imports before it can begin."""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobd import errors
from jobd.cli.main import build_parser
from jobd.cli.verbs import VERBS
from tests.cli.conftest import Store

Jobd = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("words", "said"), [
    (["lst"], "`jobd` has no verb 'lst'; did you mean list?"),
    (["queue", "resum", "media"], "`jobd queue` has no verb 'resum'; did you mean resume?"),
    (["list", "--statsu", "x"], "`jobd list` has no option '--statsu'; did you mean --status?"),
    (["list", "--limti=5"], "`jobd list` has no option '--limti'; did you mean --limit?"),
    (["--jsno", "list"], "`jobd` has no option '--jsno'; did you mean --json?"),
    (["list", "--status", "zomby"], "did you mean zombie?"),
    (["exec", "ls", "-l"], "what belongs to the program stands behind --; see `jobd exec --help`"),
    (["status", "17"], "'17' is one argument too many; see `jobd status --help`"),
    (["status", "\x1b[2J"], "'\\x1b[2J' is one argument too many"),
])
def test_a_slip_is_answered_with_what_was_meant(jobd: Jobd, words: list[str], said: str) -> None:
    """One sentence that names the word, the nearest that there is, and where all are listed."""
    status, out, err = jobd(*words)
    assert (status, out, err.count("\n")) == (errors.USAGE, "", 1)
    assert said in err


@pytest.mark.parametrize("words", [[], ["--json"], ["--help"], ["help"], ["--help", "list"]])
def test_the_help_lists_every_verb_and_every_exit_status(
    jobd: Jobd, words: list[str]
) -> None:
    """Also for who types nothing at all, which is no success."""
    status, out, err = jobd(*words)
    assert (status, err) == (errors.DONE if "help" in str(words) else errors.USAGE, "")
    text = " ".join(out.split())
    assert [verb for verb, about in VERBS.items() if f"{verb} {about}" not in text] == []
    statuses = {value for name, value in vars(errors).items() if name.isupper()}
    listed = re.findall(r"\b(\d+) [a-z]", text.partition("exit status: ")[2])
    assert {int(each) for each in listed} == statuses


def test_help_of_a_verb_may_stand_before_it(jobd: Jobd) -> None:
    """`jobd help list` is `jobd list --help`."""
    assert jobd("help", "list") == jobd("list", "--help")


def test_the_line_of_a_verb_is_its_own() -> None:
    """What `jobd --help` says without importing the verb is what the verb says of itself."""
    (verbs,) = (each for each in build_parser()._actions
                if isinstance(each, argparse._SubParsersAction))
    assert {each.dest: each.help for each in verbs._choices_actions} == VERBS


@pytest.mark.parametrize("words", [["metrics"], ["logs", "1"], ["completion", "bash"], ["run"],
                                   ["demo"]], ids=lambda words: words[0])
def test_a_verb_that_prints_no_json_refuses_to(
    jobd: Jobd, store: Store, words: list[str]
) -> None:
    """In one sentence, instead of printing something else to a program that expects JSON."""
    store.dead()
    status, out, err = jobd(*words, "--json")
    assert (status, out, err.count("\n")) == (errors.USAGE, "", 1)
    assert err.startswith("jobd: --json: ")


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield inner
                yield from _parsers(inner)


@pytest.mark.parametrize("parser", list(_parsers(build_parser())),
                         ids=lambda parser: parser.prog)
def test_each_verb_has_an_example(parser: argparse.ArgumentParser) -> None:
    """That begins with the verb, or ends in it behind a pipe, and that the parser takes."""
    text = f"{parser.description}\n{parser.epilog}"
    assert re.search(rf"(?m)^ *(examples?: +)?(.*[|(] ?)?{parser.prog}\b", text), parser.epilog


@pytest.mark.parametrize("parser", [build_parser(), *_parsers(build_parser())],
                         ids=lambda parser: parser.prog)
def test_each_option_that_takes_a_value_says_what_holds_without_it(
    parser: argparse.ArgumentParser
) -> None:
    """Its default, or that it narrows a listing; a duration shows a unit."""
    for action in parser._actions:
        from_file = f"--{action.dest}" in ("--lines", "--ndjson", "--csv", "--find0")
        if not action.option_strings or action.nargs == 0 or action.required or from_file:
            continue
        said = str(action.help)
        assert re.search(r"default|only |may be (repeated|given)|every ", said), action
        if action.metavar == "DURATION":
            assert re.search(r"\b\d+(ms|s|m|h|d)\b", said), action


HEAVY = {"jobd.daemon.daemon", "jobd.store.migrator", "jobd.store.misfits", "jobd.queue", "asyncio",
         "structlog", "apscheduler", "threading", "subprocess", "email", "logging"}


@pytest.mark.parametrize(("words", "absent"), [
    (["list"], HEAVY), (["status"], HEAVY - {"jobd.queue", "threading"}),
    (["list", "--help"], HEAVY), (["enqueue", "--help"], {*HEAVY, "jobd.core.facts"}),
    (["exec", "--help"], {*HEAVY, "jobd.core.facts", "jobd.store.schema"}),
    (["--help"], {*HEAVY, "sqlite3", "tomllib", "dataclasses"}),
    (["nonsense"], {*HEAVY, "sqlite3"}),
], ids=lambda words: " ".join(words) if isinstance(words, list) else "")
def test_a_verb_imports_what_it_needs(
    jobd: Jobd, path: Path, words: list[str], absent: set[str]
) -> None:
    """Imports are nearly all that a short verb costs."""
    jobd("enqueue", "thumb")
    code = ("import sys; from jobd.__main__ import main; main(); "
            "print(*sys.modules, file=sys.stderr)")
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, "--db", str(path), *words], capture_output=True,
        text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )
    imported = set(done.stderr.split())
    assert "jobd.cli.main" in imported
    assert imported & absent == set()
