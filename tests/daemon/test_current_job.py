"""`current_job()`: what a handler may know, say, keep and start while it runs."""

import os
from pathlib import Path

import pytest

from tests.daemon.harness import House

HANDLERS = r"""
@job("tells")
def tells():
    me = jobd.current_job()
    me.log.warning("half way", rows=3)
    return {"id": me.id, "attempt": me.attempt, "type": me.job_type, "queue": me.queue,
            "stopping": me.stopping.is_set(), "reason": me.stopping.reason,
            "last": me.last_checkpoint}

@job("progresses")
def progresses(gate: str):
    me = jobd.current_job()
    for done in range(1000):
        me.progress(done, 1000, "first pass")
    me.progress(999.5, 1000, "nearly")
    say("said")
    wait_at(gate)

@job("keeps")
def keeps():
    me = jobd.current_job()
    state = me.last_checkpoint or {"done": 0}
    note("found", str(state["done"]))
    for done in range(state["done"] + 1, 6):
        me.checkpoint({"done": done})
        note("kept", str(done))
        if done == 3 and first_time("broken"):
            os.kill(os.getpid(), signal.SIGKILL)
    return me.last_checkpoint

@job("keeps_what_is_not_json")
def keeps_what_is_not_json():
    try:
        jobd.current_job().checkpoint({"bad": object()})
    except jobd.errors.BadInput as error:
        return str(error)

@job("hands_on")
def hands_on(fail: bool = False, bad: bool = False):
    me = jobd.current_job()
    me.enqueue("quick", {"n": 1})
    me.enqueue("quick", {"n": 2}, priority=5, queue="media", delay=0.1)
    if bad:
        me.enqueue("quick", {"n": float("nan")})
    if fail and me.attempt == 1:
        raise OSError("after all")

@job("passes_on")
def passes_on(count: int):
    me = jobd.current_job()
    for n in range(count):
        me.enqueue("quick", {"n": n}, priority=min(me.id, 100), max_retries=n)

@job("runs")
def runs(argv: list, check: bool = True):
    done = jobd.current_job().run(argv, check=check, env={"EXTRA": "given"})
    return [done.returncode, done.stdout.decode(), done.stderr.decode()]

@job("runs_long")
def runs_long(script: str):
    jobd.current_job().run(["sh", "-c", script])

@job("heeds")
def heeds(how: str):
    me = jobd.current_job()
    say("begun")
    if how == "sleep":
        me.sleep(60)
    while how == "check":
        me.check()
        time.sleep(0.005)
    if how == "swallows":
        try:
            me.sleep(60)
        except Exception:
            return "swallowed"

@job("counts")
def counts():
    me = jobd.current_job()
    if me.retry_count < 1:
        raise jobd.Retry(after=0, failure_type="network")
    return me.retry_count

@job("threads")
def threads():
    # A thread that the handler starts has no current job of its own.
    found = []
    def look():
        try:
            found.append(jobd.current_job().id)
        except LookupError:
            found.append("none")
    other = threading.Thread(target=look)
    other.start()
    other.join()
    return found
"""


def is_running(pid: int) -> bool:
    """Whether there is such a process that is not merely waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def with_handlers(house: House) -> House:
    house.handlers(HANDLERS)
    return house


def test_a_handler_knows_itself_and_its_log_lines_carry_it(house: House) -> None:
    """id, attempt, type, queue are right; `log` makes job.logged with the job's keys."""
    daemon = with_handlers(house).start()
    job_id = house.enqueue("tells", queue="media")
    logged = daemon.wait_for("job.logged", job_id=job_id)
    done = daemon.wait_for("job.completed", job_id=job_id)
    keys = {"job_id": job_id, "job_type": "tells", "queue": "media", "attempt": 1,
            "worker": done["worker"]}
    assert keys.items() <= logged.items()
    assert (logged["level"], logged["message"], logged["rows"]) == ("warning", "half way", 3)
    assert house.queue.get(job_id)["result"] == {
        "id": job_id, "attempt": 1, "type": "tells", "queue": "media", "stopping": False,
        "reason": None, "last": None}


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_a_handler_knows_how_many_retries_were_used(house: House, isolation: str) -> None:
    """`retry_count` is 0 in the first attempt and 1 after its failure."""
    daemon = with_handlers(house).start()
    job_id = house.enqueue("counts", isolation=isolation)
    daemon.wait_for("job.completed", job_id=job_id)
    assert house.queue.get(job_id)["result"] == 1


