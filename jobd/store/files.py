"""Files beside the database, made with tight modes before SQLite or anyone else makes them."""

import os
import stat
from pathlib import Path


def file_mode(path: Path) -> int:
    """0660 in a directory whose group may write (the service's), else 0600."""
    group_writes = path.parent.stat().st_mode & stat.S_IWGRP
    return 0o660 if group_writes else 0o600


def create_file(path: Path) -> int:
    """Open `path` for reading and writing, making it with a tight mode; returns the descriptor."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    os.fchmod(descriptor, file_mode(path))
    return descriptor
