"""What every test may rely on: helpers import as `tests.…`, wherever pytest was started."""

import signal
import sys
from pathlib import Path

ROOT = str(Path(__file__).parent.parent)

if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

# In the background of a shell these are ignored, and so they would be by all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
