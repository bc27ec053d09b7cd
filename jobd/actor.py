"""Who acts, for the record."""

import getpass
import os


def actor() -> str:
    """The login name, else the user id."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
