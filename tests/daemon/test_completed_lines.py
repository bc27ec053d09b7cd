"""The line of a completed job, made two ways: filled into a form, and by structlog."""

import json
from collections.abc import Iterator

import pytest
import structlog

from jobd import log
from jobd.core.job import Job, Succeeded
from jobd.core.registry import Handler
from jobd.daemon.attempt import Attempt, Ended
from jobd.daemon.completed_lines import log_completed

HOSTILE = '"}\n{"event": "daemon.stopped"}\x1b[31m\u202e\ud800\\é'


@pytest.fixture
def lines() -> Iterator[list[str]]:
    written: list[str] = []
    log.configure("info", written.append)
    yield written
    structlog.reset_defaults()


def completed(text: str, started_at: int | None, duration: float) -> Ended:
    job = Job(id=1 << 60, attempt=3, job_type=text, queue=text, payload="{}", priority=0,
              retry_count=0, rescue_count=0)
    attempt = Attempt(job, Handler(text, lambda: None), None, 0.0, claimed_at=1_800_000_000_001)
    attempt.worker, attempt.started_at = text, started_at
    return Ended(attempt, Succeeded(None), duration)


def without_time(line: str) -> dict[str, object]:
    return {**json.loads(line), "timestamp": None}


@pytest.mark.parametrize("text", ["noop", HOSTILE])
@pytest.mark.parametrize(("started_at", "duration"), [
    (1_800_000_000_002, 0.0000123), (None, 0.0), (253_402_300_800_000, 1e9), (0, 0.1),
])
@pytest.mark.parametrize("enqueued", [[], [7, 1 << 60]])
def test_both_ways_make_the_same_line(
    lines: list[str], text: str, started_at: int | None, duration: float, enqueued: list[int]
) -> None:
    """Key for key and in the same order, whatever names and times there are."""
    ended = [(completed(text, started_at, duration), enqueued)]
    log_completed(log.logger().bind(), ended)
    # With another last processor nobody can know that lines are JSON.
    *others, render = structlog.get_config()["processors"]
    structlog.configure(processors=[*others, lambda *args: render(*args)])
    log_completed(log.logger().bind(), ended)
    form, told = lines
    assert "\n" not in form
    assert list(json.loads(form)) == list(json.loads(told))
    assert without_time(form) == without_time(told)
    assert len(form) == len(told)


def test_it_is_no_line_where_information_is_not_logged(lines: list[str]) -> None:
    """The level in force decides, as for every line."""
    log.configure("warning", lines.append)
    log_completed(log.logger().bind(), [(completed("noop", 1, 0.0), [])])
    assert lines == []


def test_for_people_it_looks_like_every_other_line(lines: list[str]) -> None:
    """The pretty form is structlog's work alone."""
    log.configure("info", lines.append, pretty=True)
    log_completed(log.logger().bind(), [(completed("noop", 1, 0.5), [])])
    assert "job.completed" in lines[0]
    assert "duration_ms=500.0" in lines[0]


def test_a_handler_may_configure_structlog(lines: list[str]) -> None:
    """A logger that takes no lines of ours gets them as every logger does."""
    structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())
    log_completed(log.logger().bind(), [(completed("noop", 1, 0.5), [])])
    log.configure("info", lines.append)
    log_completed(log.logger().bind(), [(completed("noop", 1, 0.5), [])])
    assert json.loads(lines[-1])["event"] == "job.completed"
