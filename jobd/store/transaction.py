"""A write transaction of one database: in turn, checked, and committed or rolled back."""

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

from jobd.store.complaints import translation

if TYPE_CHECKING:
    from jobd.store.connection import Database

KeepTrying = Callable[[float], bool]
"""Asked whether to go on after so many seconds of finding the database locked."""


class Transaction:
    """What `Database.transaction` promises; a generator would take as long as its statements."""

    __slots__ = ("_before_commit", "_database", "_keep_trying", "_turn")

    def __init__(
        self,
        database: "Database",
        keep_trying: KeepTrying,
        before_commit: Callable[[], None] | None,
    ) -> None:
        self._database = database
        self._keep_trying = keep_trying
        self._before_commit = before_commit
        self._turn: int | None = None

    def __enter__(self) -> sqlite3.Connection:
        database = self._database
        self._turn = database.turnstile.take()
        try:
            database.begin(self._keep_trying)
            database.check_schema_version()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return database.connection

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        database, db = self._database, self._database.connection
        try:
            if error is None:
                database.check_files()
                if self._before_commit is not None:
                    self._before_commit()
                database.commit()
            elif isinstance(error, sqlite3.DatabaseError):
                raise error
        except sqlite3.DatabaseError as failure:
            raise translation(failure, database.path) from failure
        finally:
            # SQLite has rolled back by itself after a full disk and other I/O errors.
            if db.in_transaction:
                db.execute("ROLLBACK")
            database.turnstile.leave(self._turn)
