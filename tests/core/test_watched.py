"""The daemon's state and health, from the lines of its log alone."""

from typing import Any

import pytest

from jobd.core.problem import State
from jobd.core.watched import Watched, pool_line, watch, worker_line

START = 1_767_323_040_000  # 2026-01-02T03:04:00Z


def line(event: str, second: float = 0, **keys: Any) -> dict[str, Any]:
    minute, rest = divmod(second, 60)
    return {"timestamp": f"2026-01-02T03:{4 + int(minute):02}:{rest:06.3f}Z", "level": "info",
            "event": event, "v": 1, **keys}


def beat(second: float, *names: str, **keys: Any) -> list[dict[str, Any]]:
    told = {"workers": 2, "busy": 0, "ready": 0, "dead_letters": 0, "interval_s": 5, **keys}
    return [*(line("worker.heartbeat", second, worker=name, health="normal") for name in names),
            line("pool.health", second, **told)]


def judged(events: list[dict[str, Any]], second: float, max_age_ms: int | None = None) -> Any:
    return watch(events).health(START + round(second * 1000), 5_000, max_age_ms)


def test_heartbeats_in_time_are_healthy() -> None:
    """Nothing else is needed: a log that begins in the middle will do."""
    assert judged(beat(0, "JobWorker-1") + beat(5, "JobWorker-1"), 19).state is State.HEALTHY


def test_three_intervals_without_a_heartbeat_are_down() -> None:
    """By the interval that the heartbeat itself names."""
    events = beat(0, "JobWorker-1", interval_s=2)
    assert judged(events, 5.9).state is State.HEALTHY
    assert [each.cause for each in judged(events, 6.1).problems] == ["silent_daemon"]
    assert judged(events, 6.1).state is State.DOWN


def test_a_log_without_the_interval_is_measured() -> None:
    """Lines of a release that did not name it: the shortest time between two heartbeats."""
    events = [each for second in (0, 1, 9) for each in beat(second, interval_s=None)]
    assert judged(events, 11.5).state is State.HEALTHY
    assert judged(events, 12.5).state is State.DOWN


@pytest.mark.parametrize(("last", "state", "cause"), [
    (line("daemon.stopped", 6, exit_status=75), State.DOWN, "stopped"),
    (line("daemon.failed", 6, error="x"), State.DOWN, "stopped"),
    (line("daemon.stopping", 6), State.DEGRADED, "stopping"),
    (line("daemon.started", 6, pid=5), State.DEGRADED, "not_ready"),
    (line("daemon.ready", 6, pid=5), State.HEALTHY, None),
    (line("store.full", 6, error="no space"), State.DEGRADED, "database_full"),
    (line("store.locked", 6, waited_s=1.0), State.DEGRADED, "database_locked"),
])
def test_the_last_word_of_the_daemon_counts(
    last: dict[str, Any], state: State, cause: str | None
) -> None:
    """Stopped is down, however young the last heartbeat is."""
    found = judged([*beat(5, "JobWorker-1"), last], 7)
    assert found.state is state
    assert [each.cause for each in found.problems] == ([cause] if cause else [])


def test_trouble_with_the_store_ends() -> None:
    """A full disk when it is said to be over; a lock when it is not said again."""
    full = [*beat(0), line("store.full", 1), line("store.recovered", 2)]
    locked = [*beat(0), line("store.locked", 1), *beat(80)]
    assert judged(full, 3).state is State.HEALTHY
    assert judged(locked, 81).state is State.HEALTHY


def test_no_heartbeat_at_all_is_down_and_says_what_may_be_wrong() -> None:
    """An empty file, or one of a daemon that logs warnings only."""
    (problem,) = judged([], 0).problems
    assert (problem.state, problem.cause) == (State.DOWN, "no_heartbeat")
    assert "log.level" in problem.text


def test_a_worker_that_is_not_well_is_named_with_its_job() -> None:
    """And with the command that says more."""
    events = [line("worker.heartbeat", worker="JobWorker-3", health="unhealthy", job_id=17,
                   stuck_job_id=17, attempt=1, busy_ms=60_000), *beat(0)]
    (problem,) = judged(events, 1).problems
    assert problem.state is State.DEGRADED
    assert problem.text.startswith("JobWorker-3 on job 17 does not stop")
    assert problem.next_command == "jobd explain 17"


def test_dead_letters_and_an_old_head_are_degraded() -> None:
    """As the last heartbeat of the pool counted them."""
    found = judged(beat(0, dead_letters=3, oldest_ready_ms=61_000), 1, max_age_ms=60_000)
    assert [each.cause for each in found.problems] == ["dead_letters", "old_head"]
    assert found.state is State.DEGRADED
    assert judged(beat(0, oldest_ready_ms=61_000), 1).state is State.HEALTHY


def test_a_worker_that_is_gone_is_forgotten() -> None:
    """A stuck one that came back at last: it has no heartbeat any more."""
    watched = watch([*beat(0, "JobWorker-1", "JobWorker-2"), *beat(5, "JobWorker-2"),
                     *beat(10, "JobWorker-2"), *beat(15, "JobWorker-2")])
    assert [each.name for each in watched.in_order()] == ["JobWorker-2"]


def test_a_new_daemon_has_nothing_of_the_old_one() -> None:
    """Its workers, its trouble and its heartbeat are its own."""
    watched = watch([*beat(0, "JobWorker-9"), line("store.full", 1), line("daemon.started", 2)])
    assert (watched.workers, watched.trouble, watched.beat_at) == ({}, {}, None)


def test_the_line_of_a_worker_goes_on_between_heartbeats() -> None:
    """How long it is at its job grows; what it ended since is counted."""
    watched = watch([line("worker.heartbeat", worker="JobWorker-1", health="normal", job_id=5,
                          attempt=2, busy_ms=10_000), *beat(0)])
    (worker,) = watched.in_order()
    assert worker_line(worker, START + 20_000).split("normal")[1].strip() == \
        "job 5 attempt 2 for 30 s"
    watched.take(line("job.completed", 1, worker="JobWorker-1", job_id=5, duration_ms=1.0))
    assert worker_line(worker, START + 20_000).split("normal")[1].strip() == \
        "idle  1 job ended, last job 5 completed"


def test_the_line_of_the_pool_needs_no_key() -> None:
    """Lines of another release, or of a liar, make no error."""
    watched = Watched()
    assert pool_line(watched, START) == "no heartbeat yet"
    for odd in ({}, {"pid": "x", "interval_s": "y"}, {"oldest_ready_ms": [], "interval_s": -1}):
        watched.take(line("pool.health", 1, **odd))
        watched.take(line("worker.heartbeat", 1, **odd))
        assert pool_line(watched, START)
        assert watched.health(START, 5_000, 1)
