"""Where a batch and its items are, and what failed items do: what looking at one needs."""

from enum import StrEnum

from jobd.core.lifecycle import EXECUTING, WAITING, JobStatus


class BatchStatus(StrEnum):
    """Where a batch is; the last three are ends."""

    QUEUED = "queued"
    PROCESSING = "processing"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ItemStatus(StrEnum):
    """Where an item is; it follows from the status of its job, and is stored nowhere."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ErrorHandling(StrEnum):
    """What failed items do to the rest of their batch."""

    CONTINUE = "continue"
    STOP = "stop"
    LIMIT = "limit"


OPEN = (BatchStatus.QUEUED, BatchStatus.PROCESSING, BatchStatus.PAUSED)

ITEM_STATUS: dict[JobStatus, ItemStatus] = {
    **dict.fromkeys(WAITING, ItemStatus.QUEUED),
    **dict.fromkeys(EXECUTING, ItemStatus.PROCESSING),
    JobStatus.COMPLETED: ItemStatus.COMPLETED,
    JobStatus.FAILED: ItemStatus.FAILED,
    JobStatus.DEAD_LETTER: ItemStatus.FAILED,
    JobStatus.CANCELLED: ItemStatus.CANCELLED,
}
