"""`jobd doctor`: every line is true, and each trouble has its own."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jobd.core.new_job import NewJob
from jobd.queue import Queue
from jobd.store import examination
from jobd.store.enqueue import enqueue
from jobd.store.opening import PAGE_SIZE
from tests.cli.conftest import Store

Verb = Callable[..., tuple[int, str, str]]

NOT_OURS = ("sqlite", "disk space", "file system")
"""Lines that tell of the machine on which the test runs."""


@pytest.fixture(autouse=True)
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store's jobs are of 2027; that clock is right here."""
    monkeypatch.setattr("jobd.clock.now_ms", lambda: 1_800_000_100_000)


def troubles(jobd: Verb, *words: str) -> dict[str, tuple[str, str, str | None]]:
    """(level, message, mend) by what it is about, but for what is ok."""
    found = json.loads(jobd("doctor", "--json", *words)[1])
    assert {frozenset(each) for each in found} == {
        frozenset(("level", "about", "message", "mend"))
    }
    return {
        each["about"]: (each["level"], each["message"], each["mend"])
        for each in found if each["level"] != "ok" and each["about"] not in NOT_OURS
    }


def test_a_database_that_rests_is_well(jobd: Verb, store: Store) -> None:
    """No daemon is only a warning when nothing waits for one."""
    store.register("thumb")
    store.rest()
    status, out, err = jobd("doctor")
    assert (status, err) == (0, "")
    assert " FAIL, " in out.splitlines()[-1]
    assert {*troubles(jobd)} == {"daemon"}
    assert troubles(jobd, "--full") == troubles(jobd)


def test_the_page_is_readable(jobd: Verb, store: Store) -> None:
    """A level, what it is about, what was found; beneath it what mends it."""
    store.register()
    store.rest()
    lines = jobd("doctor")[1].splitlines()
    position = next(i for i, line in enumerate(lines) if line.startswith("WARN daemon"))
    assert lines[position + 1].strip() == "-> jobd run"
    assert all(line.startswith(("OK   ", "WARN ", "FAIL ", "     ", "0 FAIL")) or not line
               for line in lines)


def test_without_a_database_it_says_what_makes_one(jobd: Verb) -> None:
    """A machine on which nothing ran yet is not broken."""
    assert troubles(jobd)["database"][0] == "warn"
    assert jobd("doctor")[0] == 0


def test_a_daemon_that_died_is_a_failure(jobd: Verb, store: Store) -> None:
    """Though nothing waits: it did not sign off, and nobody has come in its place."""
    store.register("thumb")
    level, message, mend = troubles(jobd)["daemon"]
    assert (level, mend) == ("fail", "jobd run")
    assert "did not sign off" in message


def test_a_job_left_running_is_a_failure(jobd: Verb, store: Store) -> None:
    """So is one that is due later: both go on only with a daemon."""
    store.register("thumb")
    store.rest()
    jobd("enqueue", "thumb", "--in", "1h")
    assert troubles(jobd)["daemon"][0] == "fail"


def test_a_file_that_keeps_the_databases_owner_out_is_told(
    jobd: Verb, store: Store, path: Path
) -> None:
    """As root leaves one behind, whom no mode keeps out."""
    if os.geteuid():
        pytest.skip("only root can give a file away")
    store.register()
    store.rest()
    for each in path.parent.glob("jobd.db*"):
        os.chown(each, 1, 1)
    os.chown(path.parent, 1, 1)
    assert "modes" not in troubles(jobd)
    os.chown(f"{path}.turn", 0, 0)
    level, message, mend = troubles(jobd)["modes"]
    assert (level, mend) == ("fail", f"chown daemon: {path}.turn")
    assert "keeps that user out" in message


def test_jobs_without_a_daemon_are_a_failure(jobd: Verb, store: Store) -> None:
    """They wait, and nobody comes."""
    store.register("thumb")
    jobd("enqueue", "thumb")
    assert troubles(jobd)["daemon"][0::2] == ("fail", "jobd run")
    assert jobd("doctor")[0] == 1


