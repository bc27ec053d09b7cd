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


def test_it_stops_later_than_jobd_by_itself() -> None:
    """TimeoutStopSec leaves time for the default grace, the kill grace and the last commit."""
    timing = Config().timing
    assert int(directive("TimeoutStopSec")) > timing.shutdown_grace + timing.kill_grace + 20
