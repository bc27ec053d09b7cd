"""The database's files removed, replaced, made read-only or out of reach; and readers that stay."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import jobd
from jobd import errors
from jobd.poke import poke
from jobd.store.connection import WAL_LIMIT
from jobd.store.opening import PAGE_SIZE
from tests.daemon.harness import House
from tests.faults.disk import mounted
from tests.faults.test_failing_calls import beats, complaints


def beside(db: Path) -> list[Path]:
    return [Path(f"{db}{suffix}") for suffix in ("", "-wal", "-shm")]


def remove_all(db: Path) -> None:
    for path in beside(db):
        path.unlink()


def remove_the_log(db: Path) -> None:
    Path(f"{db}-wal").unlink()


def remove_the_index(db: Path) -> None:
    Path(f"{db}-shm").unlink()


def move_another_over(db: Path) -> None:
    other = db.with_name("other.db")
    jobd.Queue(other).close()
    other.rename(db)


def move_the_directory(db: Path) -> None:
    db.parent.rename(db.parent.with_name("elsewhere"))


LOSSES = [remove_all, remove_the_log, remove_the_index, move_another_over, move_the_directory]


@pytest.mark.parametrize("lose", LOSSES, ids=lambda lose: lose.__name__)
def test_a_daemon_whose_files_are_replaced_ends_and_keeps_what_was_acknowledged(
    lose: Callable[[Path], None], house: House
) -> None:
    """One event, exit 75, and a copy with every job; a producer with the old files is refused."""
    house.db = house.root / "data" / "jobd.db"
    house.db.parent.mkdir()
    daemon = house.start()
    queue = jobd.Queue(house.db)
    done = queue.enqueue("quick")
    daemon.wait_for("job.completed", job_id=done)
    later = queue.enqueue("quick", delay=3600)
    lose(house.db)
    with queue, pytest.raises(errors.DatabaseReplaced, match="nothing was written"):
        queue.enqueue("quick")
    assert daemon.exit_status() == 75
    # A sweep may have met it before the daemon looked.
    assert [event for event in complaints(daemon) if event != "sweep.failed"] == ["store.replaced"]
    assert complaints(daemon).count("sweep.failed") <= 1
    told = daemon.wait_for("store.replaced")
    assert told["database"] == str(house.db)
    if lose is move_the_directory:
        assert "unable to open" in told["error"] or "No such file" in told["error"]
        moved = house.db.parent.with_name("elsewhere") / "jobd.db"
        assert statuses(moved) == {done: "completed", later: "pending"}
        return
    assert statuses(Path(told["saved"])) == {done: "completed", later: "pending"}
    assert "Traceback" not in daemon.stderr


def statuses(db: Path) -> dict[int, str]:
    with closing(sqlite3.connect(db)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return dict(copy.execute("SELECT id, status FROM job_queue").fetchall())


def test_a_producer_goes_on_in_the_file_that_was_put_in_place(house: House) -> None:
    """A backup is moved over the database: the first call says so, the next ones use it."""
    queue = jobd.Queue(house.db)
    queue.enqueue("quick")
    backup = house.root / "backup.db"
    with closing(sqlite3.connect(house.db)) as db, closing(sqlite3.connect(backup)) as copy:
        db.backup(copy)
    queue.enqueue("quick")
    for path in beside(house.db)[1:]:
        path.unlink()
    backup.rename(house.db)
    with pytest.raises(errors.DatabaseReplaced):
        queue.enqueue("quick")
    assert [queue.enqueue("quick"), queue.enqueue("quick")] == [2, 3]
    queue.close()
    daemon = house.start()
    daemon.wait_for_all("job.completed", [1, 2, 3])


def test_a_database_that_is_written_over_is_named(house: House) -> None:
    """`cp` of another file over it: one sentence, a documented status, and nothing said twice."""
    daemon = house.start()
    house.enqueue("quick", delay=3600)
    with closing(sqlite3.connect(house.db, isolation_level=None)) as another:
        # With an empty log, and a commit that the daemon has not seen, it must read the file.
        another.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        another.execute("BEGIN IMMEDIATE")
        another.execute("UPDATE daemons SET started_at = started_at")
        with house.db.open("r+b") as file:
            # Never empty: SQLite takes away the log of an empty file, and that is another story.
            file.write(b"not what it was" * 1000)
            file.truncate()
        another.execute("COMMIT")
        refused = subprocess.run(house.argv("enqueue", "quick"), env=house.env,
                                 capture_output=True, text=True, check=False)
        assert refused.returncode == 78
        assert [line[:6] for line in refused.stderr.splitlines()] == ["jobd: "]
        poke(house.db)
        assert daemon.exit_status() in (75, 78)
    assert set(complaints(daemon)) <= {"sweep.failed", "daemon.failed"}
    (failed,) = daemon.events("daemon.failed")
    assert str(house.db) in failed["error"]
    # What SQLite calls it goes by the page that it reads first.
    told = [each["error"] for each in daemon.events("sweep.failed")]
    assert len(told) == len(set(told)) <= 2
    assert "Traceback" not in daemon.stderr


CARELESS = """
@job("careless")
def careless(path: str):
    with open(path, "rb") as file:
        return len(file.read())  # closing it drops the locks that SQLite holds in this process
