"""How commands are ended: by a deadline, a person, a stop of the daemon, or because they failed."""

from collections.abc import Iterator

import pytest

from tests.daemon.harness import House, RunningDaemon
from tests.daemon.test_commands import Villain, until

EVERYONE = ("deaf-child", "deaf-session", "daemon", "bare", "hidden", "deaf-hidden")
"""Children that ignore SIGTERM, that left the session, that closed their descriptors, and both."""


@pytest.fixture
def villain(house: House) -> Iterator[Villain]:
    made = Villain(house)
    yield made
    made.put_away()


def run_until_up(house: House, villain: Villain, *words: str, options: tuple[str, ...] = ()) -> int:
    """A job of this villain, whose processes are up, in a daemon of its own."""
    house.start()
    job_id = villain.exec(*words, options=options)
    forks = [word for word in words if word not in ("once", "deaf") and "=" not in word]
    villain.wait_up(len(forks), job_id)
    return job_id


def gone_with(daemon: RunningDaemon, villain: Villain, event: str, job_id: int) -> None:
    """When the log says that the attempt ended, nobody of it is left."""
    daemon.wait_for(event, job_id=job_id)
    assert villain.left() == []


@pytest.mark.parametrize("how", [("sleep",), ("deaf", "sleep"), ("stop",), ("hide",),
                                 ("deaf", "hide")])
def test_cancel_ends_the_program_itself(
    house: House, villain: Villain, how: tuple[str, ...]
) -> None:
    """Willing, ignoring SIGTERM, stopped by SIGSTOP, without its descriptors and environment."""
    job_id = run_until_up(house, villain, *how)
    house.cli("cancel", str(job_id))
    gone_with(house.daemons[-1], villain, "job.cancelled", job_id)
    assert house.daemons[-1].events("job.zombified") == []


@pytest.mark.parametrize("kind", [*EVERYONE, "child", "session"])
def test_cancel_ends_whatever_the_program_started(
    house: House, villain: Villain, kind: str
) -> None:
    """Each kind of grandchild is gone when the log says that the job is cancelled."""
    job_id = run_until_up(house, villain, kind, "sleep")
    house.cli("cancel", str(job_id))
    gone_with(house.daemons[-1], villain, "job.cancelled", job_id)
    job = house.job(job_id)
    assert (job["status"], job["execution_over"]) == ("cancelled", 1)


def test_a_timeout_ends_everyone_before_the_next_attempt(house: House, villain: Villain) -> None:
    """A family of misfits past its deadline: verdict timeout, all ended, then the retry alone."""
    job_id = run_until_up(house, villain, "once", *EVERYONE, "sleep", options=("--timeout", "1s"))
    daemon = house.daemons[-1]
    daemon.wait_for("job.timed_out", job_id=job_id)
    daemon.wait_for("job.completed", job_id=job_id, attempt=2)
    assert villain.overlaps() == villain.left() == []
    (first,) = house.attempts(job_id)
    assert (first["outcome"], first["failure_type"]) == ("retrying", "timeout")
    assert daemon.events("job.zombified") == []


def test_release_ends_everyone_and_charges_nothing(house: House, villain: Villain) -> None:
    """Back in line after the end of all, run again alone, no retry and no rescue charged."""
    job_id = run_until_up(house, villain, "once", *EVERYONE, "sleep")
    house.cli("release", str(job_id))
    daemon = house.daemons[-1]
    daemon.wait_for("job.completed", after=daemon.wait_for("job.released"), job_id=job_id)
    job = house.job(job_id)
    assert (job["attempt"], job["retry_count"], job["rescue_count"]) == (2, 0, 0)
    assert villain.overlaps() == villain.left() == []


@pytest.mark.parametrize("end", ["exit=1", "die=11"])
def test_a_failure_ends_what_the_program_left_before_the_retry(
    house: House, villain: Villain, end: str
) -> None:
    """It ended by itself and badly: its children are ended too, and the retry runs alone."""
    daemon = house.start()
    job_id = villain.exec("once", *EVERYONE, f"ups={len(EVERYONE)}", end)
    daemon.wait_for("job.completed", job_id=job_id, attempt=2)
    assert villain.overlaps() == villain.left() == []


