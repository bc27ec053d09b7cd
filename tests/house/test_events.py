"""EVENTS.md lists every event of the log with its level and keys, and nothing else."""

import ast
import re
from pathlib import Path

from jobd.core.lifecycle import CLAIM, MOVES

ROOT = Path(__file__).parents[2]
LEVELS = ("debug", "info", "warning", "error")
ROW = re.compile(r"^\| `([a-z]+\.[a-z_]+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)


def documented() -> dict[str, tuple[str, set[str]]]:
    text = (ROOT / "jobd" / "EVENTS.md").read_text()
    rows = ROW.findall(text)
    return {event: (level, set(re.findall(r"`(\w+)`", keys))) for event, level, keys in rows}


def logged() -> dict[str, tuple[str, set[str], bool]]:
    """Each literal `log.<level>("event", key=…)` of the code; True when it has ** keys too."""
    found = {}
    for path in (ROOT / "jobd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr=level),
                    args=[ast.Constant(value=str(event)), *_],
                    keywords=keywords,
                ) if level in LEVELS and re.fullmatch(r"[a-z]+\.[a-z_]+", event):
                    keys = {each.arg for each in keywords if each.arg}
                    found[event] = (level, keys, any(not each.arg for each in keywords))
    return found


def test_every_logged_event_is_documented_with_its_level_and_keys() -> None:
    """A log call in the code has its row in EVENTS.md: same level, no key that the row lacks."""
    rows = documented()
    missing = {}
    for event, (level, keys, _) in logged().items():
        keys = {"exception" if key == "exc_info" else key for key in keys}
        if event not in rows or rows[event][0] != level or not keys <= rows[event][1]:
            missing[event] = (level, sorted(keys))
    assert missing == {}


def test_every_documented_event_exists() -> None:
    """EVENTS.md names no event that the code does not write."""
    moves = {move.event for move in MOVES if move is not CLAIM} - {"job.revived"}
    written = set(logged()) | moves | {"log.dropped", "job.logged"}
    assert set(documented()) == written


def test_keys_that_moves_log_are_documented() -> None:
    """The keys that report.py gives to outcome lines are those of their rows."""
    source = (ROOT / "jobd" / "daemon" / "report.py").read_text()
    rows = documented()
    given = set(re.findall(r'"(\w+)": ', source[source.index("def _settled") :]))
    outcomes = ("job.retry_scheduled", "job.dead_lettered", "job.cancelled", "job.snoozed",
                "job.timed_out", "job.zombified")
    listed = set().union(*(rows[event][1] for event in outcomes))
    assert given - listed == set()
