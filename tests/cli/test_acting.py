"""The verbs that act on jobs and queues, and the overview."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobd.core.lifecycle import JobStatus
from jobd.store.daemon_lock import DaemonLock

Jobd = Callable[..., tuple[int, str, str]]


def test_cancel_of_a_waiting_job_is_at_once(jobd: Jobd, store: Any) -> None:
    """Pending becomes cancelled."""
    jobd("enqueue", "thumb")
    assert jobd("cancel", "1") == (0, "job 1 cancelled\n", "")
    assert store.status_of() == "cancelled"


def test_cancel_of_a_running_job_is_kept(jobd: Jobd, store: Any) -> None:
    """It stays running until its execution is over."""
    jobd("enqueue", "thumb")
    store.claim()
    assert "told to stop" in jobd("cancel", "1")[1]
    assert store.status_of() == "running"


def test_cancel_serves_the_others_when_one_is_refused(jobd: Jobd, path: Path) -> None:
    """Unknown and ended jobs are named on standard error; exit 1."""
    jobd("enqueue", "thumb")
    jobd("enqueue", "thumb")
    jobd("cancel", "1")
    status, out, err = jobd("cancel", "1", "9", "2")
    assert (status, out) == (1, "job 2 cancelled\n")
    assert err == "jobd: job 1 (cancelled): already ended\njobd: no job 9: the last id is 2\n"


def test_cancel_json_tells_each_id(jobd: Jobd) -> None:
    """An array with the new status, or the refusal."""
    jobd("enqueue", "thumb")
    found = json.loads(jobd("cancel", "1", "9", "--json")[1])
    assert found == [
        {"id": 1, "status": "cancelled", "changed": True, "refusal": None},
        {"id": 9, "status": None, "changed": False, "refusal": "no such job"},
    ]


def test_retry_brings_a_dead_job_back(jobd: Jobd, store: Any) -> None:
    """Back to pending."""
    store.dead()
    assert jobd("retry", "1") == (0, "job 1 pending again\n", "")
    assert store.status_of() == "pending"


def test_retry_of_a_job_cancelled_before_its_time_runs_at_once(jobd: Jobd) -> None:
    """Its schedule is forgotten, and the help says so."""
    jobd("enqueue", "thumb", "--in", "1h")
    jobd("cancel", "1")
    assert jobd("retry", "1") == (0, "job 1 pending again\n", "")
    job = json.loads(jobd("show", "1", "--json")[1])
    assert (job["status"], job["scheduled_at"]) == ("pending", None)
    said = " ".join(jobd("retry", "--help")[1].split())
    assert "They run at once: a time for which they were scheduled is forgotten." in said


def test_retry_of_a_pending_job_changes_nothing(jobd: Jobd) -> None:
    """Exit 0, and it says so."""
    jobd("enqueue", "thumb")
    assert jobd("retry", "1") == (0, "job 1 is pending; nothing to do\n", "")


def test_retry_of_a_completed_job_is_refused(jobd: Jobd, store: Any) -> None:
    """Exit 1."""
    jobd("enqueue", "thumb")
    store.claim()
    store.complete()
    assert jobd("retry", "1") == (1, "", "jobd: job 1 (completed): already completed\n")


def test_retry_all_dead_says_how_many(jobd: Jobd, store: Any) -> None:
    """Jobs in other statuses are left alone."""
    store.dead(3)
    jobd("enqueue", "thumb")
    jobd("cancel", "4")
    assert jobd("retry", "--all-dead")[:2] == (0, "retried 3, skipped 0\n")
    assert [store.status_of(n) for n in (1, 2, 3, 4)] == ["pending"] * 3 + ["cancelled"]


def test_bulk_retry_goes_through_all_slices(jobd: Jobd, store: Any) -> None:
    """1,200 jobs are three transactions of 500 and less."""
    with store.opened() as database, database.transaction() as db:
        db.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) "
            "INSERT INTO job_queue (job_type, created_at) SELECT 'thumb', 0 FROM n"
        )
        db.execute("UPDATE job_queue SET status = 'cancelled'")
    found = json.loads(jobd("retry", "--status", "cancelled", "--json")[1])
    assert found == {"status": "cancelled", "touched": 1200, "skipped": 0}


def test_bulk_retry_skips_a_job_whose_key_is_taken(jobd: Jobd) -> None:
    """It is counted, and the others are done."""
    jobd("enqueue", "thumb", "--unique", "k")
    jobd("cancel", "1")
    jobd("enqueue", "thumb", "--unique", "k")
    assert jobd("retry", "--status", "cancelled")[1].startswith("retried 0, skipped 1 ")


@pytest.mark.parametrize(
    "words", [[], ["1", "--all-dead"], ["--all-dead", "--status", "failed"],
              ["--status", "running"]]
)
def test_retry_needs_exactly_one_way_to_name_jobs(jobd: Jobd, words: list[str]) -> None:
    """Exit 2 in one sentence."""
    status, out, err = jobd("retry", *words)
    assert (status, out, err.count("\n")) == (2, "", 1)


def test_release_of_a_running_job_is_kept(jobd: Jobd, store: Any) -> None:
    """It becomes pending when its execution is over."""
    jobd("enqueue", "thumb")
    store.claim()
    assert "becomes pending" in jobd("release", "1")[1]


def test_release_of_a_dead_job_points_to_retry(jobd: Jobd, store: Any) -> None:
    """Exit 1 with the verb that helps."""
    store.dead()
    assert jobd("release", "1") == (
        1, "", "jobd: job 1 (dead_letter): already ended; use retry\n"
    )


def test_queue_pause_and_resume(jobd: Jobd) -> None:
    """Each says what is so now, and the second time that it was so already."""
    jobd("enqueue", "thumb", "--queue", "media")
    assert jobd("queue", "pause", "media") == (0, "queue media is paused\n", "")
    assert jobd("queue", "pause", "media")[1] == "queue media is paused already\n"
    assert jobd("queue", "resume", "media")[1] == "queue media is open\n"
    assert jobd("queue", "resume", "media") == (0, "queue media is not paused\n", "")


def test_queue_pause_doubts_a_name_without_jobs(jobd: Jobd) -> None:
    """It is paused all the same, as one may beforehand; the nearest name is offered."""
    jobd("enqueue", "thumb", "--queue", "media")
    assert jobd("queue", "pause", "medai") == (
        0, "queue medai is paused\n",
        "jobd: queue medai holds no live job; did you mean media?\n",
    )


def test_queue_resume_of_a_name_that_nobody_knows_is_a_failure(jobd: Jobd, store: Any) -> None:
    """The queue that was meant is still paused; nothing is changed, and no row is left."""
    jobd("enqueue", "thumb", "--queue", "media")
    jobd("queue", "pause", "media")
    for words in (["medai"], ["medai", "--json"]):
        status, _, err = jobd("queue", "resume", *words)
        assert (status, err) == (1, "jobd: queue medai is not paused, and holds no live job; "
                                    "did you mean media?\n")
    with store.opened() as database:
        rows = database.connection.execute("SELECT name, paused_by FROM queues").fetchall()
        acted = database.connection.execute("SELECT verb FROM operator_actions").fetchall()
    assert (rows, acted) == ([("media", "ann")], [("queue pause",)])


def test_a_queue_paused_by_mistake_is_forgotten_when_it_is_resumed(jobd: Jobd) -> None:
    """A mistyped name does not stay in the listing."""
    jobd("enqueue", "thumb", "--queue", "media")
    jobd("queue", "pause", "medai")
    assert jobd("queue", "resume", "medai")[:2] == (0, "queue medai is open\n")
    assert [each["name"] for each in json.loads(jobd("queue", "--json")[1])] == ["media"]


@pytest.mark.parametrize("verb", ["show", "history", "explain", "logs", "wait", "cancel", "retry",
                                  "release"])
def test_a_job_that_was_removed_is_told_from_one_that_never_was(
    jobd: Jobd, store: Any, verb: str
) -> None:
    """By the last id that was given out, which stays when its job goes."""
    store.dead(3)
    with store.opened() as database, database.transaction() as db:
        db.execute("DELETE FROM job_attempts WHERE job_id = 2")
        db.execute("DELETE FROM job_queue WHERE id = 2")
    status, _, err = jobd(verb, "2")
    assert (status, err) == (1, "jobd: no job 2 any more: ids up to 3 were given out, and this "
                                "one has ended and been removed, by retention or `jobd prune`\n")
    assert jobd(verb, "4")[2] == "jobd: no job 4: the last id is 3\n"


def test_queue_list_shows_who_paused(jobd: Jobd) -> None:
    """Name and age in the table, the time in the JSON."""
    jobd("enqueue", "thumb", "--queue", "media")
    jobd("queue", "pause", "media")
    assert "by ann" in jobd("queue")[1]
    (queue,) = json.loads(jobd("queue", "list", "--json")[1])
    assert (queue["name"], queue["ready"], queue["paused_by"]) == ("media", 1, "ann")


def test_workers_says_that_no_daemon_lives(jobd: Jobd, store: Any) -> None:
    """What stands in the table is what the last one left."""
    store.register()
    status, out, err = jobd("workers")
    assert status == 0
    assert "JobWorker-1" in out
    assert err == "jobd: no daemon is active; these rows are what the last one left\n"


def test_status_json_has_the_promised_keys(jobd: Jobd, path: Path) -> None:
    """All nine statuses, the listings, and which files."""
    jobd("enqueue", "thumb")
    found = json.loads(jobd("status", "--json")[1])
    assert found["jobs"] == dict.fromkeys(JobStatus, 0) | {"pending": 1}
    assert list(found) == [
        "jobs", "queues", "workers", "batches", "daemons", "problems", "settings_changed",
        "database", "config",
    ]
    assert (found["database"], found["config"]) == (str(path), None)


def test_status_names_the_configuration_file(
    jobd: Jobd, tmp_path: Path
) -> None:
    """The one that was read."""
    file = tmp_path / "jobd.toml"
    file.write_text('[pool]\nworkers = 2\n')
    jobd("enqueue", "thumb")
    assert str(file) in jobd("status", "--config", str(file))[1]


def test_status_says_whether_a_daemon_is_active(jobd: Jobd, path: Path, store: Any) -> None:
    """The lock decides, not the table."""
    store.register()
    assert "none is active; the last one, pid 4711" in jobd("status")[1]
    lock = DaemonLock(path)
    assert lock.acquire(blocking=False)
    assert "daemon    starts, pid " in jobd("status")[1]
    with store.opened() as database, database.transaction() as db:
        db.execute("UPDATE daemons SET pid = ?", (lock.holder(),))
    assert "daemon    active, pid " in jobd("status")[1]
    assert json.loads(jobd("status", "--json")[1])["daemons"][0]["active"] is True
    lock.release()


def test_workers_of_a_living_daemon_have_no_age(jobd: Jobd, store: Any, path: Path) -> None:
    """Their rows are written once a minute: while the lock is held, their age says nothing."""
    store.register("thumb")
    assert "SEEN" in jobd("workers")[1]
    lock = DaemonLock(path)
    assert lock.acquire(blocking=False)
    status, said, complaints = jobd("workers")
    assert (status, complaints) == (0, "")
    assert "JobWorker-1" in said
    assert "SEEN" not in said
    assert "SEEN" not in jobd("status")[1]
    lock.release()
