"""Which failure type an exception or an exit status is: by class and number, never by text."""

import errno
import signal
from collections.abc import Mapping

from jobd.core.lifecycle import FailureType

NETWORK = FailureType.NETWORK
TIMEOUT = FailureType.TIMEOUT
RESOURCE = FailureType.RESOURCE
PERMISSION = FailureType.PERMISSION
CONFIGURATION = FailureType.CONFIGURATION
VALIDATION = FailureType.VALIDATION
SYSTEM = FailureType.SYSTEM
UNKNOWN = FailureType.UNKNOWN

EXCEPTIONS: Mapping[str, FailureType] = {
    "ConnectionError": NETWORK,
    "socket.gaierror": NETWORK,
    "socket.herror": NETWORK,
    "ssl.SSLError": NETWORK,
    "urllib.error.URLError": NETWORK,
    "http.client.HTTPException": NETWORK,
    "TimeoutError": TIMEOUT,
    "MemoryError": RESOURCE,
    "PermissionError": PERMISSION,
    "ImportError": CONFIGURATION,
    "NameError": CONFIGURATION,
    "NotImplementedError": CONFIGURATION,
    "ValueError": VALIDATION,
    "SyntaxError": VALIDATION,
    "FileNotFoundError": VALIDATION,
    "IsADirectoryError": VALIDATION,
    "NotADirectoryError": VALIDATION,
    "OSError": SYSTEM,
    "SystemError": SYSTEM,
    "SystemExit": SYSTEM,
    "KeyboardInterrupt": SYSTEM,
    "GeneratorExit": SYSTEM,
    "sqlite3.Error": SYSTEM,
}
"""Class to failure type; the nearest base class decides. Built-ins go without a module."""

_ERRNOS: Mapping[int, FailureType] = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN),
        RESOURCE,
    ),
    **dict.fromkeys(
        (errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH), NETWORK
    ),
    errno.EROFS: PERMISSION,
}

EXIT_STATUSES: Mapping[int, FailureType] = {
    **dict.fromkeys((64, 65, 66), VALIDATION),
    **dict.fromkeys((67, 68, 78, 126, 127), CONFIGURATION),
    **dict.fromkeys((69, 70, 71, 72, 74), SYSTEM),
    75: RESOURCE,
    76: NETWORK,
    77: PERMISSION,
}
"""Exit statuses of sysexits.h, and the shell's 126 and 127."""


def classify(error: BaseException, configured: Mapping[str, FailureType]) -> FailureType:
    """The type of `error`: the nearest class that `configured` or jobd's own table names."""
    for cls in type(error).__mro__:
        name = _name(cls)
        found = configured.get(name) or _by_number(error, name) or EXCEPTIONS.get(name)
        if found is not None:
            return found
    return UNKNOWN


def classify_exit(status: int) -> FailureType:
    """The type of a program's exit status; a negative one is the signal that killed it."""
    if status < 0:
        return RESOURCE if -status == signal.SIGKILL else SYSTEM
    return EXIT_STATUSES.get(status, UNKNOWN)


def _by_number(error: BaseException, name: str) -> FailureType | None:
    if name == "OSError":
        return _ERRNOS.get(getattr(error, "errno", None) or 0)
    if name == "subprocess.CalledProcessError":
        return classify_exit(getattr(error, "returncode", 1))
    return None


def _name(cls: type) -> str:
    module = "" if cls.__module__ == "builtins" else f"{cls.__module__}."
    return f"{module}{cls.__qualname__}"
