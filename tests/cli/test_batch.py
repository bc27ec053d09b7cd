"""`jobd batch`: what is shown of batches, to people and to programs, and how they are steered."""

import csv
import io
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jobd.cli.batch_frame import Moment, frame
from jobd.cli.terminal import Look, width_of
from jobd.core.fingerprint import Group
from jobd.core.lifecycle import FailureType
from jobd.store import outcomes
from jobd.store.attempt_files import CutFinder, cut, make_directory
from tests.cli.conftest import NOW, Store
from tests.cli.pty_terminal import Terminal, argv

Jobd = Callable[..., tuple[int, str, str]]
EVIL = "a\x1b[31m\x9b\u202e\u2028\x07z"


@pytest.fixture
def batch(jobd: Jobd, store: Store, tmp_path: Path) -> "Given":
    """A batch of five items: one succeeded, two failed alike, one runs, one waits."""
    (tmp_path / "list").write_text("".join(f"file {n}\n" for n in range(1, 6)))
    jobd("batch", "create", "nightly", "--type", "thumb", "--lines", str(tmp_path / "list"))
    with closing(sqlite3.connect(store.path, isolation_level=None)) as db:
        db.execute("UPDATE job_queue SET ready = 1 WHERE id <= 4")
    for job_id in range(1, 5):
        store.claim(job_id)
    store.complete(1)
    for job_id, port in ((2, 8080), (3, 9090)):
        store.settle(outcomes.park, job_id, failure_type=FailureType.NETWORK,
                     error_message=f"port {port} is shut{EVIL}")
    return Given(jobd)


class Given:
    """Asks about the batch `nightly`."""

    def __init__(self, jobd: Jobd) -> None:
        self._jobd = jobd

    def says(self, verb: str, *words: str, status: int = 0) -> str:
        got, out, err = self._jobd("batch", verb, "nightly", *words)
        assert got == status, (out, err)
        self.complained = err
        return out

    def json(self, verb: str, *words: str) -> Any:
        return json.loads(self.says(verb, "--json", *words))


def test_show_tells_how_far_it_is(batch: Given) -> None:
    """Bar, counts, who runs, failures by cause; without a daemon that is said."""
    said = batch.says("show")
    for part in ("batch nightly (id 1)", "3 of 5", "2 failed", "no daemon is active",
                 "running", "file 4", "job 4", "failures by cause",
                 "2  network: port <n> is shut", ", file 3)"):
        assert part in said
    assert said.replace("\n", "").isprintable()


def test_json_is_the_columns_with_what_runs_and_what_failed(batch: Given) -> None:
    """A single batch is an object; listings are arrays; items keep the input's order."""
    found = batch.json("show")
    counts = ("total_items", "completed_items", "successful_items", "failed_items",
              "cancelled_items")
    assert [found[each] for each in counts] == [5, 3, 1, 2, 0]
    assert [each["topic"] for each in found["running"]] == ["file 4"]
    [group] = found["failures"]
    assert (group["count"], group["failure_type"]) == (2, "network")
    assert found["estimated_time_remaining"] is None
    items = batch.json("items")
    assert [each["position"] for each in items] == [1, 2, 3, 4, 5]
    assert [each["status"] for each in items] == [
        "completed", "failed", "failed", "processing", "queued",
    ]
    assert items[0]["result"] == {"size": 3}
    assert items[0]["parameters"] == {"item": "file 1"}


def test_items_can_be_asked_for_by_status_and_in_parts(batch: Given) -> None:
    """--limit says that there may be more, and how to see it."""
    assert "file 2" in batch.says("items", "--status", "failed", "--limit", "1")
    assert "--after 2" in batch.complained
    said = batch.says("items", "--status", "failed", "--after", "2")
    assert "file 3" in said
    assert "file 2" not in said
    assert "no items" in batch.says("items", "--status", "cancelled")


def test_a_listing_has_a_line_for_each(batch: Given, jobd: Jobd) -> None:
    """Newest first; as an array for programs."""
    assert jobd("batch")[1] == jobd("batch", "list")[1]
    assert "nightly" in jobd("batch", "list")[1]
    assert [each["name"] for each in json.loads(jobd("batch", "list", "--json")[1])] == ["nightly"]


