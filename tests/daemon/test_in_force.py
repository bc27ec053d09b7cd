"""The settings in force against the file: what an edit would change is named until it is taken."""

import json
import signal

from jobd.store.in_force import in_force_file
from tests.daemon.harness import House

AS_READ = {"by_reload": [], "by_restart": []}


def changed(house: House) -> dict[str, list[str]]:
    found: dict[str, list[str]] = house.cli_json("status")["settings_changed"]
    return found


def test_an_edit_is_named_until_a_reload_or_a_restart_takes_it(house: House) -> None:
    """By status, doctor and check, with what takes it; nothing is said of a file as it was read."""
    daemon = house.start()
    assert changed(house) == AS_READ
    house.write_config(timing__timeout="1h", pool__workers=3)
    assert changed(house) == {"by_reload": ["timing.timeout"], "by_restart": ["pool.workers"]}
    said = "a reload takes timing.timeout, a restart takes pool.workers"
    for words in ("status", "doctor", "check"):
        assert said in house.cli(words), words
        assert str(daemon.pid) in house.cli(words)
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("configuration.reloaded")
    assert changed(house) == {"by_reload": [], "by_restart": ["pool.workers"]}
    assert daemon.stop() == 0
    assert changed(house) == AS_READ
    house.start()
    assert changed(house) == AS_READ


def test_what_a_flag_or_a_variable_decides_is_not_named(house: House) -> None:
    """They beat the file, before and after."""
    house.start("--workers", "2", env={"JOBD_TIMING_TIMEOUT": "2h"})
    house.write_config(timing__timeout="1h", pool__workers=3, alerts__max_age="1h")
    assert changed(house) == AS_READ
    house.write_config(alerts__max_age="2h")
    assert changed(house) == {"by_reload": ["alerts.max_age"], "by_restart": []}


def test_a_reload_that_is_refused_leaves_the_old_settings_in_force(house: House) -> None:
    """A broken file is told as such; mended, what it says otherwise is named again."""
    daemon = house.start()
    house.write_config(timing__timeout="soon")
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("configuration.refused")
    assert changed(house) == AS_READ
    assert "timing.timeout" in house.said
    house.write_config(timing__timeout="1h")
    assert changed(house)["by_reload"] == ["timing.timeout"]


def test_another_file_than_the_daemons_is_told(house: House) -> None:
    """Whoever asks with another configuration sees that the daemon has not read it."""
    house.start()
    house.config_file = house.root / "other.toml"
    house.write_config()
    assert f"has read {house.root}/jobd.toml" in house.cli("doctor")


def test_no_value_is_kept_where_others_may_read_it(house: House) -> None:
    """Only salted digests are beside the database: a value may be a secret."""
    house.start(alerts__command=["/bin/true", "--token=hunter2"])
    text = in_force_file(house.db).read_text()
    assert "hunter2" not in text
    assert json.loads(text)["values"]["alerts.command"]
    assert in_force_file(house.db).stat().st_mode & 0o077 == 0
