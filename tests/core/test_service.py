"""What to type to a daemon that systemd keeps."""

import pytest

from jobd.core.presence import Presence
from jobd.core.service import systemctl, unit_of


@pytest.mark.parametrize(("groups", "command"), [
    ("0::/system.slice/jobd.service\n", "sudo systemctl start jobd"),
    ("0::/system.slice/system-jobd.slice/jobd@media.service\n", "sudo systemctl start jobd@media"),
    ("2:cpu:/x\n0::/user.slice/user-1000.slice/user@1000.service/app.slice/jobd.service\n",
     "systemctl --user start jobd"),
    ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-u1.scope\n", "jobd run"),
    ("0::/\n", "jobd run"),
    ("2:cpu:/jobd.service\n", "jobd run"),
    ("", "jobd run"),
])
def test_a_service_is_started_by_its_manager(groups: str, command: str) -> None:
    """Of the machine or of the user, as its control group tells; anything else by `jobd run`."""
    assert Presence(unit=unit_of(groups)).start == command


def test_a_daemon_is_restarted_by_who_keeps_it() -> None:
    """One that a person has started can only be ended for him."""
    here = Presence(alive=True, pid=77, pid_here=79)
    assert here.restart == "kill 79"
    assert here._replace(unit="jobd.service").restart == "sudo systemctl restart jobd"


@pytest.mark.parametrize("unit", [
    "jobd; rm -rf .service", "-H evil.service", "a b.service", "$(id).service", "jobd", "", None, 7,
    "jobd.service\nid",
])
def test_what_is_no_unit_is_in_no_command(unit: object) -> None:
    """The file that tells of the unit is open to the group: nothing else gets behind sudo."""
    assert systemctl("start", unit) is None