def test_results_in_the_order_of_the_input(batch: Given) -> None:
    """What completed gave back; how many did not is told, and is exit status 1."""
    assert json.loads(batch.says("results", status=1)) == {"size": 3}
    assert "4 of 5 items of batch nightly did not complete" in batch.complained
    lines = [json.loads(line) for line in batch.says("results", "--ndjson", status=1).splitlines()]
    assert [(each["position"], each["topic"], each["status"]) for each in lines][1:3] == [
        (2, "file 2", "failed"), (3, "file 3", "failed"),
    ]


def test_results_that_are_not_whole_are_told(jobd: Jobd, store: Store, tmp_path: Path) -> None:
    """An item whose output was cut is named, and is exit status 1; the others are let be."""
    (tmp_path / "list").write_text("one\ntwo\n")
    jobd("batch", "exec", "words", "--lines", str(tmp_path / "list"), "--", "echo")
    for job_id, length in ((1, 4_000), (2, 300_000)):
        store.claim(job_id)
        kept = make_directory(store.path, job_id, 1) / "stdout"
        kept.write_bytes(b"x" * length)
        cut(kept, 200_000)
        store.complete(job_id)
    status, _, told = jobd("batch", "results", "words")
    assert (status, told.count("\n")) == (1, 1)
    assert "item 2 (job 2) wrote more" in told


@pytest.mark.parametrize("at", range(1, 40, 3))
def test_a_mark_is_found_wherever_a_piece_ends(at: int) -> None:
    """The pieces in which a file is read may part it."""
    finder = CutFinder()
    text = b"abc\n[jobd: 1234567 bytes cut]\nnext text"
    finder.look_at(text[:at])
    finder.look_at(text[at:])
    assert finder.found


def test_the_report_counts_everything(batch: Given) -> None:
    """Totals, durations with a histogram, the slowest, failures by fingerprint."""
    said = batch.says("report")
    for part in ("3 of 5, 2 failed", "median 1 s", "1 s to 2 s", "slowest", "file 1",
                 "2  network: port <n> is shut"):
        assert part in said
    found = batch.json("report")
    assert found["durations"]["count"] == 1
    assert found["durations"]["histogram"][-1] == {"from_ms": 1_000, "below_ms": 2_000, "count": 1}
    assert found["failures"][0]["count"] == 2
    assert [each["topic"] for each in found["slowest"]] == ["file 1"]


def test_the_rate_is_that_of_the_time_at_work(batch: Given, store: Store) -> None:
    """A pause overnight, or a day before a retry, is told apart, and does not slow the rate."""
    with closing(sqlite3.connect(store.path, isolation_level=None)) as db:
        db.execute("UPDATE batch_jobs SET started_at = ?, completed_at = ?, active_ms = 6000",
                   (NOW, NOW + 86_400_000))
    assert "took         1 day (6 s of it at work), 30/min" in batch.says("report")


def test_the_report_as_a_table(batch: Given) -> None:
    """A row for each item, with the fingerprint of its failure."""
    rows = list(csv.DictReader(io.StringIO(batch.says("report", "--csv"))))
    assert [row["status"] for row in rows][:3] == ["completed", "failed", "failed"]
    assert rows[1]["fingerprint"] == rows[2]["fingerprint"] != ""
    assert rows[0]["duration_ms"] == "1000"


def test_an_item_may_be_asked_about_like_any_job(batch: Given, jobd: Jobd) -> None:
    """An item is a job: show, explain and list know it."""
    assert jobd("show", "2")[0] == jobd("explain", "5")[0] == 0
    assert "thumb" in jobd("list", "--batch", "1")[1]


@pytest.mark.parametrize(("verb", "said", "status"), [
    ("pause", "paused", "paused"), ("resume", "was not paused", "queued"),
    ("cancel", "cancelled", "queued"),
])
def test_a_batch_is_steered(batch: Given, verb: str, said: str, status: str) -> None:
    """Each verb says what it did; with --json the batch as it is then."""
    assert said in batch.says(verb)
    assert batch.json("show")["status"] == status


def test_a_pause_and_what_follows_it(batch: Given) -> None:
    """Paused twice is said, and resume takes it back."""
    batch.says("pause")
    assert "paused already" in batch.says("pause")
    assert "paused" in batch.says("show")
    assert "by ann" in batch.says("show")
    assert batch.json("resume")["status"] in ("queued", "processing")


