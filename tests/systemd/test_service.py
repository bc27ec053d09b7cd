"""The service under a real systemd, booted once for all these tests; see promises.py."""

import functools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import distribution, requires
from pathlib import Path
from typing import Any

import pytest

from tests.systemd.promises import PROMISES

ROOT = Path(__file__).parents[2]
BOOT = Path(__file__).with_name("boot.sh")
REQUIRED = "REQUIRE_SYSTEMD_TESTS"
LONGEST = 300
START = """#!/bin/bash
set -e
{reach_python}
exec /run/trial/venv/bin/python -B /run/trial/source/tests/systemd/promises.py
"""
REACHED = sys.base_prefix.startswith("/usr")
REACH_PYTHON = """
mkdir /opt/python
mount --bind {prefix} /opt/python
echo /opt/python/lib >/etc/ld.so.conf.d/0-python.conf
ldconfig
"""
"""A Python in somebody's home is brought to where the service sees it, its library included."""
SCRIPT = """#!/opt/jobd/venv/bin/python
import sys
import threading
from jobd.cli.main import main
sys.exit(main())
"""


@functools.cache
def obstacle() -> str | None:
    """Why this machine does not boot a systemd for a test."""
    if os.geteuid() != 0:
        return "only root can boot a systemd"
    if not Path("/lib/systemd/systemd").exists():
        return "systemd is not installed"
    probe = subprocess.run([BOOT, "--probe"], capture_output=True, text=True, timeout=60)
    if probe.returncode != 0:
        return f"this machine gives no namespaces: {probe.stderr.strip()[-300:]}"
    return None


def copy_package(name: str, to: Path) -> None:
    """Copy an installed distribution, and what it needs."""
    for file in distribution(name).files or ():
        if file.parts[0] != ".." and "__pycache__" not in file.parts:
            (to / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(file.locate()), to / file)
    for needed in requires(name) or ():
        if ";" not in needed:
            copy_package(needed.split(">")[0].split("=")[0].strip(), to)


def make_venv(place: Path) -> None:
    """What `python3 -m venv` and `pip install .` make, without a network."""
    home = Path(sys.base_prefix if REACHED else "/opt/python")
    python = Path(os.path.realpath(sys.executable))
    subprocess.run([python, "-m", "venv", "--without-pip", place], check=True, timeout=60)
    for name in ("python", "python3", python.name):
        (place / "bin" / name).unlink(missing_ok=True)
        (place / "bin" / name).symlink_to(home / "bin" / python.name)
    (place / "pyvenv.cfg").write_text(f"home = {home}/bin\n")
    (packages,) = place.glob("lib/python3*/site-packages")
    for name in ("apscheduler", "structlog"):
        copy_package(name, packages)
    shutil.copytree(ROOT / "jobd", packages / "jobd",
                    ignore=shutil.ignore_patterns("__pycache__"))
    script = place / "bin" / "jobd"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    subprocess.run([python, "-m", "compileall", "-q", packages], check=True,
                   timeout=60)


def furnish(work: Path) -> None:
    """Put there what the booted system gets to see of this project."""
    # Users of the booted system have to come as far as to the clone.
    work.chmod(0o755)
    make_venv(work / "venv")
    for name in ("README.md", "config", "systemd", "tests/systemd"):
        source, copy = ROOT / name, work / "source" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)
    reach_python = "" if REACHED else REACH_PYTHON.format(prefix=sys.base_prefix)
    (work / "start").write_text(START.format(reach_python=reach_python))
    (work / "start").chmod(0o755)


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the booted systemd found, by promise."""
    reason = obstacle()
    if reason is not None:
        if os.environ.get(REQUIRED):
            pytest.fail(f"{REQUIRED} is set, but {reason}")
        pytest.skip(reason)
    work = tmp_path_factory.mktemp("systemd")
    furnish(work)
    with subprocess.Popen([BOOT, work], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as boot:
        watchdog = threading.Timer(LONGEST, boot.terminate)
        watchdog.start()
        assert boot.stdout is not None
        said = boot.stdout.read().decode()
        watchdog.cancel()
    output = (work / "output").read_text() if (work / "output").exists() else ""
    found = [json.loads(line) for line in output.splitlines() if line.startswith('{"promise"')]
    yield {
        "boot": {"wrong": f"exit status {boot.returncode}: {said}\n{output}"},
        **{each["promise"]: each for each in found},
    }
    shutil.rmtree(work)


@pytest.mark.parametrize("promise", [each.__name__ for each in PROMISES])
def test_a_promise_is_kept_under_systemd(kept: dict[str, Any], promise: str) -> None:
    """The function of that name in promises.py found nothing wrong in the booted system."""
    found = kept.get(promise, kept["boot"])
    print(f"{found.get('took')} s")
    assert found["wrong"] is None, found["wrong"]
