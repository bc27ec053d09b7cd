"""What the unit file says, as far as systemd's own programs can tell without running it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jobd.core.config import Config

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "jobd.service"

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here"
)


def directive(name: str) -> str:
    """The value of a directive that stands once in the unit."""
    values = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert len(values) == 1, (name, values)
    return str(values[0])


@needs_analyze
def test_systemd_finds_nothing_to_complain_of(tmp_path: Path) -> None:
    """`systemd-analyze verify` prints nothing; /bin/true stands for the program, which is not
    installed in /opt here."""
    copy = tmp_path / "jobd.service"
    copy.write_text(UNIT.read_text().replace("/opt/jobd/venv/bin/jobd", "/bin/true"))
    said = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True,
                          timeout=60)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def exposure(tmp_path: Path, *texts: str) -> int:
    """Ten times the score that `systemd-analyze security` gives; lower is better."""
    unit = tmp_path / "jobd.service"
    unit.write_text("\n".join(texts))
    asked = ["systemd-analyze", "security", "--offline=yes", "--no-pager", unit]
    said = subprocess.run(asked, capture_output=True, text=True, timeout=60).stdout
    found = re.search(r"exposure level for jobd.service: (\d+)\.(\d)", said)
    assert found, said
    return int(found[1] + found[2])


@needs_analyze
def test_it_is_hardened_as_far_as_commands_run(tmp_path: Path) -> None:
    """The exposure is at most 2.5 of 10, with programs of all kinds as jobs."""
    assert exposure(tmp_path, UNIT.read_text()) <= 25


@needs_analyze
def test_it_is_hardened_further_for_handlers_alone(tmp_path: Path) -> None:
    """With the drop-in the exposure is at most 1.1."""
    drop_in = (ROOT / "systemd" / "handlers-only.conf").read_text()
    assert exposure(tmp_path, UNIT.read_text(), drop_in) <= 11


def test_it_stops_later_than_jobd_by_itself() -> None:
    """TimeoutStopSec leaves time for the default grace, the kill grace and the last commit."""
    timing = Config().timing
    assert int(directive("TimeoutStopSec")) > timing.shutdown_grace + timing.kill_grace + 20
