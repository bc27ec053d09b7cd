"""`jobd doctor` beside a daemon: well, dead, doubled, stuck."""

from typing import Any

from tests.daemon.harness import House


def lines(house: House, expect: int = 0) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for each in house.cli_json("doctor", expect=expect):
        found.setdefault(each["about"], []).append(each)
    return found


def test_a_daemon_that_works_is_well(house: House) -> None:
    """It is named by its pid, and its socket answers."""
    daemon = house.start()
    daemon.wait_for_all("job.completed", [house.enqueue("quick")])
    found = lines(house)
    assert [each["level"] for each in found["daemon"]] == ["ok"]
    assert str(daemon.pid) in found["daemon"][0]["message"]
    assert found["socket"][0]["level"] == "ok"
    assert daemon.stop() == 0


def test_what_a_killed_daemon_left_running_is_a_failure(house: House) -> None:
    """Nobody vouches for the job until a daemon is started."""
    daemon = house.start()
    daemon.wait_for("job.logged", job_id=house.enqueue("patient"))
    house.enqueue("quick")
    daemon.kill()
    (finding,) = lines(house, expect=1)["daemon"]
    assert (finding["level"], finding["mend"]) == ("fail", "jobd run")


def test_a_second_daemon_that_waits_is_named(house: House) -> None:
    """It takes over when the first one stops; perhaps nobody means it to."""
    house.start()
    second = house.launch()
    second.wait_stderr("waiting: jobd pid")
    found = lines(house)["daemon"]
    assert sorted(each["level"] for each in found) == ["ok", "warn"]
    assert any(each["mend"] == f"`kill {second.pid}`, unless it is meant to" for each in found)


def test_a_daemon_whose_lock_file_was_removed_is_named(house: House) -> None:
    """By the lock on the database itself, which nobody tidies away."""
    daemon = house.start()
    (house.root / "jobd.db.daemon").unlink()
    failed = [each for each in lines(house, expect=1)["daemon"] if each["level"] == "fail"]
    assert f"Pid {daemon.pid} works on the database" in failed[0]["message"]
    assert f"daemon pid {daemon.pid}" in house.cli("health", expect=1)
    assert f"active, pid {daemon.pid}" in house.cli("status")
    assert "No daemon" not in house.cli("explain", str(house.enqueue("quick", delay=60)))


def test_a_socket_that_was_removed_is_told(house: House) -> None:
    """Jobs start all the same, a moment later."""
    daemon = house.start()
    (house.root / "jobd.db.sock").unlink()
    (finding,) = lines(house)["socket"]
    assert (finding["level"], finding["mend"]) == ("warn", f"restart the daemon, pid {daemon.pid}")


def test_a_thread_that_does_not_stop_is_told(house: House) -> None:
    """With the job that holds it."""
    house.handlers('@job("deaf", timeout=0.1)\ndef deaf(gate):\n    wait_at(gate)\n')
    daemon = house.start(timing__zombie_hold="1h")
    job_id = house.enqueue("deaf", {"gate": "g"})
    house.gate("g")
    daemon.wait_for("worker.heartbeat", health="unhealthy")
    daemon.wait_for("pool.health", stuck=1)
    beat = None
    while "workers" not in (found := lines(house)):
        beat = daemon.next_beat(beat)
    assert found["workers"][0]["mend"] == f"jobd explain {job_id}"
