"""jobd: a job daemon for one host. These are the names a job author imports."""

from importlib import import_module

from jobd import errors
from jobd.core.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobd.batch_queue import Batch
    from jobd.core.batch import Item
    from jobd.core.current import current_job
    from jobd.core.job import Fail, Retry, Snooze, Stopped
    from jobd.core.lifecycle import FailureType, JobStatus
    from jobd.core.new_job import JobId
    from jobd.core.registry import job
    from jobd.queue import Queue

__version__ = VERSION

__all__ = [
    "Batch",
    "Fail",
    "FailureType",
    "Item",
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

_HOMES = {
    "jobd.batch_queue": ("Batch",),
    "jobd.core.batch": ("Item",),
    "jobd.core.current": ("current_job",),
    "jobd.core.job": ("Fail", "Retry", "Snooze", "Stopped"),
    "jobd.core.lifecycle": ("FailureType", "JobStatus"),
    "jobd.core.new_job": ("JobId",),
    "jobd.core.registry": ("job",),
    "jobd.queue": ("Queue",),
}


def __getattr__(name: str) -> object:
    """Import a name when it is first asked for.

    The command line imports this package before anything of its own can run: a Ctrl-C during
    imports finds it on its feet only when this one takes no time.
    """
    for home, names in _HOMES.items():
        if name in names:
            globals()[name] = found = getattr(import_module(home), name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
