"""The house of the daemon's tests, and the verbs in this process."""

from tests.cli.conftest import jobd, path, store
from tests.daemon.conftest import _starter, house

__all__ = ["_starter", "house", "jobd", "path", "store"]
