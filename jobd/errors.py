"""Every error jobd raises on purpose: a name, a sentence, an exit status."""

from collections.abc import Sequence

DONE = 0
FAILED = 1
USAGE = 2
NO_DAEMON = 69
OUTPUT = 74
TEMPORARY = 75
CONFIGURATION = 78


class JobdError(Exception):
    """Base of all errors; the message is one sentence meant for a person."""

    exit_status = FAILED


class BadInput(JobdError, ValueError):
    """What was handed in cannot be stored or understood; nothing was written."""

    exit_status = USAGE


class NotFound(JobdError, LookupError):
    """The job, queue or file that was asked about does not exist."""


class Refused(JobdError):
    """The request does not fit the state of the job."""


class NoDatabase(JobdError):
    """There is no database at the path, and this verb may not create one."""


class DaemonActive(JobdError):
    """A daemon holds this database, and the verb needs it alone."""

    exit_status = TEMPORARY


class NoDaemon(JobdError):
    """No daemon answers, and the verb needs one; or another one is active already."""

    exit_status = NO_DAEMON


class DatabaseBusy(JobdError):
    """Another process held the write lock for longer than we are willing to wait."""

    exit_status = TEMPORARY


class DatabaseFull(JobdError):
    """The disk has no room for the write; nothing was stored."""

    exit_status = TEMPORARY


class DatabaseUnavailable(JobdError):
    """The database cannot be opened, read or written."""

    exit_status = TEMPORARY


class NoAccess(DatabaseUnavailable):
    """This user may not use the database; the message names the file and the way in."""

    exit_status = CONFIGURATION


class DatabaseReplaced(DatabaseUnavailable):
    """Other files stand where those were that this process has open; nothing was written."""


class OutcomeUnknown(JobdError):
    """The disk failed while a commit was synced: what was written may or may not exist."""

    exit_status = TEMPORARY


class OutputFailed(JobdError):
    """Standard output does not take what is to be printed; what was asked for is done."""

    exit_status = OUTPUT


class ConfigurationError(JobdError):
    """One or more settings are wrong; `problems` holds a sentence for each."""

    exit_status = CONFIGURATION

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class HandlersError(JobdError):
    """A handlers module does not import, or registers a handler that cannot work."""

    exit_status = CONFIGURATION


class SchemaError(JobdError):
    """The database is not what this version of jobd needs; the message names the way out."""

    exit_status = CONFIGURATION


class SchemaChanged(SchemaError):
    """The schema version moved while this process was connected; reopen with a fitting jobd."""


class NotADatabase(SchemaError):
    """The path is a directory, another application's database, or no database at all."""
