"""The houses of the daemon's own tests, with a listener in the place of systemd."""

from collections.abc import Iterator

import pytest

from tests.daemon.conftest import house
from tests.daemon.harness import House
from tests.daemon.test_disk_and_locks import small_disk
from tests.systemd.listener import Listener

__all__ = ["house", "listener", "small_disk"]


@pytest.fixture
def listener(house: House) -> Iterator[Listener]:
    """Hears what the house's daemons tell systemd."""
    with Listener(house.root / "notify") as made:
        house.env["NOTIFY_SOCKET"] = made.address
        yield made
