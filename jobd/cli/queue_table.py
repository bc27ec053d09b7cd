"""How queues are printed: by `jobd queue` and in `jobd status`."""

from jobd import clock
from jobd.cli.table import ago, print_table
from jobd.store.reading import Record

COLUMNS = ("name", "ready", "waiting", "running", "oldest_ready", "concurrency", "paused")


def print_queues(found: list[Record]) -> None:
    """A table of the queues with ages instead of times."""
    now = clock.now_ms()
    print_table([_row(each, now) for each in found], COLUMNS)


def _row(queue: Record, now: int) -> Record:
    paused = ago(queue["paused_at"], now)
    by = f" by {queue['paused_by']}" if queue["paused_by"] else ""
    return queue | {
        "oldest_ready": ago(queue["oldest_ready_at"], now),
        "paused": paused and f"{paused}{by}",
    }
