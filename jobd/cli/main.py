"""`jobd`: parse, call the verb, print an error as one sentence, exit with its status."""

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from jobd import errors
from jobd.cli.opened import why
from jobd.cli.table import printable
from jobd.cli.verbs import VERBS, module_of
from jobd.core.version import VERSION

DESCRIPTION = "A job daemon for one host: worker threads over a SQLite queue."
EPILOG = """\
start here:  jobd demo            see it work on real input
             jobd run             the daemon, in the foreground
             jobd enqueue TYPE    put a job in
             jobd status          what there is, and what runs
             jobd explain ID      why a job is not running, and what to type

exit status: 0 done, 1 failed or not found, 2 bad input, 69 no daemon, 75 try again,
             78 configuration or schema"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit status."""
    _have_streams()
    words = _global_options_first(sys.argv[1:] if argv is None else argv)
    parser = build_parser(_verb_in(words))
    args = argparse.Namespace()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Text of jobs may hold what this terminal's encoding cannot say.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        args = parser.parse_args(words)
        if not hasattr(args, "run"):
            parser.print_help()
            return errors.USAGE
        status: int = args.run(args)
        sys.stdout.flush()
    except errors.JobdError as error:
        return _told(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone; Python would complain once more while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return errors.DONE
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"jobd: {_what_failed(error)}", file=sys.stderr)
        return errors.FAILED
    except Exception as error:
        because = why(args, error)
        if because is None:
            raise
        return _told(because)
    return status


def _told(error: errors.JobdError) -> int:
    for line in str(error).splitlines() or [type(error).__name__]:
        print(f"jobd: {printable(line)}", file=sys.stderr)
    return error.exit_status


def _what_failed(error: OSError) -> str:
    said = error.strerror or str(error)
    if error.filename:
        return f"{error.filename}: {said}"
    if isinstance(error, FileNotFoundError) and not _has_directory():
        return "the working directory does not exist any more: go to another one"
    return f"cannot write the output: {said}"


def _has_directory() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _have_streams() -> None:
    """A standard stream that our parent closed is /dev/null, not None."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
            setattr(sys, name, open(descriptor, mode))  # noqa: SIM115 - for as long as we live


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line as every other error: one sentence, status 2."""

    def error(self, message: str) -> NoReturn:
        raise errors.BadInput(f"{message}; see `{self.prog} --help`")


def _verb_in(words: Sequence[str]) -> tuple[str, ...]:
    """The verb that stands behind the global options; all of them when none does."""
    rest = iter(words)
    for word in rest:
        if word in ("--db", "--config"):
            next(rest, None)
        elif not word.startswith("-"):
            return (word,) if word in VERBS else VERBS
        elif word == "--version":
            return ()
    return VERBS


def build_parser(verbs: Sequence[str] = VERBS) -> argparse.ArgumentParser:
    """The command line, as far as these verbs; tests and completion read all of it."""
    parser = _Parser(
        prog="jobd",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"jobd {VERSION}")
    parser.add_argument("--config", metavar="FILE", help="read this configuration file")
    parser.add_argument("--db", metavar="FILE", help="use this database")
    parser.add_argument("--json", action="store_true", help="print JSON")
    added = parser.add_subparsers(title="verbs", metavar="VERB")
    for verb in verbs:
        module_of(verb).add(added)
    return parser


def _global_options_first(argv: Sequence[str]) -> list[str]:
    """`jobd list --json` means `jobd --json list`: people write global options at the end."""
    first: list[str] = []
    rest = list(argv)
    end = rest.index("--") if "--" in rest else len(rest)
    index = 0
    while index < end:
        word = rest[index]
        value = rest[index + 1] if index + 1 < end else ""
        if re.fullmatch("--[a-z-]+", word) and re.match("-[0-9]", value):
            # argparse would take the value -5s for an option.
            rest[index : index + 2] = [f"{word}={value}"]
            end -= 1
        if word == "--json" or word.startswith(("--db=", "--config=")):
            taken = 1
        elif word in ("--db", "--config") and index + 1 < end:
            taken = 2
        else:
            index += 1
            continue
        first += rest[index : index + taken]
        del rest[index : index + taken]
        end -= taken
    return first + rest
