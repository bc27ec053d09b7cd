"""Imported by every interpreter whose PYTHONPATH names this directory: plants the bug asked for."""

import os
import sys

if os.environ.get("TORTURE_PLANT"):
    try:
        from tests.torture.plants import plant

        plant(os.environ["TORTURE_PLANT"])
    except BaseException as error:  # Python would only remark on it, and go on without the bug
        sys.stderr.write(f"not planted: {error!r}\n")
        os._exit(99)
