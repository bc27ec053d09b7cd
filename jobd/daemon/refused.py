"""Outcomes that the database refuses are set aside, so that the rest commits."""

import sqlite3
from collections.abc import Callable

from jobd.core.job import Failed, Failure
from jobd.core.lifecycle import FailureType
from jobd.daemon.attempt import Ended
from jobd.daemon.report import Report
from jobd.daemon.turn import Batch
from jobd.store.transaction import Transaction

Apply = Callable[[sqlite3.Connection, Batch], object]


def set_aside_refused(
    batch: Batch, error: sqlite3.IntegrityError, transaction: Callable[[], Transaction],
    apply: Apply, report: Report,
) -> None:
    """Make failures of the outcomes that do not fit, found by trying each alone.

    When even the failure cannot be stored, the database is broken and the daemon ends.
    """
    refused = [each for each in batch.ended if not _fits(each, transaction, apply)]
    if not refused:
        raise error
    for each in refused:
        if isinstance(each.ending, Failed) and each.ending.failure.final:
            raise error
        report.row_refused(each.attempt, str(error))
        each.attempt.enqueued = []  # to which a thread that its handler left may still add
        text = f"its outcome could not be stored: {error}"
        failed = Failed(Failure(FailureType.SYSTEM, text, final=True))
        place = batch.ended.index(each)
        batch.ended[place] = Ended(each.attempt, failed, each.duration)


def _fits(ended: Ended, transaction: Callable[[], Transaction], apply: Apply) -> bool:
    try:
        with transaction() as db:
            apply(db, Batch(ended=[ended]))
            raise _OnlyTrying
    except _OnlyTrying:
        return True
    except sqlite3.IntegrityError:
        return False


class _OnlyTrying(Exception):
    """Rolls back a transaction that was only made to see whether it fits."""
