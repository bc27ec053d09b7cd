"""The house of the daemon's tests, and an interpreter that is kept warm for the next start."""

from tests.daemon.conftest import _starter, house

__all__ = ["_starter", "house"]
