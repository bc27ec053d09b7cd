"""The scripts of three shells, filled in with the verbs and flags of the command line."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from jobd.cli.completion_shells import BASH, FISH, ZSH


@dataclass(frozen=True, slots=True)
class Flag:
    """An option: its names, and what may follow it."""

    names: tuple[str, ...]
    about: str
    takes_value: bool
    choices: tuple[str, ...] = ()
    files: bool = False


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb of the command line by its whole path; () is jobd itself."""

    path: tuple[str, ...]
    about: str
    flags: tuple[Flag, ...]
    parts: tuple[tuple[str, str], ...]
    """The words that may follow: verbs beneath it or choices of an argument, and what they do."""
    files: bool
    program: bool = False
    """Whether what follows is a program and its arguments, which no longer concern jobd."""

    @property
    def name(self) -> str:
        return " ".join(self.path)


def _bash(verbs: Sequence[Verb]) -> str:
    values = [
        f"        {_pattern(verb.name, flag)}) "
        + (f'COMPREPLY=($(compgen -W "{" ".join(flag.choices)}" -- "$current")); return ;;'
           if flag.choices else "compopt -o default; return ;;" if flag.files else "return ;;")
        for verb, flag in _valued(verbs)
    ]
    words = [
        f'        "{verb.name}") options="{" ".join(_names(verb.flags))}"; '
        f'words="{" ".join(word for word, _ in verb.parts)}"; files={"1" if verb.files else ""} ;;'
        for verb in verbs
    ]
    return _filled(BASH, verbs, "|", '"', values, words)


def _zsh(verbs: Sequence[Verb]) -> str:
    values = [
        f"        ({_pattern(verb.name, flag)}) "
        + (f"compadd -- {' '.join(flag.choices)}; return ;;" if flag.choices
           else "_files; return ;;" if flag.files else "return ;;")
        for verb, flag in _valued(verbs)
    ]
    words = []
    for verb in verbs:
        options = [f"{name}:{flag.about}" for flag in verb.flags for name in flag.names]
        parts = [f"{word}:{about}" for word, about in verb.parts]
        words.append(
            f'        ("{verb.name}") options=({" ".join(map(_quoted, options))})\n'
            f"            parts=({' '.join(map(_quoted, parts))}); files={int(verb.files)} ;;"
        )
    return _filled(ZSH, verbs, "|", '"', values, words)


def _fish(verbs: Sequence[Verb]) -> str:
    lines = []
    for verb in verbs:
        at = f"complete -c jobd -n {_quoted(f'__jobd_at {verb.name}'.rstrip())}"
        lines += [f"{at} -a {_quoted(word)} -d {_quoted(about)}" for word, about in verb.parts]
        lines += [f"{at} -F"] if verb.files else []
        lines += [f"{at} -a '(__jobd_program)'"] if verb.program else []
        lines += [f"{at} {_fish_flag(flag)}" for flag in verb.flags]
    return _filled(FISH, verbs, " ", "'", [], lines)


def _fish_flag(flag: Flag) -> str:
    parts = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names]
    if flag.choices:
        parts.append(f"-x -a {_quoted(' '.join(flag.choices))}")
    elif flag.takes_value:
        parts.append("-r -F" if flag.files else "-x")
    return " ".join([*parts, f"-d {_quoted(flag.about)}"])


SCRIPTS: dict[str, Callable[[Sequence[Verb]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}


def _filled(
    script: str, verbs: Sequence[Verb], between: str, mark: str, values: list[str],
    words: list[str],
) -> str:
    valued = sorted({name for _, flag in _valued(verbs) for name in flag.names})
    paths = [f"{mark}{verb.name}{mark}" for verb in verbs if verb.path]
    star = "*'" if mark == "'" else '"*'
    programs = [f"{mark}{verb.name} {star}" for verb in verbs if verb.program]
    return (
        script.replace("@VALUED@", between.join(valued)).replace("@VERBS@", between.join(paths))
        .replace("@PROGRAMS@", between.join(programs))
        .replace("@VALUES@", "\n".join(values)).replace("@WORDS@", "\n".join(words))
    )


def _valued(verbs: Iterable[Verb]) -> list[tuple[Verb, Flag]]:
    return [(verb, flag) for verb in verbs for flag in verb.flags if flag.takes_value]


def _names(flags: Iterable[Flag]) -> list[str]:
    return [name for flag in flags for name in flag.names]


def _pattern(verb: str, flag: Flag) -> str:
    return "|".join(f'"{verb}:{name}"' for name in flag.names)


def _quoted(text: str) -> str:
    """In single quotes, for any of the three: a quote in it becomes a typographic one."""
    return "'" + text.replace("\\", "/").replace("'", "\u2019").replace("\n", " ") + "'"