def test_a_stop_of_the_daemon_ends_commands_and_gives_them_back(
    house: House, villain: Villain
) -> None:
    """After the grace everyone is ended; the job is pending, uncharged, and runs alone later."""
    job_id = run_until_up(house, villain, "once", *EVERYONE, "sleep")
    house.write_config(timing__shutdown_grace="100ms")
    first = house.daemons[-1]
    first.signal(15)
    first.wait_for("daemon.stopping")
    first.signal(15)
    assert first.exit_status() == 0
    assert villain.left() == []
    job = house.job(job_id)
    assert (job["status"], job["retry_count"], job["rescue_count"]) == ("pending", 0, 0)
    house.start().wait_for("job.completed", job_id=job_id, attempt=2)
    assert villain.overlaps() == []


def test_a_command_may_finish_within_the_grace_of_a_stop(house: House) -> None:
    """A stop does not signal it at first: what ends by itself in time is completed."""
    daemon = house.start(timing__shutdown_grace="10s")
    wait = f"until [ -e {house.root}/go ]; do sleep 0.01; done"
    script = f"trap 'exit 9' TERM; : > {house.root}/up; {wait}"
    job_id = int(house.cli("exec", "-q", "--", "sh", "-c", script))
    until((house.root / "up").exists)
    daemon.signal(15)
    daemon.wait_for("daemon.stopping")
    (house.root / "go").touch()
    assert daemon.exit_status() == 0
    assert house.status(job_id) == "completed"


def test_a_stop_takes_the_time_that_deaf_commands_need(house: House, villain: Villain) -> None:
    """With a long kill_grace the daemon goes when its commands are dead, not before."""
    house.start(timing__kill_grace="1500ms", timing__shutdown_grace="100ms")
    job_id = villain.exec("once", "deaf", "sleep")
    villain.wait_up(1)
    house.daemons[-1].stop()
    assert villain.left() == []
    assert house.status(job_id) == "pending"


def test_what_a_good_command_leaves_behind_lives_on(house: House, villain: Villain) -> None:
    """Completed, and the log names the pids that it left."""
    daemon = house.start()
    job_id = villain.exec("session", "child", "ups=2")
    left = daemon.wait_for("job.left_processes", job_id=job_id)
    assert sorted(left["pids"]) == sorted(villain.ups()) == sorted(villain.left())
    assert daemon.wait_for("job.completed", job_id=job_id)["attempt"] == 1
    daemon.stop()
    assert sorted(villain.left()) == sorted(villain.ups())


def test_a_daemonised_process_of_a_good_command_is_told(house: House, villain: Villain) -> None:
    """One that closed its descriptors is found by its marker, and named as well."""
    daemon = house.start()
    job_id = villain.exec("daemon", "ups=1")
    daemon.wait_for("job.completed", job_id=job_id)
    assert [line["pids"] for line in daemon.events("job.left_processes")] == [villain.ups()]


def test_a_child_that_holds_the_output_does_not_hold_up_the_job(
    house: House, villain: Villain
) -> None:
    """The attempt ends when its program has ended, not when its output is closed."""
    daemon = house.start()
    job_id = villain.exec("child", "ups=1", "exit=0")
    daemon.wait_for("job.completed", job_id=job_id)
    assert villain.left() == villain.ups()


@pytest.mark.parametrize("verb", [None, "cancel"])
def test_leave_children_exempts_the_children_from_the_end(
    house: House, villain: Villain, verb: str | None
) -> None:
    """With --leave-children a failed or cancelled program is ended alone."""
    daemon = house.start()
    last = "exit=1" if verb is None else "sleep"
    job_id = villain.exec("session", "child", "ups=2", last,
                          options=("--leave-children", "--max-retries", "0"))
    children = villain.wait_up(2)[:2]
    if verb:
        villain.wait_up(3)
        house.cli(verb, str(job_id))
    daemon.wait_for("job.cancelled" if verb else "job.dead_lettered", job_id=job_id)
    assert sorted(villain.left()) == sorted(children)
