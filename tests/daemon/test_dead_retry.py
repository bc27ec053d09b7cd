"""A group of dead letters is replayed behind a canary."""

import subprocess

from tests.daemon.harness import House

HANDLERS = """
@job("picky", max_retries=0)
def picky(n):
    if not (ROOT / "mended").exists():
        raise ConnectionError(f"10.0.0.{n} refused")
"""
MANY = 15


def parked(house: House) -> tuple[str, int]:
    """Fifteen jobs that failed for one cause; its fingerprint, and the job that goes first."""
    house.handlers(HANDLERS)
    daemon = house.start(retry__network__max_retries=0)
    ids = [house.enqueue("picky", {"n": n}) for n in range(MANY)]
    daemon.wait_for_all("job.dead_lettered", ids)
    (group,) = house.cli_json("dead")
    assert group["count"] == MANY
    return str(group["fingerprint"]), int(group["example_id"])


def test_when_the_canary_completes_the_rest_follows(house: House) -> None:
    """One command mends a thousand jobs of one cause."""
    fingerprint, first = parked(house)
    (house.root / "mended").touch()
    out = house.cli("dead", "retry", fingerprint)
    assert f"{fingerprint}: job {first} completed" in out
    assert out.splitlines()[-1] == f"{fingerprint}: retried {MANY}"
    house.daemons[0].wait_for_all("job.completed", range(1, MANY + 1))


def test_when_the_canary_fails_the_rest_stays(house: House) -> None:
    """No second flood of failures."""
    fingerprint, first = parked(house)
    house.cli("dead", "retry", fingerprint, expect=1)
    assert house.said == (
        f"jobd: {fingerprint}: job {first} went first and is dead_letter; "
        f"the other {MANY - 1} stay as they are\n"
    )
    tried = [span.job_id for span in house.spans()]
    assert sorted(tried) == sorted([*range(1, MANY + 1), first])


def test_a_canary_that_does_not_end_in_time_holds_the_rest_back(house: House) -> None:
    """Its queue may be paused; nothing is retried behind its back."""
    fingerprint, first = parked(house)
    house.cli("queue", "pause", "default")
    (found,) = house.cli_json("dead", "retry", fingerprint, "--timeout", "10ms", expect=1)
    assert found["held_back"] == f"job {first} has not ended"
    assert (found["retried"], found["skipped"]) == (1, 0)
    assert house.rows("SELECT count(*) FROM job_queue WHERE status = 'dead_letter'")[0][0] == (
        MANY - 1
    )


def test_what_dies_while_the_canary_runs_is_not_retried(house: House) -> None:
    """Only those that were parked when the command began."""
    fingerprint, _ = parked(house)
    house.cli("queue", "pause", "default")
    with subprocess.Popen(
        house.argv("dead", "retry", fingerprint), env=house.env, cwd=house.root,
        stdout=subprocess.PIPE, text=True,
    ) as replay:
        assert replay.stdout is not None
        assert "goes first" in replay.stdout.readline()
        late = house.enqueue("picky", {"n": 1}, queue="other")
        house.daemons[0].wait_for("job.dead_lettered", job_id=late)
        (house.root / "mended").touch()
        house.cli("queue", "resume", "default")
        out = replay.stdout.read()
    assert out.splitlines()[-1] == f"{fingerprint}: retried {MANY}"
    assert house.status(late) == "dead_letter"
