"""What Python handlers print and log is kept with their attempt, in a thread and in a process."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd.daemon.kept_output import KeptOutput
from jobd.store.attempt_files import open_stream
from tests.daemon.harness import House, close_gates
from tests.daemon.villain import logs, until
from tests.daemon.warm import Starter

MAX = 64 * 1024
MARK = re.compile(rb"\n\[jobd: (\d+) bytes cut\]\n")
LOGGED = re.compile(
    r"20\d\d-\d\d-\d\dT[\d:.]+Z info    half way rows=3 path=/a\\nb\n"
    r"20\d\d-\d\d-\d\dT[\d:.]+Z error   caught\n"
    r"Traceback [\s\S]*\nZeroDivisionError: division by zero\n"
)

HANDLERS = r"""
import asyncio, contextvars, io, logging, warnings

lines = logging.getLogger("library")
lines.addHandler(logging.StreamHandler())  # holds on to the stream of now

def mine(name):
    place = jobd.current_job()
    return f"{ROOT}/jobd.db.attempts/{place.id}.{name}"

@job("prints")
def prints():
    print("printed", 1, 2)
    print("complained é \ud800", file=sys.stderr)
    sys.stdout.writelines(["a\n", "b\n"])
    sys.stdout.buffer.write(b"bytes\n")
    lines.warning("a library warns")
    sys.stdout.flush()

@job("logs")
def logs_lines():
    log = jobd.current_job().log
    log.debug("too quiet for this daemon")
    log.bind(rows=3).info("half way", path="/a\nb")
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("caught")