def test_retry_brings_failed_items_back(batch: Given) -> None:
    """And says how many."""
    assert "2 items to run again" in batch.says("retry")
    assert batch.json("show")["failed_items"] == 0


@pytest.mark.parametrize("verb", ["show", "items", "watch", "report", "results", "pause",
                                  "resume", "cancel", "retry"])
@pytest.mark.parametrize("name", ["other", "99", "9" * 30, "a\x1b[31m"])
def test_a_batch_that_is_not_there(batch: Given, jobd: Jobd, verb: str, name: str) -> None:
    """One sentence with its name, and exit status 1."""
    status, out, err = jobd("batch", verb, name)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "no batch" in err
    assert "\x1b" not in err


def moment(**given: Any) -> Moment:
    row = {
        "id": 1, "name": "nightly", "job_type": "thumb", "queue": EVIL, "status": "processing",
        "total_items": 1_000_000, "completed_items": 420_000, "successful_items": 419_000,
        "failed_items": 1_000, "cancelled_items": 5, "concurrent_processing": 4, "run": 2,
        "error_handling": "limit", "stop_after": None, "stop_after_percent": 5.0, "ends_as": None,
        "end_reason": EVIL, "sealed_at": NOW, "created_by": EVIL, "created_at": NOW - 9_000,
        "started_at": NOW - 8_000, "paused_at": None, "paused_by": None, "completed_at": None,
        "estimated_time_remaining": 48_000, "per_second": 120.0,
    } | given
    item = {"position": 7, "topic": EVIL + "x" * 200, "job_id": 17, "started_at": NOW - 61_000,
            "claimed_at": NOW, "progress": 0.75}
    group = Group("f" * 10, "thumb", "network", EVIL, 900, 1, 2, 19)
    return Moment(NOW, row, [item] * 20, [group] * 10, 500, {19: EVIL}, EVIL)


@pytest.mark.parametrize("letters", [True, False])
@pytest.mark.parametrize("columns", [1, 2, 7, 20, 79, 80, 200])
@pytest.mark.parametrize("lines", [1, 2, 3, 5, 8, 13, 24, 100])
def test_a_frame_fits(columns: int, lines: int, letters: bool) -> None:
    """Whatever the size: no more lines, none too wide, nothing that drives the terminal."""
    for status in ("queued", "processing", "paused", "completed", "failed"):
        times = {"paused_at": NOW if status == "paused" else None,
                 "completed_at": NOW if status in ("completed", "failed") else None}
        drawn = frame(moment(status=status, **times), columns, lines,
                      Look(colours=False, letters=letters), "q quits")
        assert len(drawn) <= lines
        assert max(map(width_of, drawn)) <= columns
        text = "".join(drawn)
        assert text.isprintable()
        assert letters or text.isascii()


def test_a_usual_terminal_shows_every_part() -> None:
    """Bar, rate, time left, running items with their progress, causes."""
    text = "\n".join(frame(moment(), 130, 40, Look(colours=False, letters=True), "q quits"))
    for part in ("42 %", "420,000 of 1,000,000", "1,000 failed", "120/s", "48 s left", "75 %",
                 "1 min 1 s", "failures by cause (of the latest 500)", "900  network", "(run 2)",
                 "stops after 5 % failures", "4 at once", "q quits"):
        assert part in text


def test_watch_on_a_terminal_draws_and_gives_it_back(batch: Given, path: Path) -> None:
    """Bar and running items on the whole terminal; q quits with 1, for it has not ended."""
    terminal = Terminal(argv("--db", str(path), "batch", "watch", "nightly"),
                        {**os.environ, "TERM": "xterm", "LANG": "C.UTF-8"})
    try:
        terminal.wait_for("file 4")
        assert "[█" in terminal.screen
        terminal.type("q")
        assert terminal.ended() == 1
        assert terminal.is_as_before()
        assert terminal.odd == []
        assert "batch nightly (id 1)" in terminal.screen
    finally:
        terminal.put_away()


def test_watch_in_ascii(batch: Given, path: Path) -> None:
    """Where the locale does not speak UTF-8 nothing else is drawn."""
    terminal = Terminal(argv("--db", str(path), "batch", "watch", "nightly"),
                        {**os.environ, "TERM": "xterm", "LC_ALL": "C"})
    try:
        terminal.wait_for("file 4")
        terminal.type("q")
        terminal.ended()
        assert terminal.raw.isascii()
    finally:
        terminal.put_away()