def test_progress_is_stored_and_only_the_latest(house: House) -> None:
    """A thousand reports are coalesced; `show` has the last one while the job runs."""
    gate = house.gate("shut")
    daemon = with_handlers(house).start()
    job_id = house.enqueue("progresses", {"gate": "shut"})
    said = daemon.wait_for("job.logged", job_id=job_id)
    beat = daemon.wait_for("pool.health", after=said)
    daemon.wait_for("pool.health", after=beat)
    progress = house.cli_json("show", str(job_id))["progress"]
    assert (progress["done"], progress["total"], progress["message"]) == (999.5, 1000, "nearly")
    gate.open()
    daemon.wait_for("job.completed", job_id=job_id)


def test_a_checkpoint_survives_sigkill(house: House) -> None:
    """When `checkpoint` has returned the state is on disk; the next attempt begins from it."""
    first = with_handlers(house).launch()
    job_id = house.enqueue("keeps")
    assert first.exit_status() == -9
    house.start().wait_for("job.completed", job_id=job_id, attempt=2)
    told = [(kind, rest[-1]) for kind, *rest in house.notes() if kind in ("found", "kept")]
    assert told == [("found", "0"), ("kept", "1"), ("kept", "2"), ("kept", "3"), ("found", "3"),
                    ("kept", "4"), ("kept", "5")]
    assert house.job(job_id)["result"] == '{"done":5}'


def test_a_checkpoint_that_is_not_json_is_refused_in_the_handler(house: House) -> None:
    """The handler gets BadInput and can go on."""
    daemon = with_handlers(house).start()
    job_id = house.enqueue("keeps_what_is_not_json")
    daemon.wait_for("job.completed", job_id=job_id)
    assert "checkpoint is not JSON" in house.job(job_id)["result"]


def test_enqueued_jobs_come_with_the_completion_and_only_with_it(house: House) -> None:
    """They exist once the attempt completed, named in its outcome; a failed one leaves none."""
    daemon = with_handlers(house).start(retry__system__initial_delay="300ms")
    job_id = house.enqueue("hands_on", {"fail": True})
    daemon.wait_for("job.retry_scheduled", job_id=job_id)
    assert [row["id"] for row in house.rows("SELECT id FROM job_queue")] == [job_id]
    done = daemon.wait_for("job.completed", job_id=job_id, attempt=2)
    assert len(done["enqueued"]) == 2
    daemon.wait_for_all("job.completed", done["enqueued"])
    plain, special = (house.job(i) for i in done["enqueued"])
    assert (plain["queue"], plain["payload"]) == ("default", '{"n":1}')
    assert (special["queue"], special["priority"]) == ("media", 5)
    assert special["started_at"] >= special["scheduled_at"]


def test_many_jobs_that_enqueue_in_one_turn_each_name_their_own(house: House) -> None:
    """Whose they are: as many as each has put in, in its order."""
    counts = [n % 4 for n in range(100)]
    ids = house.queue.enqueue_many([("passes_on", {"count": count}) for count in counts])
    daemon = with_handlers(house).start()
    daemon.wait_for_all("job.completed", ids)
    for job_id, count in zip(ids, counts, strict=True):
        (done,) = daemon.events("job.completed", job_id=job_id)
        made = [house.job(each) for each in done.get("enqueued", [])]
        assert [(row["priority"], row["max_retries"], row["payload"]) for row in made] == [
            (job_id, n, f'{{"n":{n}}}') for n in range(count)
        ]


