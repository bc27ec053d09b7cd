"""A backup beside a running daemon: consistent, and it comes alive again."""

import subprocess

from tests.daemon.harness import House


def test_a_copy_made_under_load_runs_where_the_original_was(house: House) -> None:
    """Every job that was acknowledged before it began is in it, and what waited runs."""
    daemon = house.start()
    first = house.queue.enqueue_many([("quick", {"n": n}) for n in range(200)])
    later = house.enqueue("quick", {"n": 1}, delay=3600)
    copy = house.root / "copy.db"
    with subprocess.Popen(house.argv("backup", str(copy)), env=house.env) as backup:
        others = []
        while backup.poll() is None:
            others += house.queue.enqueue_many([("quick", {})] * 10)
    assert backup.returncode == 0
    daemon.wait_for_all("job.completed", [*first, *others])
    assert daemon.stop() == 0

    house.queue.close()
    house.db.unlink()
    for suffix in ("-wal", "-shm"):
        (house.root / f"jobd.db{suffix}").unlink(missing_ok=True)
    copy.rename(house.db)
    kept = {row[0] for row in house.rows("SELECT id FROM job_queue")}
    assert {*first, later} <= kept
    house.start()
    waiting = house.rows("SELECT id FROM job_queue WHERE status <> 'completed' AND id <> ?", later)
    house.daemons[1].wait_for_all("job.completed", [row[0] for row in waiting])
    house.cli("retry", str(later))