"""


def test_a_handler_that_opens_the_database_file_loses_nothing(house: House) -> None:
    """Without the daemon's locks another process removes the log: it is noticed, all is kept."""
    house.handlers(CARELESS)
    daemon = house.start(cold=True)
    job_id = house.enqueue("careless", {"path": str(house.db)})
    daemon.wait_for("job.completed", job_id=job_id)
    house.queue.close()
    subprocess.run(house.argv("enqueue", "quick", "--in", "1h"), env=house.env, check=True,
                   capture_output=True)
    assert daemon.exit_status() == 75
    assert complaints(daemon) == ["store.replaced"]
    assert statuses(house.db) == {1: "completed", 2: "pending"}
    house.start().wait_for("job.completed", job_id=house.enqueue("quick"))


def test_a_damaged_page_is_named(house: House) -> None:
    """Bytes changed while it was stopped: one sentence, exit 78, no traceback; verbs say it too."""
    house.queue.enqueue_many([("quick", {"n": 0, "pad": "x" * 3000})] * 50)
    house.queue.close()
    (root,) = house.rows("SELECT rootpage FROM sqlite_schema WHERE name = 'job_queue'")[0]
    with house.db.open("r+b") as file:
        file.seek((root - 1) * PAGE_SIZE)
        file.write(b"\xff" * PAGE_SIZE)
    daemon = house.launch()
    assert daemon.exit_status() == 78
    assert "Traceback" not in daemon.stderr
    assert set(complaints(daemon)) <= {"sweep.failed", "daemon.failed"}
    assert len(complaints(daemon)) <= 2
    words = daemon.stderr + "".join(line.get("error", "") for line in daemon.log)
    assert "is damaged or cut short" in words
    for verb in (("list",), ("enqueue", "quick"), ("status",)):
        house.cli(*verb, expect=78)
        assert "is damaged or cut short" in house.said


