"""The version of jobd, as the daemon registers it and `--version` prints it; and its schema's."""

VERSION = "0.1.0"

SCHEMA_VERSION = 8
"""The last migration. Whoever finds it in a database need not import all of them to open it."""
