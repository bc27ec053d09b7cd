"""`jobd completion`: what a shell offers is what the command line takes."""

import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

from jobd.cli.completion import verbs_of
from jobd.cli.main import build_parser
from jobd.cli.verbs import VERBS
from jobd.core.lifecycle import JobStatus
from tests.cli.pty_terminal import Terminal

Jobd = Callable[..., tuple[int, str, str]]

TREE = {verb.name: verb for verb in verbs_of(build_parser())}

ASK = """
compopt() { names_of_files=yes; }
eval "$SCRIPT"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=() names_of_files=
_jobd
printf '%s\\n' "${COMPREPLY[@]}"
[[ -z $names_of_files ]] || echo FILES
"""


@pytest.fixture
def scripts(jobd: Jobd) -> dict[str, str]:
    return {shell: jobd("completion", shell)[1] for shell in ("bash", "zsh", "fish")}


@pytest.fixture
def offered(scripts: dict[str, str]) -> Callable[..., set[str]]:
    """What bash offers for the last of these words."""

    def ask(*words: str) -> set[str]:
        done = subprocess.run(
            ["bash", "--norc", "-c", ASK, "bash", "jobd", *words], capture_output=True, text=True,
            env={"PATH": "/usr/bin:/bin", "SCRIPT": scripts["bash"]}, timeout=60,
        )
        assert (done.returncode in (0, 1), done.stderr) == (True, "")
        return set(done.stdout.split())

    return ask


def test_the_tree_has_every_verb_and_its_parts() -> None:
    """Read off the parser, so that a new verb is completed without a word here."""
    names = set(VERBS)
    assert names <= set(TREE)
    assert {"queue pause", "migrate up"} <= set(TREE)
    assert all("--help" in {name for flag in verb.flags for name in flag.names}
               for verb in TREE.values())


@pytest.mark.parametrize(("words", "expected"), [
    (["he"], {"health"}),
    (["queue", "p"], {"pause"}),
    (["queue", ""], {"pause", "resume", "list"}),
    (["list", "--st"], {"--status"}),
    (["list", "--status", ""], set(JobStatus)),
    (["list", "--status", "z"], {"zombie"}),
    (["list", "--status", "=", "z"], {"zombie"}),
    (["list", "--status", "="], set(JobStatus)),
    (["--db", "list", "queue", "res"], {"resume"}),
    (["--db", "=", "list", "queue", "res"], {"resume"}),
    (["list", "--queue", "show", "--li"], {"--limit"}),
    (["list", "--queue", ""], set()),
    (["completion", "f"], {"fish"}),
    (["list", "--j"], {"--json"}),
    (["tail", "--color", "n"], {"never"}),
    (["--config", ""], {"FILES"}),
    (["tail", ""], {"FILES"}),
    (["exec", "--", "ls", ""], {"FILES"}),
    (["exec", "--", "list", "--st"], {"FILES"}),
    (["no-such-verb", "x"], set()),
], ids=" ".join)
def test_bash_offers(
    offered: Callable[..., set[str]], words: list[str], expected: set[str]
) -> None:
    """Verbs, verbs beneath them, flags and their values; files where a file is meant."""
    assert offered(*words) == expected


@pytest.mark.parametrize("name", sorted(TREE), ids=lambda name: name or "jobd")
def test_bash_offers_every_flag_of_every_verb(
    offered: Callable[..., set[str]], name: str
) -> None:
    """And every word that may follow."""
    verb = TREE[name]
    flags = {flag for each in verb.flags for flag in each.names}
    assert offered(*verb.path, "-") == flags
    words = offered(*verb.path, "") - {"FILES"}
    assert words == {word for word, _ in verb.parts}


@pytest.fixture
def shell(scripts: dict[str, str]) -> Iterator[Terminal]:
    """bash as a person sits before it, with the script sourced."""
    environment = {"PATH": "/usr/bin:/bin", "TERM": "xterm", "PS1": "ready> ", "HOME": "/",
                   "LANG": "C.UTF-8", "SCRIPT": scripts["bash"], "INPUTRC": "/dev/null"}
    bash = shutil.which("bash")
    assert bash is not None
    terminal = Terminal([bash, "--norc", "--noprofile", "-i"], environment)
    terminal.type('bind "set enable-bracketed-paste off"; eval "$SCRIPT"; PS1=go:\n')
    terminal.wait_for("\ngo:")
    yield terminal
    terminal.put_away()


def test_a_person_types_tab(shell: Terminal) -> None:
    """In a real bash: a verb is completed, then its flag, then the flag's value."""
    shell.type("jobd heal\t")
    shell.wait_for("go:jobd health")
    shell.type("\x15jobd list --sta\t")
    shell.wait_for("go:jobd list --status")
    shell.type("dead\t")
    shell.wait_for("go:jobd list --status dead_letter")


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_the_other_shells_read_their_script(scripts: dict[str, str], name: str) -> None:
    """Where they are installed: no syntax error."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"there is no {name} on this machine")
    done = subprocess.run([path, "-n"], input=scripts[name], capture_output=True, text=True,
                          timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_the_other_scripts_name_every_verb_and_flag(scripts: dict[str, str], name: str) -> None:
    """With a description behind it."""
    for verb in TREE.values():
        for word, about in verb.parts:
            assert word in scripts[name]
            assert about.replace("'", "\u2019") in scripts[name]
        for flag in (flag for each in verb.flags for flag in each.names):
            written = f"'{flag}:" if name == "zsh" else f" -{'l' if flag[1] == '-' else 's'} " \
                + flag.lstrip("-")
            assert written in scripts[name]


def test_no_quote_is_left_open(scripts: dict[str, str]) -> None:
    """Single quotes come in pairs on each line, whatever a help text holds."""
    for script in scripts.values():
        assert [line for line in script.splitlines()
                if not line.startswith("#") and line.count("'") % 2] == []


def test_an_unknown_shell_is_refused(jobd: Jobd) -> None:
    """One sentence with those that are known."""
    status, out, err = jobd("completion", "tcsh")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "'bash', 'zsh', 'fish'" in err or "bash, zsh, fish" in err
