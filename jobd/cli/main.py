"""`jobd`: parse, call the verb, print an error as one sentence, exit with its status."""

import argparse
import io
import os
import sys
from collections.abc import Collection, Sequence

from jobd import errors
from jobd.cli import streams
from jobd.cli.parsing import Parser, global_options_first, help_last, verb_at
from jobd.cli.verbs import VERBS, module_of
from jobd.core.version import VERSION

DESCRIPTION = "A job daemon for one host: worker threads over a SQLite queue."
EPILOG = """\
start here:  jobd demo            see it work on real input
             jobd run             the daemon, in the foreground
             jobd enqueue TYPE    put a job in
             jobd status          what there is, and what runs
             jobd explain ID      why a job is not running, and what to type
             jobd VERB --help     the options of a verb, and an example

durations have a unit: 500ms, 30s, 10m, 2h, 7d
exit status: 0 done, 1 failed or not found, 2 bad input, 69 no daemon, 74 the output could not
             be written, 75 try again, 78 configuration or schema"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit status."""
    streams.have_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Text of jobs may hold what this terminal's encoding cannot say.
        sys.stdout.reconfigure(errors="backslashreplace")
    words = help_last(global_options_first(sys.argv[1:] if argv is None else argv))
    return streams.flushed(_status(words))


def _status(words: Sequence[str]) -> int:
    """What the verb returns, or what its error comes to, which has been told then."""
    args = argparse.Namespace()
    try:
        parser = build_parser(_verb_in(words))
        args = parser.parse_args(words)
        if not hasattr(args, "run"):
            parser.print_help()
            return errors.USAGE
        for name in ("db", "config"):
            if getattr(args, name) == "":
                raise errors.BadInput(f"--{name} is empty: name a file, or leave it out")
        if args.json and hasattr(args, "no_json"):
            raise errors.BadInput(f"--json: {args.no_json}")
        status: int = args.run(args)
    except errors.JobdError as error:
        return _told(error)
    except KeyboardInterrupt:
        return 130
    except SystemExit as ended:
        if not isinstance(ended.code, int):
            raise
        return ended.code
    except BrokenPipeError:
        streams.drop(sys.stdout)
        return errors.DONE
    except OSError as error:
        streams.drop(sys.stdout)
        return _failed(error)
    except Exception as error:
        # It knows the whole schema, which a verb that does well need not.
        from jobd.cli.unforeseen import why

        because = why(args, error)
        if because is None:
            raise
        return _told(because)
    return status


def _told(error: errors.JobdError) -> int:
    for line in str(error).splitlines() or [type(error).__name__]:
        streams.complain(line)
    return error.exit_status


def _failed(error: OSError) -> int:
    said = error.strerror or str(error)
    if error.filename:
        streams.complain(f"{error.filename}: {said}")
        return errors.FAILED
    if isinstance(error, FileNotFoundError) and not _has_directory():
        streams.complain("the working directory does not exist any more: go to another one")
        return errors.FAILED
    streams.complain(f"cannot write the output: {streams.why(error)}")
    return errors.OUTPUT


def _has_directory() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _verb_in(words: Sequence[str]) -> Collection[str]:
    """The verb that is asked for; none when there is none, or it is unknown."""
    at = verb_at(words)
    return () if at is None or words[at] not in VERBS else (words[at],)


def build_parser(verbs: Collection[str] = VERBS) -> argparse.ArgumentParser:
    """The command line, as far as these verbs; without any, each with its line of help alone.

    Tests and completion read all of it.
    """
    parser = Parser(
        prog="jobd",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"jobd {VERSION}")
    parser.add_argument("--config", metavar="FILE",
                        help="read this configuration file (default: $JOBD_CONFIG, else "
                        "/etc/jobd/jobd.toml, else ~/.config/jobd/jobd.toml)")
    parser.add_argument("--db", metavar="FILE", help="use this database (default: $JOBD_DB, "
                        "else the setting db, else ~/.local/state/jobd/jobd.db)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    added = parser.add_subparsers(title="verbs", metavar="VERB")
    for verb in verbs:
        module_of(verb).add(added)
    for verb in () if verbs else VERBS:
        added.add_parser(verb, help=VERBS[verb])
    return parser
