"""Importing the modules whose decorated functions are the job types."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from jobd.core.registry import HANDLERS, Handler
from jobd.errors import HandlersError


def load_handlers(modules: Sequence[str], path: Sequence[str]) -> dict[str, Handler]:
    """Import `modules`, looking into `path` first; returns every handler by job type.

    Raises:
        HandlersError: a module does not import (its traceback is in the message), or there is
            no handler in any of them.
    """
    for directory in reversed(path if modules else ()):
        if directory not in sys.path:
            sys.path.insert(0, directory)
    for module in modules:
        _import(module, path)
    if modules and not HANDLERS:
        raise HandlersError(f"no @jobd.job function in {', '.join(modules)}")
    return dict(HANDLERS)


def _import(module: str, path: Sequence[str]) -> None:
    try:
        importlib.import_module(module)
    except HandlersError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        text = "".join(traceback.format_exception(error)).rstrip()
        raise HandlersError(
            f"the handlers module {module} does not import: {type(error).__name__}"
            f"{_unseen(error, path)}\n{text}"
        ) from None


def _unseen(error: BaseException, path: Sequence[str]) -> str:
    """What of the search path is hidden from this process: a service sees no home directory."""
    hidden = [each for each in path if not os.access(each, os.R_OK | os.X_OK)]
    if not isinstance(error, ModuleNotFoundError) or not hidden:
        return ""
    return f", and this process cannot look into {', '.join(hidden)} (as the user it " \
        "runs as; and a service sees no home directory)"
