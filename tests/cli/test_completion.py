"""`jobd completion`: what a shell offers is what the command line takes."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

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
    (["exec", "--", "mkfif"], {"mkfifo", "FILES"}),
    (["exec", "mkfif"], {"mkfifo", "FILES"}),
    (["exec", "--wait", "--cwd", "list", "--", "mkfif"], {"mkfifo", "FILES"}),
    (["exec", "--", "ls", ""], {"FILES"}),
    (["exec", "ls", ""], {"FILES"}),
    (["exec", "--", "list", "--st"], {"FILES"}),
    (["metrics", "--j"], set()),
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
    if not verb.program:
        words = offered(*verb.path, "") - {"FILES"}
        assert words == {word for word, _ in verb.parts}


BEGIN = {
    "bash": ["--norc", "--noprofile", "-i"],
    "zsh": ["-f", "-i"],
}
PREPARE = {
    "bash": 'bind "set enable-bracketed-paste off"; eval "$SCRIPT"; PS1=go:\n',
    "zsh": 'unsetopt prompt_sp; autoload -Uz compinit; compinit -D -u; '
           'eval "$SCRIPT"; PS1=go:\n',
}


@pytest.fixture(params=sorted(BEGIN))
def shell(scripts: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Terminal]:
    """A shell as a person sits before it, with its script read."""
    name = request.param
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} on this machine")
    environment = {"PATH": "/usr/bin:/bin", "TERM": "xterm", "PS1": "ready> ", "HOME": "/",
                   "LANG": "C.UTF-8", "SCRIPT": scripts[name], "INPUTRC": "/dev/null"}
    terminal = Terminal([found, *BEGIN[name]], environment)
    terminal.steps_back = True
    terminal.type(PREPARE[name])
    terminal.wait_for("\ngo:")
    yield terminal
    terminal.put_away()


def test_a_person_types_tab(shell: Terminal) -> None:
    """A verb is completed, then its flag, then the flag's value, either way it is written."""
    shell.type("jobd heal\t")
    shell.wait_for("go:jobd health")
    shell.type("\x15jobd list --sta\t")
    shell.wait_for("go:jobd list --status")
    shell.type("dead\t")
    shell.wait_for("go:jobd list --status dead_letter")
    shell.type("\x15jobd list --status=zom\t")
    shell.wait_for("go:jobd list --status=zombie")


def test_what_stands_behind_two_dashes_is_a_command(shell: Terminal) -> None:
    """Its name, and then its files: no flag of jobd is offered to a program."""
    shell.type("jobd exec --wait -- mkfif\t")
    shell.wait_for("go:jobd exec --wait -- mkfifo")
    shell.type("/usr/bi\t")
    shell.wait_for("go:jobd exec --wait -- mkfifo /usr/bin/")


@pytest.mark.parametrize(("line", "expected"), [
    ("heal", ["health"]),
    ("queue res", ["resume"]),
    ("--db list queue res", ["resume"]),
    ("list --status=zom", ["--status=zombie"]),
    ("completion f", ["fish"]),
    ("exec --wa", ["--wait"]),
    ("exec -- mkfif", ["mkfifo"]),
    ("exec mkfif", ["mkfifo"]),
    ("exec --wait -- mkfifo /usr/bi", ["/usr/bin/"]),
    ("exec -- list --sta", []),
    ("metrics --j", []),
])
def test_fish_offers(
    scripts: dict[str, str], tmp_path: Path, line: str, expected: list[str]
) -> None:
    """The same in fish, which says what it would offer."""
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("there is no fish on this machine")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SCRIPT": scripts["fish"],
                   "LINE": f"jobd {line}"}
    done = subprocess.run(
        [fish, "--no-config", "-c", 'printf %s "$SCRIPT" | source; complete -C "$LINE"'],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60,
    )
    assert done.stderr == ""
    assert [each.partition("\t")[0] for each in done.stdout.splitlines()] == expected


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
