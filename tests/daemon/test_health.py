"""The health of a real daemon, by its database and by its log."""

import signal
import sqlite3
import subprocess
from contextlib import closing

from jobd import clock
from tests.daemon.harness import House

HANDLERS = """
@job("overlong", timeout=0.2)
def overlong(gate: str):
    wait_at(gate)
"""


def test_database_and_log_agree_from_start_to_stop(house: House) -> None:
    """Healthy, then degraded while a job does not stop, down after the end."""
    house.handlers(HANDLERS)
    gate = house.gate("shut")
    log = str(house.root / "jobd.log")
    house.write_config(log__file=log, timing__zombie_hold="1h")
    house.launch()
    assert house.queue.wait(house.enqueue("quick"), timeout=20)["status"] == "completed"
    house.cli("health")
    stuck = house.enqueue("overlong", {"gate": "shut"})
    eventually(house, "unhealthy_worker", "health", "--json")
    assert f"jobd explain {stuck}" in house.cli("health", expect=1)
    eventually(house, "unhealthy_worker", "health", "--from-log", log, "--json")
    assert f"jobd explain {stuck}" in house.cli("health", "--from-log", log, expect=1)
    gate.open()
    assert house.daemons[0].stop() == 0
    house.cli("health", expect=69)
    house.cli("health", "--from-log", log, expect=69)


def test_the_log_tells_while_the_database_is_locked(house: House) -> None:
    """Another process holds it; the health is read from the log, and the log is followed."""
    log = str(house.root / "jobd.log")
    house.write_config(log__file=log)
    house.launch()
    house.enqueue("quick")
    eventually(house, "completed", "tail", log, "--no-follow", "--event", "job.*")
    with closing(sqlite3.connect(house.db, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert "healthy" in house.cli("health", "--from-log", log)
        assert "completed" in house.cli("tail", log, "--no-follow", "--event", "job.*")
    house.db.rename(house.root / "gone.db")
    assert "completed" in house.cli("tail", log, "--no-follow", "--event", "job.*")


def test_a_killed_daemon_is_down_by_its_lock_at_once(house: House) -> None:
    """Its rows say that it runs; the lock knows better."""
    daemon = house.start()
    house.cli("health")
    daemon.signal(signal.SIGKILL)
    daemon.exit_status()
    assert "No daemon is active" in house.cli("health", expect=69)


def eventually(house: House, part: str, *words: str) -> None:
    """Ask again until the answer has `part` in it."""
    until = clock.monotonic() + 30
    while True:
        done = subprocess.run(house.argv(*words), env=house.env, capture_output=True, text=True,
                              timeout=60)
        if part in done.stdout:
            return
        assert clock.monotonic() < until, done
