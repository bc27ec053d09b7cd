"""The house of the daemon's tests, and a disk that fails when it is told to."""

from pathlib import Path

import pytest

from tests.daemon.conftest import _starter, house
from tests.daemon.harness import House
from tests.faults.disk import FaultyDisk, build

__all__ = ["_starter", "house"]


@pytest.fixture(scope="session")
def disk_shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def disk(house: House, disk_shim: Path) -> FaultyDisk:
    """For `house.start(env=disk.env)`."""
    return FaultyDisk(house.root / "disk", disk_shim)
