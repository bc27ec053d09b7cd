"""What every test may rely on: helpers import as `tests.…`, wherever pytest was started."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).parent.parent)

if ROOT not in sys.path:
    sys.path.insert(0, ROOT)
