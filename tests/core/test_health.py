"""The verdict on everything, from what the database and the lock say."""

from typing import Any

import pytest

from jobd.core.health import HealthFacts, judge
from jobd.core.presence import Halt, Holder, Presence
from jobd.core.problem import State, worst

NOW = 1_700_000_000_000
DAEMON = {"pid": 77, "stopped_at": None, "seen_at": NOW - 1_000}
HERE = Presence(alive=True, pid=77, pid_here=77, silent_ms=2_000)
GONE = Presence()


def worker(name: str = "JobWorker-1", **keys: Any) -> dict[str, Any]:
    return {"name": name, "health_status": "normal", "stuck_job_id": None, "job_id": None,
            "job_status": None, **keys}


def facts(**given: Any) -> HealthFacts:
    usual = {"now": NOW, "presence": HERE, "daemon": DAEMON,
             "workers": [worker()], "busy": 0, "unfinished": False, "heads": [], "zombies": [],
             "dead_letters": 0, "without_handler": {}, "max_age_ms": 60_000}
    return HealthFacts(**{**usual, **given})


def causes(**given: Any) -> list[tuple[State, str]]:
    return [(each.state, each.cause) for each in judge(facts(**given)).problems]


def test_nothing_wrong_is_healthy() -> None:
    """A daemon that lives, workers that are normal, nothing that waits for a person."""
    health = judge(facts())
    assert (health.state, list(health.problems)) == (State.HEALTHY, [])
    assert health.about == "daemon pid 77, 0 of 1 worker busy"


HEAD = {"queue": "a", "id": 5, "job_type": "thumb", "ready_since": NOW - 61_000}
ZOMBIE = {"id": 8, "job_type": "thumb", "status": "zombie"}


@pytest.mark.parametrize(("given", "state", "cause", "command"), [
    ({"presence": GONE}, State.DOWN, "no_daemon", "jobd run"),
    ({"presence": GONE, "daemon": None}, State.DOWN, "no_daemon", "jobd run"),
    ({"daemon": DAEMON | {"seen_at": NOW - 181_000}}, State.DOWN, "silent_daemon", "jobd status"),
    ({"presence": HERE._replace(pid=78)}, State.DEGRADED, "not_ready", "jobd health"),
    ({"daemon": DAEMON | {"stopped_at": NOW}}, State.DEGRADED, "not_ready", "jobd health"),
    ({"daemon": None}, State.DEGRADED, "not_ready", "jobd health"),
    ({"presence": HERE._replace(halt=Halt.SIGNAL, waker="kill -CONT 77")}, State.DOWN,
     "frozen_daemon", "kill -CONT 77"),
    ({"presence": HERE._replace(silent_ms=36_000)}, State.DOWN, "silent_daemon",
     "ps -o pid,stat,wchan:20,args -Lp 77"),
    ({"presence": HERE._replace(said="stopping")}, State.DEGRADED, "stopping", "jobd workers"),
    ({"presence": HERE._replace(said="waits for disk space")}, State.DEGRADED, "disk_space",
     "jobd doctor"),
    ({"presence": HERE._replace(writer=Holder(9, "sqlite3 x"))}, State.DEGRADED,
     "database_locked", "ps -fp 9"),
    ({"workers": [worker(health_status="unhealthy", stuck_job_id=3)]}, State.DEGRADED,
     "unhealthy_worker", "jobd explain 3"),
    ({"workers": [worker(health_status="potentially_stuck", stuck_job_id=3)]}, State.DEGRADED,
     "potentially_stuck_worker", "jobd explain 3"),
    ({"zombies": [ZOMBIE]}, State.DEGRADED, "zombie", "jobd explain 8"),
    ({"heads": [HEAD]}, State.DEGRADED, "old_head", "jobd explain 5"),
    ({"dead_letters": 1}, State.DEGRADED, "dead_letters", "jobd list --status dead_letter"),
    ({"without_handler": {"nope": 3}}, State.DEGRADED, "without_handler", "jobd list --type nope"),
    ({"without_handler": {"a b; rm": 3}}, State.DEGRADED, "without_handler", "jobd list"),
])
def test_one_thing_wrong(
    given: dict[str, Any], state: State, cause: str, command: str
) -> None:
    """Each has its cause for programs, a sentence, and a command that a shell can take."""
    (problem,) = judge(facts(**given)).problems
    assert (problem.state, problem.cause, problem.next_command) == (state, cause, command)
    assert problem.text.endswith(".")


def test_a_young_head_or_none_to_wait_for_is_no_problem() -> None:
    """Up to alerts.max_age, and with "none" at any age."""
    assert causes(heads=[HEAD | {"ready_since": NOW - 60_000}]) == []
    assert causes(heads=[HEAD], max_age_ms=None) == []


def test_a_zombie_that_a_worker_holds_is_told_once() -> None:
    """As that worker's; when the daemon is gone, as what it left."""
    held = worker(health_status="unhealthy", stuck_job_id=8)
    assert [cause for _, cause in causes(workers=[held], zombies=[ZOMBIE])] == ["unhealthy_worker"]
    gone = causes(workers=[held], zombies=[ZOMBIE], presence=GONE)
    assert [cause for _, cause in gone] == ["no_daemon", "zombie"]


def test_the_worst_counts_and_comes_first() -> None:
    """Down beats degraded, wherever it stands in the list."""
    health = judge(facts(dead_letters=2, presence=GONE))
    assert health.state is State.DOWN
    assert worst(reversed(health.problems))[0].cause == "no_daemon"


def test_a_status_of_another_release_is_shown_as_it_is() -> None:
    """What this one does not know is at least not healthy."""
    (problem,) = judge(facts(workers=[worker(health_status="asleep")])).problems
    assert problem.text == "JobWorker-1 is asleep."