@job("forks")
def forks():
    child = os.fork()
    if not child:
        print("from the child", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    jobd.current_job().run(["true"])
    print("from the parent")

@job("prints_around_a_program")
def prints_around_a_program():
    print("before")
    jobd.current_job().run(["true"])
    print("after")
    print("complaint", file=sys.stderr)

@job("chatters")
def chatters(gate: str):
    wait_at(gate)
    for n in range(300):
        print(jobd.current_job().id, n)

@job("gathers")
async def gathers():
    async def says(word):
        await asyncio.sleep(0)
        print(word)
    await asyncio.gather(says("one"), says("two"))
    await asyncio.to_thread(print, "three")
    thread = threading.Thread(target=print, args=("from a thread of its own",),
                              kwargs={"flush": True})
    thread.start()
    thread.join()

@job("floods")
def floods():
    print("the beginning", flush=True)
    for n in range(30_000):
        print("x" * 20)
    print("y" * 300_000)
    print("the end")
    return os.stat(mine("stdout")).st_size

@job("waits")
def waits(gate: str):
    print("printed and not flushed by", jobd.current_job().id)
    wait_at(gate)

@job("half_a_line")
def half_a_line(gate: str):
    print("no newline", end="", flush=True)
    wait_at(gate)
    print(", and then one")
    print("no newline at the end", end="")

@job("dies")
def dies():
    print("last words")
    os.kill(os.getpid(), signal.SIGKILL)

@job("leaves_a_thread")
def leaves_a_thread(gate: str, early: bool):
    def speak():
        wait_at(gate)
        print("too late", flush=True)
        print("too late on stderr", file=sys.stderr)
    if early:
        print("in time")
    thread = threading.Thread(target=contextvars.copy_context().run, args=(speak,), daemon=True)
    thread.start()

@job("closes_our_file")
def closes_our_file():
    print("before")
    (number,) = [int(name) for name in os.listdir("/proc/self/fd")
                 if os.path.realpath(f"/proc/self/fd/{name}") == mine("stdout")]
    os.close(number)
    other = os.open(f"{ROOT}/other", os.O_RDWR | os.O_CREAT)
    os.dup2(other, number)
    print("after")
    return os.fstat(number).st_size

@job("takes_the_stream")
def takes_the_stream():
    sys.stdout = io.StringIO()

@job("fails_once")
def fails_once():
    me = jobd.current_job()
    print("attempt", me.attempt)
    if me.attempt == 1:
        raise ConnectionError("try again")
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house and one daemon for most tests here; it keeps little of each stream."""
    with House(tmp_path_factory.mktemp("shop")) as made:
        made.handlers(HANDLERS)
        made.start("--workers", "4", commands__max_output=MAX)
        yield made
    close_gates()
    Starter.put_away()


@pytest.fixture(params=["thread", "process"])
def isolation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ran(house: House, job_type: str, isolation: str = "thread", **payload: object) -> int:
    """The id of a job that has completed."""
    job_id = house.enqueue(job_type, payload, isolation=isolation)
    house.daemons[-1].wait_for("job.completed", job_id=job_id)
    return job_id


def files(house: House, job_id: int) -> list[Path]:
    """All that the job has left beside the database."""
    place = Path(f"{house.db}.attempts")
    return sorted([*place.glob(f"{job_id}.*"), *place.glob(f"{job_id}/**/*")])


def test_what_a_handler_prints_is_kept(shop: House, isolation: str) -> None:
    """print() to both streams, bytes, and what a library logs, each byte in its stream's file."""
    out, err = logs(shop, str(ran(shop, "prints", isolation)))
    assert out == b"printed 1 2\na\nb\nbytes\n"
    assert err == "complained é \\ud800\na library warns\n".encode()


def test_what_a_handler_prints_goes_to_standard_error_as_well(
    shop: House, isolation: str
) -> None:
    """Whoever reads the journal misses nothing, and no line of the log is forged."""
    ran(shop, "prints", isolation)
    daemon = shop.daemons[-1]
    daemon.wait_stderr("printed 1 2")
    daemon.wait_stderr("a library warns")
    assert daemon.forged() == []


def test_a_printed_line_reaches_standard_error_at_once(house: House, isolation: str) -> None:
    """It stands there while the handler still runs, though nobody flushed it."""
    house.handlers(HANDLERS)
    gate = house.gate("waits")
    daemon = house.start(cold=True, env={"PYTHONUNBUFFERED": ""})
    job_id = house.enqueue("waits", {"gate": "waits"}, isolation=isolation)
    daemon.wait_stderr(f"printed and not flushed by {job_id}")
    assert house.status(job_id) == "running"
    gate.open()
    daemon.wait_for("job.completed", job_id=job_id)


def test_what_a_handler_logs_is_kept_for_people(shop: House, isolation: str) -> None:
    """A line with time, level and keys in standard error, its traceback below; and in the log."""
    job_id = ran(shop, "logs", isolation)
    out, err = logs(shop, str(job_id))
    assert (out, LOGGED.fullmatch(err.decode()) is not None) == (b"", True), err
    (line,) = shop.daemons[-1].events("job.logged", job_id=job_id, message="half way")
    assert (line["rows"], line["path"]) == (3, "/a\nb")


def test_a_line_that_is_not_complete_is_kept_too(shop: House, isolation: str) -> None:
    """Half a line stands in the file when it is flushed, or when the handler returns."""
    name = f"half-{isolation}"
    gate = shop.gate(name)
    job_id = str(shop.enqueue("half_a_line", {"gate": name}, isolation=isolation))
    until(lambda: shop.status(int(job_id)) == "running")
    until(lambda: logs(shop, job_id)[0] == b"no newline")
    gate.open()
    shop.daemons[-1].wait_for("job.completed", job_id=int(job_id))
    assert logs(shop, job_id)[0] == b"no newline, and then one\nno newline at the end"


def test_jobs_side_by_side_do_not_get_each_others_lines(shop: House) -> None:
    """Four threads print at the same time, and each job has its own lines alone and in order."""
    gate = shop.gate("chatters")
    ids = [shop.enqueue("chatters", {"gate": "chatters"}) for _ in range(4)]
    until(lambda: [shop.status(each) for each in ids] == ["running"] * 4)
    gate.open()
    shop.daemons[-1].wait_for_all("job.completed", ids)
    for each in ids:
        assert logs(shop, str(each))[0].decode() == "".join(f"{each} {n}\n" for n in range(300))


def test_tasks_print_for_their_job_and_threads_of_the_handler_do_not(shop: House) -> None:
    """Tasks and asyncio.to_thread belong to the job; a thread that it starts goes as before."""
    out, _ = logs(shop, str(ran(shop, "gathers")))
    assert out == b"one\ntwo\nthree\n"
    shop.daemons[-1].wait_stderr("from a thread of its own")


def test_a_quiet_job_leaves_no_file(shop: House, isolation: str) -> None:
    """Nothing is made for a job that writes nothing."""
    assert files(shop, ran(shop, "quick", isolation)) == []


def test_a_flood_is_bounded_while_it_is_written(shop: House, isolation: str) -> None:
    """The beginning and the end are kept with a mark between; the file is never much larger."""
    job_id = ran(shop, "floods", isolation)
    (path,) = files(shop, job_id)
    kept = path.read_bytes()
    assert kept.startswith(b"the beginning\nxxx")
    assert kept.endswith(b"yyy\nthe end\n")
    assert int(shop.job(job_id)["result"]) == len(kept) <= MAX
    (gone,) = map(int, MARK.findall(kept))
    written = len("the beginning\n") + 30_000 * 21 + 300_001 + len("the end\n")
    assert len(MARK.sub(b"", kept)) + gone == written


def test_kept_output_is_private(shop: House, isolation: str) -> None:
    """The files are 0600 and their directories closed to others, as those of commands."""
    job_id = ran(shop, "prints", isolation)
    kept = files(shop, job_id)
    assert {file.name: file.stat().st_mode & 0o777 for file in kept} == {
        f"{job_id}.stdout": 0o600, f"{job_id}.stderr": 0o600
    }
    assert [parent.stat().st_mode & 0o007 for parent in list(kept[0].parents)[:2]] == [0, 0]


def test_what_was_printed_before_a_sudden_death_is_there(shop: House) -> None:
    """Nothing of it waits in a buffer when SIGKILL ends the process."""
    job_id = shop.enqueue("dies", isolation="process", max_retries=0)
    shop.daemons[-1].wait_for("job.dead_lettered", job_id=job_id)
    assert logs(shop, str(job_id))[0] == b"last words\n"


@pytest.mark.parametrize("early", [True, False], ids=["of one that printed", "of a quiet one"])
def test_a_thread_that_outlives_its_job_adds_nothing(shop: House, early: bool) -> None:
    """Once the attempt is over its files do not change, nor do new ones appear."""
    name = f"late-{early}"
    gate = shop.gate(name)
    job_id = ran(shop, "leaves_a_thread", gate=name, early=early)
    before = files(shop, job_id)
    gate.open()
    shop.daemons[-1].wait_stderr("too late on stderr")
    assert files(shop, job_id) == before
    assert logs(shop, str(job_id))[0] == (b"in time\n" if early else b"")


def test_a_write_on_its_way_at_the_end_writes_nothing_more(tmp_path: Path) -> None:
    """A thread that was about to write when the attempt ended opens no file and fills none."""
    output = KeptOutput(lambda name: open_stream(tmp_path / name), lambda: MAX)
    output.keep("stdout", b"in time\n")
    output.end()
    output.keep("stdout", b"too late\n")
    output.keep("stderr", b"too late\n")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        "stdout": b"in time\n"
    }


