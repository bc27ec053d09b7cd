"""jobd: a job daemon for one host. These are the names a job author imports."""

from jobd import errors
from jobd.core.current import current_job
from jobd.core.job import Fail, JobId, Retry, Snooze, Stopped
from jobd.core.lifecycle import FailureType, JobStatus
from jobd.core.registry import job
from jobd.core.version import VERSION
from jobd.queue import Queue

__version__ = VERSION

__all__ = [
    "Fail",
    "FailureType",
    "JobId",
    "JobStatus",
    "Queue",
    "Retry",
    "Snooze",
    "Stopped",
    "__version__",
    "current_job",
    "errors",
    "job",
]
