"""The quick look at a schema: whether it is letter for letter what this jobd makes.

Nearly every database is, and what else would do is known by the migrations (store/schema.py), which
take longer to import and to run than most verbs.
"""

import sqlite3
from zlib import crc32

from jobd.core.version import SCHEMA_VERSION
from jobd.store.connection import APPLICATION_ID

MADE = 0x97BC56F2
"""`checksum` of a new database. With a new migration a test says what it must be."""


def is_as_made(db: sqlite3.Connection) -> bool:
    """Whether nothing can be wrong with it; when not, a closer look is due."""
    return checksum(db) == MADE


def checksum(db: sqlite3.Connection) -> int:
    """Of all definitions, the record of migrations, and the two numbers in the file's header.

    It guards against accidents, one in four billion of which it does not see.
    """
    numbers = ("user_version", "application_id")
    header = [db.execute(f"PRAGMA {name}").fetchone() for name in numbers]
    if header != [(SCHEMA_VERSION,), (APPLICATION_ID,)]:
        return 0
    definitions = db.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema "
        "WHERE name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY type, name"
    ).fetchall()
    try:
        records = db.execute(
            "SELECT version, name, rollback_at FROM schema_migrations ORDER BY rowid"
        ).fetchall()
    except sqlite3.OperationalError:
        return 0  # the table is not there, or another one
    return crc32(repr((definitions, records)).encode(errors="backslashreplace"))
