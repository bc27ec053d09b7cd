"""Every event of the log as a sentence."""

import re
from pathlib import Path
from typing import Any

import pytest

from jobd.core.sentences import SENTENCES, sentence

EVENTS_MD = (Path(__file__).parents[2] / "jobd/EVENTS.md").read_text()
ROWS = {
    event: set(re.findall(r"`(\w+)`", keys))
    for event, keys in re.findall(r"(?m)^\| `([a-z]+\.[a-z_]+)` \| \w+ \|([^|]*)\|", EVENTS_MD)
}


def event(name: str, **keys: Any) -> dict[str, Any]:
    return {"timestamp": "2026-01-01T00:00:00.000Z", "level": "info", "event": name, "v": 1, **keys}


@pytest.mark.parametrize("name", sorted(SENTENCES))
def test_a_sentence_names_keys_of_its_row_only(name: str) -> None:
    """What EVENTS.md does not promise is not there to be told."""
    used = set(re.findall(r"\{(\w+)", SENTENCES[name]))
    assert used <= ROWS[name]


def test_every_event_of_the_contract_has_a_sentence() -> None:
    """A new event gets one beside its row in EVENTS.md, and one that goes takes it along."""
    assert set(SENTENCES) == set(ROWS)


@pytest.mark.parametrize("name", sorted(SENTENCES))
def test_an_event_without_its_keys_still_makes_a_sentence(name: str) -> None:
    """A line cut from another release is no reason to fail; nor are values of the wrong kind."""
    keys = set(re.findall(r"\{(\w+)", SENTENCES[name]))
    assert "{" not in sentence(event(name))
    for odd in ("text", [1, "a"], {"a": None}, True, 1e300, -1):
        assert sentence(event(name, **dict.fromkeys(keys, odd)))


def test_what_stands_in_a_value_is_no_template() -> None:
    """Braces and brackets of a job's text are text."""
    text = sentence(event("job.dead_lettered", job_id=1, error="[{job_id}] {x:ms}"))
    assert text == "job 1 parked in dead_letter: [{job_id}] {x:ms}"


def test_times_and_durations_are_for_people() -> None:
    """A time is told as seen from the event, a duration with its unit."""
    text = sentence(event("job.retry_scheduled", job_id=7, job_type="mail", duration_ms=90_000,
                          failure_type="network", error="refused", worker="JobWorker-1", attempt=2,
                          next_retry_at="2026-01-01T00:00:10.000Z"))
    assert text == ("job 7 (mail) failed after 1 min 30 s in JobWorker-1, attempt 2: network: "
                    "refused; next try in 10 s")


def test_a_handlers_own_keys_follow() -> None:
    """What a handler logged is shown with all it gave."""
    text = sentence(event("job.logged", job_id=7, job_type="mail", message="sent", to="a b", n=3))
    assert text == 'job 7 (mail) says: sent to="a b" n=3'


def test_a_long_value_is_cut() -> None:
    """One line stays one line to look at."""
    assert len(sentence(event("job.failed", job_id=7, error="x" * 100_000))) < 400
