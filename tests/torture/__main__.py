"""`python -m tests.torture`: see README.md in this directory."""

import sys

from tests.torture.run import main

sys.exit(main())
