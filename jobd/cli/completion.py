"""`jobd completion`: a script with which a shell completes verbs, flags and their values."""

import argparse
from collections.abc import Iterator

from jobd.cli.completion_scripts import SCRIPTS, Flag, Verb
from jobd.errors import DONE


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "print a script for bash, zsh or fish that completes verbs and flags"
    parser = verbs.add_parser(
        "completion", help=text, description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:  source <(jobd completion bash)\n"
               "           jobd completion zsh > ~/.zfunc/_jobd\n"
               "           jobd completion fish > ~/.config/fish/completions/jobd.fish",
    )
    parser.add_argument("shell", choices=tuple(SCRIPTS), help="the shell that you use")
    parser.set_defaults(run=run, no_json="it prints a script")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    # The parser is made of every verb, and so of this one.
    from jobd.cli.main import build_parser

    print(SCRIPTS[args.shell](list(verbs_of(build_parser()))), end="")
    return DONE


def verbs_of(parser: argparse.ArgumentParser) -> Iterator[Verb]:
    """jobd itself, then each verb with those beneath it; each knows the global options."""
    everywhere = tuple(_flag(each) for each in parser._actions
                       if each.option_strings and each.dest in ("config", "db", "json"))
    yield from _walk(parser, (), "", everywhere)


def _walk(
    parser: argparse.ArgumentParser, path: tuple[str, ...], about: str, everywhere: tuple[Flag, ...]
) -> Iterator[Verb]:
    flags = [_flag(each) for each in parser._actions if each.option_strings]
    own = {name for flag in flags for name in flag.names}
    known = everywhere if parser.get_default("no_json") is None else everywhere[:-1]
    flags += [flag for flag in known if not own & set(flag.names)]
    beneath = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    abouts = {each.dest: each.help or "" for group in beneath for each in group._choices_actions}
    parts = [(name, abouts.get(name, "")) for group in beneath for name in group.choices]
    arguments = [each for each in parser._actions if not each.option_strings]
    parts += [(str(word), "") for each in arguments if each.nargs != argparse.PARSER
              for word in each.choices or ()]
    takes = {each.metavar for each in arguments}
    yield Verb(path, about, tuple(flags), tuple(parts), "FILE" in takes, "ARGV" in takes)
    for group in beneath:
        for name, inner in group.choices.items():
            yield from _walk(inner, (*path, name), abouts.get(name, ""), everywhere)


def _flag(action: argparse.Action) -> Flag:
    return Flag(
        tuple(action.option_strings),
        (action.help or "").replace("%%", "%"),
        takes_value=action.nargs != 0,
        choices=tuple(map(str, action.choices or ())),
        files=action.metavar in ("FILE", "DIR"),
    )