def test_a_bad_enqueue_fails_the_attempt_at_once(house: House) -> None:
    """It is checked where it is called: a validation failure, and none of the others exists."""
    daemon = with_handlers(house).start()
    job_id = house.enqueue("hands_on", {"bad": True})
    parked = daemon.wait_for("job.dead_lettered", job_id=job_id)
    assert parked["failure_type"] == "validation"
    assert house.rows("SELECT count(*) FROM job_queue")[0][0] == 1


def test_run_brings_output_and_exit_status(house: House) -> None:
    """Both streams as bytes, the environment added; a failure raises unless check=False."""
    daemon = with_handlers(house).start()
    script = "echo out $EXTRA; echo err >&2; exit 3"
    kept = house.enqueue("runs", {"argv": ["sh", "-c", script], "check": False})
    failed = house.enqueue("runs", {"argv": ["sh", "-c", script]}, max_retries=0)
    absent = house.enqueue("runs", {"argv": ["/no/such/program"]}, max_retries=0)
    daemon.wait_for("job.completed", job_id=kept)
    assert house.queue.get(kept)["result"] == [3, "out given\n", "err\n"]
    parked = daemon.wait_for("job.dead_lettered", job_id=failed)
    assert "CalledProcessError" in parked["error"]
    parked = daemon.wait_for("job.dead_lettered", job_id=absent)
    assert "/no/such/program" in parked["error"]


def test_run_is_ended_by_a_cancel_with_all_its_group(house: House) -> None:
    """SIGTERM first; who ignores it gets SIGKILL after kill_grace; nobody of the group is left."""
    daemon = with_handlers(house).start(timing__kill_grace="400ms")
    ready, pids = house.root / "ready", house.root / "pids"
    os.mkfifo(ready)
    polite = f"sleep 61 & echo $$ $! >> {pids}; : > {ready}; wait"
    rude = f"trap '' TERM; echo $$ >> {pids}; : > {ready}; while :; do sleep 0.1; done"
    ids = []
    for script in (polite, rude):
        ids.append(house.enqueue("runs_long", {"script": script}))
        ready.read_bytes()  # returns when the script has opened it and gone on
    house.cli("cancel", *map(str, ids))
    daemon.wait_for_all("job.cancelled", ids)
    found = [int(pid) for pid in pids.read_text().split()]
    assert len(found) == 3
    assert [pid for pid in found if is_running(pid)] == []


def test_run_leaves_nobody_of_its_group_when_its_leader_goes_first(house: House) -> None:
    """A grandchild that ignores SIGTERM is killed too, though the program itself ended at once."""
    daemon = with_handlers(house).start(timing__kill_grace="400ms")
    ready, pids = house.root / "ready", house.root / "pids"
    os.mkfifo(ready)
    rude = house.root / "rude.sh"
    rude.write_text(f"trap '' TERM; echo $$ >> {pids}; : > {ready}; while :; do sleep 0.1; done")
    job_id = house.enqueue("runs_long", {"script": f"sh {rude} & wait"})
    ready.read_bytes()
    house.cli("cancel", str(job_id))
    daemon.wait_for("job.cancelled", job_id=job_id)
    left = [pid for pid in map(int, pids.read_text().split()) if is_running(pid)]
    for pid in left:
        os.kill(pid, 9)
    assert left == []


def test_sleep_and_check_raise_stopped(house: House) -> None:
    """Both end the handler soon after a cancel; `except Exception` does not swallow it."""
    daemon = with_handlers(house).start("--workers", "3")
    ids = [house.enqueue("heeds", {"how": how}) for how in ("sleep", "check", "swallows")]
    daemon.wait_for_all("job.logged", ids)
    house.cli("cancel", *map(str, ids))
    daemon.wait_for_all("job.cancelled", ids)
    assert {span.how for span in house.spans()} == {"Stopped"}
    assert daemon.events("job.zombified") == []


def test_a_thread_of_the_handler_has_no_current_job(house: House) -> None:
    """`current_job()` elsewhere than in the handler raises LookupError."""
    daemon = with_handlers(house).start()
    job_id = house.enqueue("threads")
    daemon.wait_for("job.completed", job_id=job_id)
    assert house.queue.get(job_id)["result"] == ["none"]