def test_a_drifted_schema_is_named_with_its_mend(jobd: Verb, store: Store) -> None:
    """And what could not be read is left out."""
    with store.opened() as database:
        database.connection.execute("DROP INDEX job_queue_due")
    level, message, mend = troubles(jobd)["schema"]
    assert (level, mend) == ("fail", "jobd migrate repair")
    assert message == "job_queue_due: the index does not exist"


def test_an_older_schema_is_named_with_its_mend(jobd: Verb, store: Store) -> None:
    """One that waits for `migrate up`."""
    with store.opened():
        pass
    assert jobd("migrate", "down", "--to", "6")[0] == 0
    level, _, mend = troubles(jobd)["schema"]
    assert (level, mend) == ("fail", "jobd migrate up")


def test_a_damaged_file_is_a_failure(jobd: Verb, store: Store, path: Path) -> None:
    """Torn pages are found by reading them."""
    store.dead()
    with store.opened() as database:
        database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        root = database.connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'job_attempts'"
        ).fetchone()[0]
    with path.open("r+b") as file:
        file.seek((root - 1) * PAGE_SIZE)
        file.write(b"\xff" * 200)
    level, _, mend = troubles(jobd)["integrity"]
    assert (level, "backup" in str(mend)) == ("fail", True)


def test_what_is_no_database_is_a_failure(jobd: Verb, path: Path) -> None:
    """It is said what stands there."""
    path.write_text("a text file, longer than the five hundred and twelve bytes of a page" * 20)
    assert troubles(jobd)["database"][0] == "fail"


def test_open_modes_are_named(jobd: Verb, store: Store, path: Path) -> None:
    """With the command that closes them."""
    store.register()
    path.chmod(0o644)
    level, message, mend = troubles(jobd)["modes"]
    assert (level, mend) == ("warn", f"chmod o= {path}")
    assert "payloads" in message


def test_a_directory_open_to_all_is_a_failure(jobd: Verb, store: Store, path: Path) -> None:
    """Anybody could put another database there."""
    store.register()
    path.parent.chmod(0o777)
    try:
        assert troubles(jobd)["modes"][0::2] == ("fail", f"chmod o-w {path.parent}")
    finally:
        path.parent.chmod(0o700)


def test_a_paused_queue_with_jobs_is_told(jobd: Verb, store: Store) -> None:
    """People forget that they paused it."""
    store.register("thumb")
    jobd("queue", "pause", "media")
    assert "queues" not in troubles(jobd)
    with store.opened() as database, database.transaction() as db:
        enqueue(db, NewJob("thumb", "{}", queue="media"), 1)
    assert troubles(jobd)["queues"][1:] == (
        "media is paused, and 1 ready jobs wait in it", "jobd queue resume media",
    )


def test_a_paused_batch_is_told(jobd: Verb, store: Store) -> None:
    """With what is left of it, and how to go on; nothing waits for a daemon until it does."""
    store.register("thumb")
    store.rest()
    with Queue(store.path) as queue:
        batch = queue.batch("films", "thumb", [{"n": 1}, {"n": 2}])
        assert troubles(jobd)["daemon"][0] == "fail"
        batch.pause()
    assert troubles(jobd)["daemon"][0] == "warn"
    assert troubles(jobd)["batches"][1:] == (
        "films is paused, and 2 of its items wait", "jobd batch resume films",
    )


def test_dead_letters_are_told_by_cause(jobd: Verb, store: Store) -> None:
    """With the verb that shows the group."""
    store.register("thumb")
    store.dead(3)
    level, message, mend = troubles(jobd)["dead letters"]
    assert (level, message) == ("warn", "3 jobs of type thumb: network: refused")
    assert str(mend).startswith("jobd dead show ")


def test_jobs_without_a_handler_are_told(jobd: Verb, store: Store) -> None:
    """They would wait for ever."""
    store.register("thumb")
    jobd("enqueue", "other")
    with store.opened() as database, database.transaction() as db:
        db.execute("UPDATE job_queue SET ready = 0")
    assert troubles(jobd)["handlers"][0] == "warn"


