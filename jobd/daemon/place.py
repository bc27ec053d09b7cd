"""Whether the files that the daemon has open still stand where they stood."""

import sqlite3
from pathlib import Path

from jobd import clock
from jobd.daemon.report import EVERY_MINUTE
from jobd.log import logger
from jobd.store.backup import save
from jobd.store.files import UNSEEN, identities, replaced


class Place:
    """The database's files, as they were when they were opened."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._files = identities(database)
        self._unseen_said = float("-inf")

    def is_taken(self) -> bool:
        """Whether other files stand there now, or none; says when that cannot be seen."""
        found = identities(self._database)
        if UNSEEN in found:
            self._say_unseen(clock.monotonic())
        return replaced(self._files, found)

    def _say_unseen(self, monotonic: float) -> None:
        """We have the files open and go on; others cannot open them."""
        if monotonic - self._unseen_said >= EVERY_MINUTE:
            self._unseen_said = monotonic
            logger().error("store.unreachable", database=str(self._database))

    def save(self, connection: sqlite3.Connection) -> None:
        """Keep what the old files hold: they have no names, and are gone with this process."""
        saved, why = None, None
        try:
            saved = str(save(connection, self._database, clock.now_ms()))
        except (OSError, sqlite3.Error) as error:
            why = str(error)
        logger().error("store.replaced", database=str(self._database), saved=saved, error=why)
