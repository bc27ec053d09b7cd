"""One line of the log read back, whatever carried it here."""

import json

import pytest

from jobd.core.log_line import read_event

LINE = json.dumps({"timestamp": "2026-01-02T03:04:05.000Z", "level": "info",
                   "event": "pool.health", "v": 1, "workers": 4})


@pytest.mark.parametrize("carried", [
    LINE,
    f"Jan 02 03:04:05 host jobd[193]: {LINE}",
    f"Jan  2 03:04:05 host jobd.service/jobd[193]: {LINE}",
    f"2026-01-02T03:04:05+0000 host jobd[193]: {LINE}",
    f"[   17.123456] host jobd[193]: {LINE}",
    f"2026-01-02T03:04:05.123456789Z {LINE}",
    f"jobd-1  | {LINE}",
    json.dumps({"MESSAGE": LINE, "_PID": "193", "PRIORITY": "6"}),
], ids=["cat", "short", "with-unit", "short-iso", "short-monotonic", "docker", "compose", "json"])
def test_a_line_is_known_in_each_format_of_the_journal(carried: str) -> None:
    """As `journalctl` writes without `-o cat` too, and the logs of containers."""
    event = read_event(carried)
    assert event is not None
    assert event["workers"] == 4


@pytest.mark.parametrize("other", [
    f"Jan 02 03:04:05 host jobd[193]: said {LINE}", f"said {LINE}", f"{{}} | {LINE}",
    "Jan 02 03:04:05 host jobd[193]: {", json.dumps({"MESSAGE": {"event": "pool.health"}}),
    json.dumps({"MESSAGE": json.dumps({"MESSAGE": LINE})}), "[]", "",
])
def test_what_quotes_a_line_is_none(other: str) -> None:
    """Only what stands right behind such a beginning is a line of the log."""
    assert read_event(other) is None