def test_a_file_that_cannot_shrink_is_told(jobd: Verb, store: Store) -> None:
    """It was made by a jobd of before auto_vacuum."""
    store.register()
    with store.opened() as database:
        database.connection.execute("PRAGMA auto_vacuum = NONE")
        database.connection.execute("VACUUM")
    assert "jobd prune --rewrite" in str(troubles(jobd)["file"][2])
    assert jobd("prune", "--rewrite")[0] == 0
    assert "file" not in troubles(jobd)


def test_times_that_are_still_to_come_are_told(
    jobd: Verb, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock was ahead, or was set back."""
    store.register()
    monkeypatch.setattr("jobd.clock.now_ms", lambda: 1_790_000_000_000)
    assert troubles(jobd)["clock"][0::2] == ("fail", "timedatectl")


def test_timers_that_do_not_fit_are_told(
    jobd: Verb, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `jobd check` tells them."""
    store.register()
    monkeypatch.setenv("JOBD_TIMING_KILL_GRACE", "1m")
    level, message, _ = troubles(jobd)["timers"]
    assert (level, "shutdown_grace" in message) == ("warn", True)


def test_a_wrong_configuration_does_not_hide_the_rest(
    jobd: Verb, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a failure of its own, and the database that is meant all the same is looked at."""
    store.register()
    store.rest()
    monkeypatch.setenv("JOBD_POOL_WORKERS", "many")
    found = troubles(jobd)
    assert {*found} == {"configuration", "daemon"}
    assert found["configuration"][0] == "fail"
    assert jobd("doctor")[0] == 1


def test_modules_that_cannot_be_found_are_told(
    jobd: Verb, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the daemon stumbles over them."""
    monkeypatch.setenv("JOBD_POOL_HANDLERS", "no_such_module")
    assert troubles(jobd)["handlers"][0] == "fail"


MOUNTS = r"""
24 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 24 0:27 / /mnt/my\040disk rw shared:2 - nfs4 host:/x rw
32 24 0:28 / /mnt/my rw - tmpfs tmpfs rw
33 24 0:29 / /srv rw - ext4 /dev/vdb rw
34 33 0:30 / /srv rw - cifs //host/x rw
""".strip().splitlines()


@pytest.mark.parametrize(("place", "device", "found"), [
    ("/var/lib/jobd.db", "254:0", ("ext4", "/")),
    ("/mnt/my disk/jobd.db", "0:27", ("nfs4", "/mnt/my disk")),
    ("/mnt/my/jobd.db", "0:28", ("tmpfs", "/mnt/my")),
    ("/mnt/myself/jobd.db", "254:0", ("ext4", "/")),
    ("/srv/jobd.db", "0:30", ("cifs", "/srv")),
    ("/srv/jobd.db", "0:29", ("ext4", "/srv")),
    ("/mnt/my/jobd.db", "9:9", ("tmpfs", "/mnt/my")),
])
def test_the_file_system_is_that_of_the_mount(
    place: str, device: str, found: tuple[str, str]
) -> None:
    """The longest mount above it, of the right device where several lie on each other."""
    assert examination.mounted(MOUNTS, place, device) == found


def test_network_file_systems_are_refused_everywhere(
    jobd: Verb, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """doctor and check say so, and no daemon starts there."""
    store.register()
    monkeypatch.setattr(examination, "file_system", lambda _: ("nfs4", "/home"))
    found = {each["about"]: each["level"] for each in json.loads(jobd("doctor", "--json")[1])}
    assert found["file system"] == "fail"
    assert "nfs4" in jobd("check")[1]
    status, _, err = jobd("run")
    assert (status, "locks do not hold over the network" in err) == (78, True)


def test_it_changes_nothing(jobd: Verb, store: Store, path: Path) -> None:
    """Not even the times of the files."""
    store.dead()
    before = {each: os.stat(path.parent / each).st_mtime_ns for each in os.listdir(path.parent)}
    jobd("doctor")
    jobd("doctor", "--full")
    after = {each: os.stat(path.parent / each).st_mtime_ns for each in os.listdir(path.parent)}
    assert after == before