def test_nothing_is_written_into_a_file_that_took_our_number(
    shop: House, isolation: str
) -> None:
    """A handler closed our descriptor and opened a file in its place: it stays empty."""
    job_id = ran(shop, "closes_our_file", isolation)
    assert json.loads(shop.job(job_id)["result"]) == 0
    assert logs(shop, str(job_id))[0] == b"before\nafter\n"


def test_a_process_has_its_streams_back_for_the_next_job(house: House) -> None:
    """A handler that put something else in the place of sys.stdout did so for itself alone."""
    house.handlers(HANDLERS)
    house.start("--workers", "1", pool__isolation="process")
    ran(house, "takes_the_stream", "process")
    assert logs(house, str(ran(house, "prints", "process")))[0].startswith(b"printed 1 2\n")


def test_a_program_amid_what_is_printed_hides_none_of_it(shop: House, isolation: str) -> None:
    """It has a directory with a lock, and what was printed before that was made is there too."""
    job_id = ran(shop, "prints_around_a_program", isolation)
    out, err = logs(shop, str(job_id))
    assert (out, err) == (b"before\nafter\n", b"complaint\n")


def test_what_a_forked_child_printed_first_is_there(shop: House, isolation: str) -> None:
    """Child and parent open the file for themselves, and it is one file."""
    out, _ = logs(shop, str(ran(shop, "forks", isolation)))
    assert out == b"from the child\nfrom the parent\n"


def test_each_attempt_has_its_own(shop: House, isolation: str) -> None:
    """The latest is shown, and an earlier one when it is asked for."""
    job_id = str(ran(shop, "fails_once", isolation))
    assert logs(shop, job_id)[0] == b"attempt 2\n"
    assert logs(shop, job_id, "--attempt", "1")[0] == b"attempt 1\n"


def test_a_reload_changes_how_much_is_kept(house: House, isolation: str) -> None:
    """commands.max_output is taken over by SIGHUP, also where a process runs already."""
    house.handlers(HANDLERS)
    daemon = house.start("--workers", "1")
    ran(house, "prints", isolation)
    house.write_config(commands__max_output=MAX)
    daemon.signal(1)
    daemon.wait_for("configuration.reloaded")
    job_id = ran(house, "floods", isolation)
    assert int(house.job(job_id)["result"]) <= MAX


def test_it_is_removed_with_its_job(house: House, isolation: str) -> None:
    """The daemon's retention deletes the files of the job, as `jobd prune` does."""
    house.handlers(HANDLERS)
    daemon = house.start()
    job_id = ran(house, "prints", isolation)
    assert files(house, job_id)
    house.cli("prune", "--older-than", "0s")
    assert files(house, job_id) == []
    job_id = ran(house, "prints", isolation)
    house.write_config(retention__completed="1s")
    daemon.signal(1)
    until(lambda: not files(house, job_id))
