"""The house of the daemon's tests, for handlers, commands, clocks and input that misbehave."""

from tests.daemon.conftest import _starter, house

__all__ = ["_starter", "house"]
