"""The house of the daemon's tests, for handlers, commands, clocks and input that misbehave."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.harness import House, close_gates
from tests.daemon.warm import Starter


@pytest.fixture(scope="session", autouse=True)
def _starter() -> Iterator[None]:
    yield
    Starter.put_away()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A fresh directory with the standard handlers; every daemon in it is ended afterwards."""
    with House(tmp_path) as made:
        made.handlers("")
        yield made
    close_gates()
