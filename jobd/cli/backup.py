"""`jobd backup`: a verified copy of the database, also while the daemon runs."""

import argparse
import os
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from jobd import clock
from jobd.cli.options import for_looking
from jobd.cli.streams import complain
from jobd.cli.table import print_json, printable
from jobd.core.problem import counted
from jobd.errors import DONE
from jobd.store.online_backup import write_backup
from jobd.store.opening import open_database

DESCRIPTION = """\
write a verified copy of the database to FILE, also while the daemon runs

The copy has the mode 0600, appears when it is whole and on disk, and is checked for its
integrity and its schema; a schema that is not what this jobd needs is said, and the copy, which
is as true as any, is kept. What commands have written to their output is not part of it.
To put a copy back: stop the daemon, move the database and the files ending in -wal and -shm
beside it away, copy FILE to its place, give it to the daemon's user, start."""


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = DESCRIPTION.partition("\n")[0]
    parser = verbs.add_parser(
        "backup", help=text, description=DESCRIPTION, epilog="example:  jobd backup jobd-monday.db",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="where the copy goes")
    parser.add_argument("--force", action="store_true", help="replace FILE when it exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the copy; it is a true one, also of a database whose schema has drifted."""
    target = Path(os.path.abspath(os.path.expanduser(args.file)))
    path = for_looking(args).db
    with closing(open_database(path, check="none", now=clock.now_ms())) as database:
        copied = write_backup(database.connection, database.path, target, force=args.force)
    if args.json:
        print_json(asdict(copied))
    else:
        print(f"backed up to {printable(copied.file)}: {megabytes(copied.bytes)}, "
              f"{counted(copied.jobs, 'job')}, schema version {copied.schema_version}, "
              f"{'integrity verified' if copied.differences else 'verified'}")
    for difference in copied.differences:
        complain("the copy is true, but its schema, as the database's, is not what this jobd "
                 f"needs: {printable(difference)}")
    return DONE


def megabytes(size: int) -> str:
    """A size as a person reads it."""
    return f"{size / 1_000_000:.1f} MB" if size >= 100_000 else f"{size / 1_000:.1f} kB"
