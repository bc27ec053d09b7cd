"""Disks that fail: injected into one process by a shim, or made of a small file system."""

import errno
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

WRITES, SYNCS, TRUNCATES, READS = 1, 2, 4, 8
COMPILER = shutil.which("cc") or shutil.which("gcc")
LAYOUT = "=6i40s"
HITS = struct.Struct("=i")


class FaultyDisk:
    """What the disk shim does to a process that was started with `env`; the test changes it."""

    def __init__(self, control: Path, library: Path) -> None:
        control.write_bytes(bytes(struct.calcsize(LAYOUT)))
        self.env = {"LD_PRELOAD": str(library), "DISK_SHIM": str(control)}
        with control.open("r+b") as file:
            self._mapped = mmap.mmap(file.fileno(), 0)

    def fail(
        self, calls: int, error: int, name: str = "jobd.db-wal", *, skip: int = 0,
        times: int = -1, delay_ms: int = 0,
    ) -> None:
        """From now on these calls fail on files whose names end with `name`."""
        self.heal()
        told = struct.pack(LAYOUT, 0, error, skip, times, delay_ms, 0, name.encode())
        self._mapped[4:] = told[4:]
        self._mapped[:4] = struct.pack("=i", calls)

    def heal(self) -> None:
        self._mapped[:4] = bytes(4)

    @property
    def hits(self) -> int:
        """How many calls have failed since the last `fail`."""
        found: int = HITS.unpack_from(self._mapped, 20)[0]
        return found


def build(directory: Path) -> Path:
    """Compile the shim; skips the test where that cannot be done."""
    if COMPILER is None:
        pytest.skip("no C compiler for the disk shim")
    built = directory / "disk_shim.so"
    source = Path(__file__).with_name("disk_shim.c")
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", built, source], check=True)
    return built


@contextmanager
def mounted(*what: str) -> Iterator[None]:
    """A file system mounted as `mount WHAT` says, the last word of which is where."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    made = subprocess.run(["mount", *what], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"mount {' '.join(what)} does not work here: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", what[-1]], check=True)


def fill(directory: Path) -> Path:
    """A file that leaves not one free byte beside it."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return filler