AS_ITS_OWNER = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""Root passes by the modes of files, unless it has given that up."""


def limited(argv: list[str]) -> list[str]:
    if os.geteuid() != 0:
        return argv
    if shutil.which("setpriv") is None:
        pytest.skip("root cannot give up its power over file modes without setpriv")
    return [*AS_ITS_OWNER, *argv]


def test_a_directory_that_loses_its_permissions_is_waited_out(house: House) -> None:
    """The daemon has its files open: it says so once, goes on; producers get a sentence."""
    house.db = house.root / "data" / "jobd.db"
    house.db.parent.mkdir()
    gate = house.gate("shut")
    argv = house.argv("run", "--handlers", "handlers", "--path", str(house.code))
    daemon = house.run(limited(argv), house.env).wait_ready()
    job_id = house.enqueue("gated", {"gate": "shut"})
    daemon.wait_for("job.logged", job_id=job_id)
    daemon.wait_for("pool.health")  # so its sweep has the database open, too
    house.db.parent.chmod(0)
    try:
        gate.open()
        daemon.wait_for("job.completed", job_id=job_id)
        said = daemon.wait_for("store.unreachable")
        beats(daemon, 4)
        refused = subprocess.run(limited(house.argv("enqueue", "quick")), env=house.env,
                                 capture_output=True, text=True, check=False)
    finally:
        house.db.parent.chmod(0o700)
    assert said["database"] == str(house.db)
    assert refused.returncode == 78
    assert len(refused.stderr.splitlines()) == 1
    assert "permission" in refused.stderr.lower()
    daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
    assert daemon.stop() == 0
    assert complaints(daemon) == ["store.unreachable"]


@pytest.mark.parametrize("mode", [0o500, 0o000])
@pytest.mark.parametrize("there", [True, False], ids=["a database", "none yet"])
def test_a_start_in_a_directory_without_permissions_is_one_sentence(
    there: bool, mode: int, house: House
) -> None:
    """`jobd run` says what cannot be opened or made, and exits 78, without a traceback."""
    house.db = house.root / "data" / "jobd.db"
    house.db.parent.mkdir()
    if there:
        jobd.Queue(house.db).close()
    house.db.parent.chmod(mode)
    argv = house.argv("run", "--handlers", "handlers", "--path", str(house.code))
    ended = subprocess.run(limited(argv), env=house.env, capture_output=True, text=True,
                           check=False, timeout=60)
    house.db.parent.chmod(0o700)
    assert (ended.returncode, ended.stdout) == (78, "")
    assert [line[:6] for line in ended.stderr.splitlines()] == ["jobd: "], ended.stderr
    assert f"chmod u+rwX {house.db.parent}" in ended.stderr


def test_a_read_only_file_system_is_named_by_every_verb(house: House) -> None:
    """`run` and `enqueue` exit 75 with one sentence; made writable again, all is there."""
    directory = house.root / "small"
    directory.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=12m", "tmpfs", str(directory)):
        house.db = directory / "jobd.db"
        job_id = house.enqueue("quick")
        house.queue.close()
        subprocess.run(["mount", "-o", "remount,ro", directory], check=True)
        for words in (["run", "--handlers", "handlers", "--path", str(house.code)],
                      ["enqueue", "quick"]):
            ended = subprocess.run(house.argv(*words), env=house.env, capture_output=True,
                                   text=True, check=False, timeout=60)
            assert (ended.returncode, ended.stdout) == (75, ""), ended.stderr
            assert len(ended.stderr.splitlines()) == 1
            assert "read-only" in ended.stderr.lower()
        subprocess.run(["mount", "-o", "remount,rw", directory], check=True)
        house.start().wait_for("job.completed", job_id=job_id)
        house.put_away()


READER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN")
db.execute("SELECT count(*) FROM job_queue").fetchone()
print("reading", flush=True)
sys.stdin.read()
"""


def test_a_reader_that_stays_is_named_and_the_log_shrinks_when_it_goes(house: House) -> None:
    """The write-ahead log cannot be moved: said once with the reader's pid; commits go on."""
    daemon = house.start()
    with subprocess.Popen([sys.executable, "-c", READER, str(house.db)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"reading\n"
        ids = house.queue.enqueue_many([("quick", {"n": 0, "pad": "x" * 900_000})] * 24,
                                       delay=3600)
        beat = None
        while not daemon.events("store.log_held_back"):
            daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
            beat = daemon.next_beat(beat)
        held = daemon.wait_for("store.log_held_back")
        assert held["reader_pids"] == [reader.pid]
        assert held["bytes"] > 16 << 20
        reader.communicate(timeout=20)
    log = Path(f"{house.db}-wal")
    while log.stat().st_size > WAL_LIMIT:
        daemon.wait_for("job.completed", job_id=house.enqueue("quick"))
        beat = daemon.next_beat(beat)
    assert complaints(daemon) == ["store.log_held_back"]
    assert len(ids) == 24
