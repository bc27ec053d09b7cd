"""The command line: one file per verb; this list is their order in `--help`."""

from jobd.cli import migrate

VERBS = (migrate,)
